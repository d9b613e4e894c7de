//! The cookie of an admin's session.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

use crate::host::Host;
use crate::scheme::Scheme;

/// Its name over TLS. By this prefix a browser sets it over TLS only, for this host only and for all paths, so that no page of a
/// neighbouring name and nobody on the network can plant one.
pub(crate) const COOKIE_NAME: &str = "__Host-sambad_session";
/// Its name where the server is asked by a loopback name without TLS.
const PLAIN_COOKIE_NAME: &str = "sambad_session";

/// Which of the two a request has and its response sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionCookie {
    /// It goes over TLS only.
    Secure,
    /// It never leaves this machine.
    Plain,
}

impl SessionCookie {
    /// Where nothing is known of TLS there is taken to be some, unless the name is a loopback one.
    pub(crate) fn of(request: &Parts) -> Self {
        let is_loopback = || Host::of(&request.headers, &request.uri).is_some_and(Host::is_loopback);
        if Scheme::of_request(&request.extensions) != Scheme::Https && is_loopback() { Self::Plain } else { Self::Secure }
    }

    /// The secret in it, if the request brings one. Over TLS no other name counts: a neighbour could have set that.
    pub(crate) fn find(self, headers: &HeaderMap) -> Option<&str> {
        let value = |name: &str| {
            let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
            let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        value(self.name())
    }

    /// What sets it. A life of 0 ends it.
    pub(crate) fn set(self, value: &str, lives_s: u64) -> HeaderValue {
        let secure = if self == Self::Secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; Max-Age={lives_s}; HttpOnly; SameSite=Strict{secure}", self.name());
        HeaderValue::try_from(text).expect("a secret is base64")
    }

    fn name(self) -> &'static str {
        match self {
            Self::Secure => COOKIE_NAME,
            Self::Plain => PLAIN_COOKIE_NAME,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for SessionCookie {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// Goal: over TLS, and wherever there may be some, a cookie counts and is set only under the name that no neighbour can
    /// plant. Method: hosts and schemes, each asked with both cookies.
    #[test]
    fn no_neighbour_plants_a_cookie() {
        for (scheme, host, expected) in [
            (Scheme::Https, "sambad.example", SessionCookie::Secure),
            (Scheme::Https, "localhost:4000", SessionCookie::Secure),
            (Scheme::Http, "sambad.example", SessionCookie::Secure),
            (Scheme::Unknown, "sambad.example", SessionCookie::Secure),
            (Scheme::Unknown, "10.0.0.1:4000", SessionCookie::Secure),
            (Scheme::Unknown, "localhost:4000", SessionCookie::Plain),
            (Scheme::Unknown, "127.0.0.1:4000", SessionCookie::Plain),
            (Scheme::Http, "[::1]:4000", SessionCookie::Plain),
        ] {
            let request = Request::get("/").header("host", host).header("cookie", "sambad_session=a; __Host-sambad_session=b");
            let (parts, ()) = request.extension(scheme).body(()).unwrap().into_parts();
            let cookie = SessionCookie::of(&parts);
            assert_eq!(cookie, expected, "{scheme:?} {host}");
            assert_eq!(cookie.find(&parts.headers), Some(if cookie == SessionCookie::Secure { "b" } else { "a" }));
        }
        let set = SessionCookie::Secure.set("x", 60);
        assert_eq!(set, "__Host-sambad_session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
    }
}
