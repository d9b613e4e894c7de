//! `health`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::say;
use crate::config::Cli;

/// How long a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks `url`, or whether this machine's own server is alive: anything but 2xx is a failure.
pub(super) async fn run(cli: &Cli, url: Option<&str>) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
    // The own server's certificate is for the name that others know it by, and who else would listen at the own address?
    let client = client.tls_danger_accept_invalid_certs(url.is_none()).build().context("cannot create an HTTP client")?;
    let url = url.map_or_else(|| own(cli.listen, cli.tls.tls_cert.is_some()), str::to_owned);
    let answer = client.get(&url).send().await.map_err(reqwest::Error::without_url);
    let status = answer.with_context(|| format!("{url} does not respond"))?.status();
    ensure!(status.is_success(), "{url} returns {status}");
    say(format_args!("{url} returns {status}")).context("cannot write to stdout")
}

/// Where the server that listens on `listen` says that it is alive; one that listens everywhere is asked on loopback.
fn own(listen: SocketAddr, tls: bool) -> String {
    let ip = match listen.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{}/livez", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a server is asked where it can be reached. Method: a table.
    #[test]
    fn asks_where_the_server_listens() {
        for (listen, tls, url) in [
            ("127.0.0.1:4000", false, "http://127.0.0.1:4000/livez"),
            ("0.0.0.0:80", true, "https://127.0.0.1:80/livez"),
            ("[::]:4000", false, "http://[::1]:4000/livez"),
            ("[::ffff:0.0.0.0]:4000", false, "http://127.0.0.1:4000/livez"),
            ("10.0.0.7:4000", false, "http://10.0.0.7:4000/livez"),
        ] {
            assert_eq!(own(listen.parse().unwrap(), tls), url);
        }
    }
}
