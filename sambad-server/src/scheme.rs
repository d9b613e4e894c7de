//! Whether a client reached the server over TLS.

use axum::http::{Extensions, HeaderMap, HeaderName};

use crate::limits::Proxies;
use crate::sessions::Remote;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The scheme of the addresses that a client sees; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// TLS ends at this server, or a trusted proxy says that it ended there.
    Https,
    /// A trusted proxy says that there was no TLS.
    Http,
    /// Plain HTTP, perhaps from a proxy that ended TLS without a word about it.
    Unknown,
}

impl Scheme {
    /// The scheme of a request from `peer`. Of `X-Forwarded-Proto` the last value counts, which is the word of the peer itself,
    /// and only that of a trusted proxy. Some proxies write `wss` for a WebSocket.
    pub(crate) fn of(has_tls: bool, peer: Remote, headers: &HeaderMap, proxies: &Proxies) -> Self {
        if has_tls {
            return Self::Https;
        }
        let Some(said) = headers.get_all(X_FORWARDED_PROTO).iter().next_back() else { return Self::Unknown };
        if !proxies.trusts(peer) {
            return Self::Unknown;
        }
        let last = said.to_str().unwrap_or_default().rsplit(',').next().unwrap_or_default().trim();
        let is = |scheme: &str| last.eq_ignore_ascii_case(scheme);
        if is("https") || is("wss") {
            Self::Https
        } else if is("http") || is("ws") {
            Self::Http
        } else {
            Self::Unknown
        }
    }

    /// The scheme of a request with these extensions.
    pub(crate) fn of_request(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::Unknown)
    }

    /// Whether an origin of this scheme may be the server's own.
    pub(crate) fn may_be(self, origin_is_https: bool) -> bool {
        match self {
            Self::Https => origin_is_https,
            Self::Http => !origin_is_https,
            Self::Unknown => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the scheme is that of our own TLS, else what a trusted proxy says, else unknown. Method: a table.
    #[test]
    fn only_trusted_proxies_know_the_scheme() {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        for (has_tls, peer, said, scheme) in [
            (true, "192.0.2.1", &[][..], Scheme::Https),
            (true, "10.0.0.1", &["http"], Scheme::Https),
            (false, "10.0.0.1", &["https"], Scheme::Https),
            (false, "::ffff:10.0.0.1", &["https"], Scheme::Https),
            (false, "10.0.0.1", &["HTTPS"], Scheme::Https),
            (false, "10.0.0.1", &["wss"], Scheme::Https),
            (false, "10.0.0.1", &["http"], Scheme::Http),
            (false, "10.0.0.1", &["ws"], Scheme::Http),
            (false, "10.0.0.1", &["https, http"], Scheme::Http),
            (false, "10.0.0.1", &["http,https"], Scheme::Https),
            (false, "10.0.0.1", &["http", "https"], Scheme::Https),
            (false, "10.0.0.1", &["https", "http"], Scheme::Http),
            (false, "10.0.0.1", &[], Scheme::Unknown),
            (false, "10.0.0.1", &[""], Scheme::Unknown),
            (false, "10.0.0.1", &["https,"], Scheme::Unknown),
            (false, "10.0.0.1", &["gopher"], Scheme::Unknown),
            (false, "192.0.2.1", &["https"], Scheme::Unknown),
            (false, "192.0.2.1", &[], Scheme::Unknown),
        ] {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(X_FORWARDED_PROTO, value.parse().unwrap());
            }
            let peer = Remote::behind_proxy(peer.parse().unwrap());
            assert_eq!(Scheme::of(has_tls, peer, &headers, &proxies), scheme, "{has_tls} {peer} {said:?}");
        }
    }
}
