//! Whose address a request is counted under, and who is believed about it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::sessions::Remote;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses of a chain of proxies that are looked at: real ones have a handful.
const HOPS_MAX: usize = 32;

/// What one address is for counting: of IPv6 the /64, since that is what one subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AddressKey {
    V4(u32),
    V6(u64),
}

impl AddressKey {
    pub(crate) fn of(client: Remote) -> Self {
        match client.ip() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => match address.segments() {
                // Translators put all of IPv4 into this one network. Source: RFC 6052, 2.1.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Self::V4(u32::from(high) << 16 | u32::from(low)),
                [a, b, c, d, ..] => Self::V6([a, b, c, d].into_iter().fold(0, |key, segment| key << 16 | u64::from(segment))),
            },
        }
    }
}

/// As failed logins are stored: an IPv4 address, or a /64 without abbreviation.
impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(bits) => Ipv4Addr::from_bits(bits).fmt(f),
            Self::V6(network) => {
                let [a, b, c, d, ..] = Ipv6Addr::from_bits(u128::from(network) << 64).segments();
                write!(f, "{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

/// The proxies that are believed about who their clients are.
#[derive(Debug)]
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
    /// Whether an operator was told that a proxy seems to be missing from the list.
    told: AtomicBool,
}

impl Proxies {
    pub(crate) fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted, told: AtomicBool::new(false) }
    }

    pub(crate) fn trusts(&self, client: Remote) -> bool {
        let ip = client.ip();
        // A network of IPv6 may have addresses of IPv4 in it.
        let mapped = match ip {
            IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
            IpAddr::V6(_) => ip,
        };
        self.trusted.iter().any(|network| network.contains(&ip) || network.contains(&mapped))
    }

    /// The client behind `peer`: the last address of `X-Forwarded-For` that is no trusted proxy, if `peer` is one; its port is
    /// not known then, and 0. What anybody but a trusted proxy says of itself counts for nothing.
    pub(crate) fn client(&self, peer: Remote, headers: &HeaderMap) -> Remote {
        // Most servers have no proxies, and most requests no such header.
        if !headers.contains_key(X_FORWARDED_FOR) {
            return peer;
        }
        if !self.trusts(peer) {
            self.tell(peer);
            return peer;
        }
        let mut client = peer;
        // Each proxy adds at the end, in the last field of that name, so the chain is walked backwards.
        let fields = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let hops = fields.flat_map(|field| field.to_str().unwrap_or_default().rsplit(','));
        for hop in hops.take(HOPS_MAX) {
            // Beyond what cannot be read nobody vouches for anything.
            let Some(address) = address(hop.trim()) else { break };
            client = Remote::behind_proxy(address);
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// A proxy on this machine that is not named hides everybody behind an address that no bound is for.
    fn tell(&self, peer: Remote) {
        // Relaxed: told twice would do no harm.
        if peer.ip().is_loopback() && !self.told.swap(true, Ordering::Relaxed) {
            let peer = peer.ip();
            tracing::warn!(%peer, "X-Forwarded-For from a proxy that --trusted-proxy does not name: all its clients \
                count as one local address");
        }
    }
}

/// Reads an address as proxies write it: alone, with a port, in brackets or quotes, with a scope.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        // Of a text with several colons all are an address's.
        None if text.matches(':').count() == 1 => text.split_at(text.find(':')?),
        None => (text, ""),
    };
    if !port.is_empty() && port.strip_prefix(':')?.parse::<u16>().is_err() {
        return None;
    }
    match host.split_once('%') {
        Some((address, _scope)) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// Goal: who the client is follows from what trusted proxies say, and from nothing else. Method: a table of peers, chains
    /// and the address that counts.
    #[test]
    fn only_trusted_proxies_are_believed() {
        let networks = ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8", "fe80::/10", "::ffff:172.16.0.0/108"];
        let proxies = Proxies::new(networks.iter().map(|network| network.parse().unwrap()).collect());
        for (peer, fields, client) in [
            ("10.0.0.1:5", &["203.0.113.9"][..], "203.0.113.9:0"),
            ("10.0.0.1:5", &["198.51.100.1, 203.0.113.9, 10.2.3.4"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["198.51.100.1", "203.0.113.9"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["10.9.9.9, 10.2.3.4"], "10.9.9.9:0"),
            ("10.0.0.1:5", &["203.0.113.9:1234"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["[2001:db8::1]:443"], "[2001:db8::1]:0"),
            ("10.0.0.1:5", &["[2001:db8::1]"], "[2001:db8::1]:0"),
            ("10.0.0.1:5", &["198.51.100.1, what, 10.2.3.4"], "10.2.3.4:0"),
            ("10.0.0.1:5", &[""], "10.0.0.1:5"),
            ("10.0.0.1:5", &[], "10.0.0.1:5"),
            ("[::ffff:10.0.0.1]:5", &["203.0.113.9"], "203.0.113.9:0"),
            ("[::ffff:10.0.0.1]:5", &[], "10.0.0.1:5"),
            ("172.31.0.1:5", &["203.0.113.9"], "203.0.113.9:0"),
            ("172.32.0.1:5", &["203.0.113.9"], "172.32.0.1:5"),
            ("10.0.0.1:5", &["::ffff:203.0.113.9"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["::FFFF:cb00:7109"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["[::ffff:203.0.113.9]:443, ::ffff:10.2.3.4"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["\"[2001:db8::1]:443\""], "[2001:db8::1]:0"),
            ("10.0.0.1:5", &["203.0.113.9, fe80::1%eth0"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["203.0.113.9, [fe80::1%25eth0]:1"], "203.0.113.9:0"),
            ("10.0.0.1:5", &["203.0.113.9:http"], "10.0.0.1:5"),
            ("10.0.0.1:5", &["203.0.113.9%eth0"], "10.0.0.1:5"),
            ("[fe80::1%3]:5", &["203.0.113.9"], "203.0.113.9:0"),
            ("[fd00::1]:5", &["203.0.113.9"], "203.0.113.9:0"),
            ("192.0.2.1:5", &["203.0.113.9"], "192.0.2.1:5"),
            ("127.0.0.2:5", &["203.0.113.9"], "127.0.0.2:5"),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(field));
            }
            let peer = Remote::new(peer.parse().unwrap());
            assert_eq!(proxies.client(peer, &headers).to_string(), client, "{peer} {fields:?}");
        }
    }

    /// Goal: a network of IPv6 that has mapped addresses in it has those of IPv4 in it. Method: all of IPv6, and half of it.
    #[test]
    fn wide_networks_have_ipv4_in_them() {
        for (network, trusted) in [("::/0", true), ("::ffff:0:0/90", true), ("8000::/1", false), ("0.0.0.0/0", true)] {
            let proxies = Proxies::new(vec![network.parse().unwrap()]);
            assert_eq!(proxies.trusts(Remote::new("192.0.2.1:5".parse().unwrap())), trusted, "{network}");
        }
    }

    /// Goal: a subscriber of IPv6 cannot have a new name for each request. Method: addresses of one /64 and of two; an IPv4
    /// address in every spelling.
    #[test]
    fn ipv6_counts_by_subscriber() {
        let key = |text: &str| AddressKey::of(Remote::behind_proxy(text.parse().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("64:ff9b::192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("64:ff9b::192.0.2.1"), key("64:ff9b::192.0.2.2"));
        assert_eq!(key("::ffff:192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(key("2001:db8::9").to_string(), "2001:db8:0:0::/64");
    }
}
