//! What is examined, and how patiently.

use std::time::Duration;

use reqwest::Url;
use sambad_client::Client;

/// Someone whom no event involves: what is asked for on their behalf stays quiet, however much others write.
pub(super) const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// The server's address, as it is dialled.
#[derive(Debug)]
pub(super) struct Target {
    base: Url,
    pub(super) client: Client,
    /// How long a step may take.
    pub(super) limit: Duration,
}

impl Target {
    pub(super) fn new(client: &Client, limit: Duration) -> anyhow::Result<Self> {
        Ok(Self { base: Url::parse(client.url())?, client: client.clone(), limit })
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.base.port_or_known_default().unwrap_or(80)
    }

    /// The address of a stream of what involves nobody; a path before the interface's own is kept.
    pub(super) fn stream(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(Some(&format!("user={NOBODY}")));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is dialled is what the client dials. Method: names, literals and paths.
    #[test]
    fn addresses_are_taken_apart() {
        for (url, host, port, stream) in [
            ("http://example.org", "example.org", 80, "http://example.org/ws"),
            ("http://[::1]:4000/", "::1", 4000, "http://[::1]:4000/ws"),
            ("http://127.0.0.1:4000/sambad/", "127.0.0.1", 4000, "http://127.0.0.1:4000/sambad/ws"),
        ] {
            let target = Target::new(&Client::new(url).unwrap(), Duration::ZERO).unwrap();
            assert_eq!((target.host(), target.port()), (host, port));
            assert_eq!(target.stream("/ws").as_str(), format!("{stream}?user={NOBODY}"));
        }
    }
}
