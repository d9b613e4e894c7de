//! Which pages may act for whoever looks at them.
//!
//! A browser sends cookies along whatever page asks, so that a request with one must come from a page of this server's, or of
//! an origin that the operator named.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

use crate::error::ApiError;

/// The origins that are named, beside the server's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    pub(crate) allowed: Vec<String>,
}

impl Origins {
    /// Refuses a page of another origin. A request without `Origin` comes from no page that could be told apart, and passes
    /// unless the browser says that another site is behind it.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
        let foreign = ApiError::Forbidden("pages of this origin are not allowed");
        let Some(origin) = headers.get(ORIGIN) else {
            let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
            return if matches!(site, None | Some("same-origin" | "none")) { Ok(()) } else { Err(foreign) };
        };
        let Ok(origin) = origin.to_str() else { return Err(foreign) };
        let same = origin.split_once("://").is_some_and(|(scheme, origin)| {
            host(headers, uri).is_some_and(|host| without_default_port(host, scheme) == without_default_port(origin, scheme))
        });
        let named = self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
        if same || named { Ok(()) } else { Err(foreign) }
    }
}

/// The name by which the server was asked: HTTP/2 has it in the address.
pub(crate) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(|authority| authority.as_str()))
}

fn without_default_port(host: &str, scheme: &str) -> String {
    let port = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only pages of the server's own origin, or of one that is named, pass. Method: a table.
    #[test]
    fn foreign_pages_are_refused() {
        let origins = Origins { allowed: vec!["https://admin.example".into()] };
        for (host, origin, site, passes) in [
            ("sambad.example", Some("https://sambad.example"), None, true),
            ("sambad.example:443", Some("https://sambad.example"), None, true),
            ("Sambad.Example", Some("https://sambad.example"), None, true),
            ("127.0.0.1:4000", Some("http://127.0.0.1:4000"), Some("same-origin"), true),
            ("sambad.example", Some("https://admin.example"), Some("cross-site"), true),
            ("sambad.example", None, None, true),
            ("sambad.example", None, Some("none"), true),
            ("sambad.example", None, Some("cross-site"), false),
            ("sambad.example", None, Some("same-site"), false),
            ("sambad.example", Some("https://evil.example"), None, false),
            ("sambad.example", Some("https://sambad.example.evil.example"), None, false),
            ("sambad.example", Some("https://sambad.example:8443"), None, false),
            ("sambad.example", Some("http://admin.example"), None, false),
            ("sambad.example", Some("null"), None, false),
            ("sambad.example", Some(""), None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            let passed = origins.check(&headers, &Uri::from_static("/ws")).is_ok();
            assert_eq!(passed, passes, "{host} {origin:?} {site:?}");
        }
    }
}
