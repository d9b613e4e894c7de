//! Which pages may act for whoever looks at them.
//!
//! A browser sends cookies along whatever page asks, so that a request with one must come from a page of this server's, or of
//! an origin that the operator named.

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Uri};

use crate::error::ApiError;
use crate::host::Host;
use crate::scheme::Scheme;

/// The origins whose pages may use the server, beside its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    pub(crate) allowed: Vec<String>,
    /// Whether pages of any origin may, and callers need not authenticate.
    pub(crate) any: bool,
}

impl Origins {
    /// Refuses a page of another origin. A request without `Origin` comes from no page that could be told apart, and passes
    /// unless the browser says that another site is behind it. Two origins are none.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri, scheme: Scheme) -> Result<(), ApiError> {
        let foreign = ApiError::Forbidden("pages of this origin are not allowed");
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
            return if matches!(site, None | Some("same-origin" | "none")) { Ok(()) } else { Err(foreign) };
        };
        let (None, Ok(origin)) = (origins.next(), origin.to_str()) else { return Err(foreign) };
        let own = Host::of(headers, uri).is_some_and(|host| is_own(origin, host, scheme));
        if own || self.names(origin) { Ok(()) } else { Err(foreign) }
    }

    /// Whether the operator named this origin.
    pub(crate) fn names(&self, origin: &str) -> bool {
        let parsed = parse(origin);
        let is = |allowed: &String| allowed.eq_ignore_ascii_case(origin) || parsed.is_some() && parse(allowed) == parsed;
        self.allowed.iter().any(is)
    }

    /// Whether pages of some other origin may use the server, and so are answered when they ask (OPTIONS).
    pub(crate) fn others_may(&self) -> bool {
        self.any || !self.allowed.is_empty()
    }
}

/// Whether an origin is that of the server's own pages: their scheme, host and port.
fn is_own(origin: &str, host: Host<'_>, scheme: Scheme) -> bool {
    let Some((is_https, name, port)) = parse(origin) else { return false };
    scheme.may_be(is_https) && (name, port) == (host.name.to_ascii_lowercase(), host.port.unwrap_or(default_port(is_https)))
}

/// The parts of an origin, in one spelling: whether it is https, host, port; `None` for anything else, such as `null`.
fn parse(origin: &str) -> Option<(bool, String, u16)> {
    let (scheme, host) = origin.split_once("://")?;
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let host = Host::parse(host)?;
    Some((is_https, host.name.to_ascii_lowercase(), host.port.unwrap_or(default_port(is_https))))
}

fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use axum::http::header::HOST;

    use super::*;

    fn passes(scheme: Scheme, host: &str, origins: &[&str], site: Option<&str>) -> bool {
        let named = vec!["https://admin.example".into(), "https://port.example:8443".into(), "http://plain.example:80".into()];
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        if let Some(site) = site {
            headers.insert("sec-fetch-site", site.parse().unwrap());
        }
        Origins { allowed: named, any: false }.check(&headers, &Uri::from_static("/ws"), scheme).is_ok()
    }

    /// Goal: only pages of the server's own origin, or of one that is named, pass. Method: a table for each of the three sorts
    /// of servers.
    #[test]
    fn foreign_pages_are_refused() {
        // Host, origin, whether it passes: over TLS, by a trusted proxy without TLS, and where nothing is known.
        for (host, origin, expected) in [
            ("sambad.example", "https://sambad.example", [true, false, true]),
            ("sambad.example", "http://sambad.example", [false, true, true]),
            ("sambad.example:443", "https://sambad.example", [true, false, true]),
            ("sambad.example", "https://sambad.example:443", [true, false, true]),
            ("sambad.example:80", "http://sambad.example", [false, true, true]),
            ("sambad.example:443", "http://sambad.example", [false, false, false]),
            ("sambad.example:80", "https://sambad.example", [false, false, false]),
            ("sambad.example:80", "https://sambad.example:80", [true, false, true]),
            ("sambad.example:8443", "https://sambad.example:8443", [true, false, true]),
            ("sambad.example:8443", "http://sambad.example:8443", [false, true, true]),
            ("Sambad.Example", "https://sambad.example", [true, false, true]),
            ("sambad.example", "HTTPS://SAMBAD.EXAMPLE", [true, false, true]),
            ("127.0.0.1:4000", "http://127.0.0.1:4000", [false, true, true]),
            ("[::1]:4000", "http://[::1]:4000", [false, true, true]),
            ("[::1]", "https://[::1]:443", [true, false, true]),
            ("[2001:DB8::1]:4000", "https://[2001:db8::1]:4000", [true, false, true]),
            ("sambad.example.", "https://sambad.example.", [true, false, true]),
            ("xn--bcher-kva.example", "https://xn--bcher-kva.example", [true, false, true]),
            // Another origin, whatever the scheme.
            ("sambad.example.", "https://sambad.example", [false; 3]),
            ("sambad.example", "https://sambad.example.", [false; 3]),
            ("[::1]:4000", "http://[::2]:4000", [false; 3]),
            ("[::1]:4000", "http://::1:4000", [false; 3]),
            ("xn--bcher-kva.example", "https://bcher.example", [false; 3]),
            ("sambad.example", "https://evil.example", [false; 3]),
            ("sambad.example", "https://sambad.example.evil.example", [false; 3]),
            ("sambad.example", "https://evil.example/sambad.example", [false; 3]),
            ("sambad.example", "https://sambad.example/", [false; 3]),
            ("sambad.example", "https://x@sambad.example", [false; 3]),
            ("sambad.example", "https://sambad.example:8443", [false; 3]),
            ("sambad.example", "https://sambad.example:x", [false; 3]),
            ("sambad.example", "https://sambad.example https://sambad.example", [false; 3]),
            ("sambad.example", "https://sambad.example, https://evil.example", [false; 3]),
            ("sambad.example", "ws://sambad.example", [false; 3]),
            ("sambad.example", "file://", [false; 3]),
            ("sambad.example", "file://sambad.example", [false; 3]),
            ("sambad.example", "chrome-extension://sambad.example", [false; 3]),
            ("sambad.example", "sambad.example", [false; 3]),
            ("sambad.example", "//sambad.example", [false; 3]),
            ("sambad.example", "null", [false; 3]),
            ("null", "null", [false; 3]),
            ("sambad.example", "", [false; 3]),
            // Named ones, with their scheme.
            ("sambad.example", "https://admin.example", [true; 3]),
            ("sambad.example", "https://admin.example:443", [true; 3]),
            ("sambad.example", "https://port.example:8443", [true; 3]),
            ("sambad.example", "http://plain.example", [true; 3]),
            ("sambad.example", "http://admin.example", [false; 3]),
            ("sambad.example", "https://port.example", [false; 3]),
        ] {
            let schemes = [Scheme::Https, Scheme::Http, Scheme::Unknown];
            assert_eq!(schemes.map(|scheme| passes(scheme, host, &[origin], None)), expected, "{host} {origin}");
        }
        let own = "https://sambad.example";
        assert!(!passes(Scheme::Https, "sambad.example", &[own, own], None), "two are none");
        assert!(!passes(Scheme::Https, "sambad.example", &[own, "https://evil.example"], None));
    }

    /// Goal: a request without an origin passes unless a browser says that another site is behind it. Method: a table.
    #[test]
    fn other_sites_without_an_origin_are_refused() {
        for (site, expected) in [
            (None, true),
            (Some("none"), true),
            (Some("same-origin"), true),
            (Some("cross-site"), false),
            (Some("same-site"), false),
        ] {
            assert_eq!(passes(Scheme::Unknown, "sambad.example", &[], site), expected, "{site:?}");
        }
        assert!(passes(Scheme::Unknown, "127.0.0.1:4000", &["http://127.0.0.1:4000"], Some("same-origin")));
        assert!(passes(Scheme::Unknown, "sambad.example", &["https://admin.example"], Some("cross-site")));
    }
}
