//! Whose address a request is counted under, and who is believed about it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d].into_iter().fold(0, |key, segment| key << 16 | u64::from(segment)))
            }
        }
    }
}

impl fmt::Display for AddressKey {
    /// The address, or of IPv6 the network; the same text for every spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(bits) => Ipv4Addr::from_bits(*bits).fmt(f),
            Self::V6(network) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*network) << 64)),
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

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The client behind `peer`: the last address of `X-Forwarded-For` that is no trusted proxy, if `peer` is one; its port is
    /// not known then, and 0. What anybody but a trusted proxy says of itself counts for nothing.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Remote {
        // Most servers have no proxies, and most requests no such header.
        if !headers.contains_key(X_FORWARDED_FOR) {
            return Remote(peer);
        }
        if !self.trusts(peer.ip()) {
            self.tell(peer.ip());
            return Remote(peer);
        }
        let mut client = peer;
        // Each proxy adds at the end, in the last field of that name, so the chain is walked backwards.
        let fields = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let hops = fields.flat_map(|field| field.to_str().unwrap_or_default().rsplit(','));
        for hop in hops.take(HOPS_MAX) {
            // Beyond what cannot be read nobody vouches for anything.
            let Some(address) = address(hop.trim()) else { break };
            client = SocketAddr::new(address, 0);
            if !self.trusts(address) {
                break;
            }
        }
        Remote(client)
    }

    /// A proxy on this machine that is not named hides everybody behind an address that no bound is for.
    fn tell(&self, peer: IpAddr) {
        // Relaxed: told twice would do no harm.
        if peer.to_canonical().is_loopback() && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%peer, "X-Forwarded-For of a proxy that is not named by --trusted-proxy: its clients are not told apart");
        }
    }
}

/// Reads an address as proxies write it: alone, with a port, or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// Goal: who the client is follows from what trusted proxies say, and from nothing else. Method: a table of peers, chains
    /// and the address that counts.
    #[test]
    fn only_trusted_proxies_are_believed() {
        let networks = ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"];
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
            ("[fd00::1]:5", &["203.0.113.9"], "203.0.113.9:0"),
            ("192.0.2.1:5", &["203.0.113.9"], "192.0.2.1:5"),
            ("127.0.0.2:5", &["203.0.113.9"], "127.0.0.2:5"),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(field));
            }
            assert_eq!(proxies.client(peer.parse().unwrap(), &headers).0.to_string(), client, "{peer} {fields:?}");
        }
    }

    /// Goal: a subscriber of IPv6 cannot have a new name for each request. Method: addresses of one /64 and of two; an IPv4
    /// address in both spellings.
    #[test]
    fn ipv6_counts_by_subscriber() {
        let key = |text: &str| AddressKey::of(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
