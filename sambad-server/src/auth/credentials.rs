//! What a request brings to say who it is from. Never its address: those end up in logs and in browsers' lists of pages.

use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

use super::cookie::SessionCookie;

/// The subprotocol that a client may name beside its token; the server's answer.
pub(crate) const SUBPROTOCOL: &str = "sambad.v1";
/// What comes before the token in a list of subprotocols: a page can set no header of a WebSocket but this.
const SUBPROTOCOL_TOKEN: &str = "bearer.";
/// Bytes of a token, at most.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 << 10;

/// How a request says who it is from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials<'a> {
    Token(&'a str),
    Cookie(&'a str),
}

impl<'a> Credentials<'a> {
    /// The first there is: a token says more than a cookie, which comes along by itself.
    pub(crate) fn of(request: &'a Parts) -> Option<Self> {
        let headers = &request.headers;
        let bearer = || {
            let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        };
        let subprotocol = || subprotocols(headers).find_map(|protocol| protocol.strip_prefix(SUBPROTOCOL_TOKEN));
        let cookie = || SessionCookie::of(request).find(headers);
        bearer().or_else(subprotocol).map(Self::Token).or_else(|| cookie().map(Self::Cookie))
    }
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// What a WebSocket that names our subprotocol is answered: without it a browser would end the connection.
pub(crate) fn chosen_subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    subprotocols(headers).any(|protocol| protocol == SUBPROTOCOL).then(|| HeaderValue::from_static(SUBPROTOCOL))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// Goal: each way to bring credentials is read, and the address is none. Method: a table of headers.
    #[test]
    fn credentials_come_by_three_ways() {
        let of = |name: &'static str, value: &str| {
            let request = Request::get("/").header("host", "localhost").header(name, value);
            match Credentials::of(&request.body(()).unwrap().into_parts().0) {
                Some(Credentials::Token(token)) => format!("token {token}"),
                Some(Credentials::Cookie(value)) => format!("cookie {value}"),
                None => "none".into(),
            }
        };
        for (name, value, expected) in [
            ("authorization", "Bearer a.b.c", "token a.b.c"),
            ("authorization", "bearer a.b.c", "token a.b.c"),
            ("authorization", "Basic abc", "none"),
            ("sec-websocket-protocol", "sambad.v1, bearer.a.b.c", "token a.b.c"),
            ("sec-websocket-protocol", "sambad.v1", "none"),
            ("cookie", "a=b; sambad_session=xyz", "cookie xyz"),
            ("cookie", "xsambad_session=xyz", "none"),
        ] {
            assert_eq!(of(name, value), expected, "{name}: {value}");
        }
    }
}
