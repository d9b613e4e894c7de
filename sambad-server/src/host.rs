//! The name by which a client reached the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::header::HOST;
use axum::http::{HeaderMap, Uri};

/// `host [ ":" port ]`, as `Host` and `:authority` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// As the client wrote it; an IPv6 address in its brackets.
    pub(crate) name: &'a str,
    pub(crate) port: Option<u16>,
}

impl<'a> Host<'a> {
    /// The host of a request: that of its target, which HTTP/2 always has, or that of its header.
    ///
    /// Source: RFC 9112, 3.2.2; RFC 9113, 8.3.1.
    pub(crate) fn of(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Self> {
        match uri.authority() {
            Some(authority) => Self::parse(authority.as_str()),
            None => Self::parse(headers.get(HOST)?.to_str().ok()?),
        }
    }

    /// Reads an address or a name of letters, digits and `-._~`. RFC 3986 allows more characters in a name, which no client sends
    /// and which proxies read differently, a comma above all.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (name, port) = if text.starts_with('[') {
            let (name, port) = text.split_at(text.find(']')? + 1);
            name[1..name.len() - 1].parse::<Ipv6Addr>().ok()?;
            (name, port)
        } else {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            if name.is_empty() || !name.bytes().all(known) {
                return None;
            }
            (name, port)
        };
        let digits = if port.is_empty() { port } else { port.strip_prefix(':')? };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let port = if digits.is_empty() { None } else { Some(digits.parse().ok()?) };
        Some(Self { name, port })
    }

    /// Whether this is the loopback interface, by its address or as `localhost`.
    pub(crate) fn is_loopback(self) -> bool {
        self.name.eq_ignore_ascii_case("localhost") || self.address().is_some_and(|address| address.is_loopback())
    }

    /// Whether this is a name that browsers keep `Strict-Transport-Security` for, and that is not this machine's own.
    ///
    /// Source: RFC 6797, 8.1.1, for addresses; RFC 6761, 6.3, for `localhost`.
    pub(crate) fn takes_hsts(self) -> bool {
        let name = self.name.strip_suffix('.').unwrap_or(self.name);
        let last_label = name.rsplit('.').next().unwrap_or_default();
        // A last label of digits is read as an address by browsers, also one that Rust does not parse, such as `127.1`.
        let is_address = self.address().is_some() || last_label.bytes().all(|byte| byte.is_ascii_digit());
        !is_address && !last_label.eq_ignore_ascii_case("localhost")
    }

    fn address(self) -> Option<IpAddr> {
        match self.name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a cookie without `Secure` never goes to a name that a network can see. Method: a table of hosts.
    #[test]
    fn only_loopback_names_go_without_tls() {
        let is_loopback = |text| Host::parse(text).is_some_and(Host::is_loopback);
        for host in ["localhost", "LocalHost:4000", "127.0.0.1:4000", "127.9.9.9", "[::1]:4000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "sambad.example", "localhost.example", "10.0.0.1:4000", "[fe80::1]:4000", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    /// Goal: browsers are told to insist on TLS for public names alone. Method: a table of hosts.
    #[test]
    fn hsts_is_for_names_of_networks() {
        let takes_hsts = |text| Host::parse(text).is_some_and(Host::takes_hsts);
        for host in ["sambad.example", "Sambad.Example:8443", "sambad.example.", "sambad", "localhost.example", "1.2.3.4.example"]
        {
            assert!(takes_hsts(host), "{host}");
        }
        for host in [
            "localhost",
            "LOCALHOST:4000",
            "localhost.",
            "app.localhost",
            "app.LocalHost.",
            "127.0.0.1",
            "192.0.2.1:443",
            "127.1",
            "192.0.2.1.",
            "[2001:db8::1]",
            "[::1]:4000",
            "",
            "not a host",
        ] {
            assert!(!takes_hsts(host), "{host}");
        }
    }
}
