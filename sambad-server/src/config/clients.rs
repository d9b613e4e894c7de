//! How much one address, one principal and one connection may take.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

/// Bounds on single clients. Of every number, 0 switches the bound off.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rate limits and quotas of one client (0: no limit)")]
pub struct ClientLimitArgs {
    /// Networks of trusted proxies; the server uses X-Forwarded-For only on connections from them
    #[arg(long, env = "SAMBAD_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub trusted_proxy: Vec<IpNet>,
    /// Apply the limits of addresses to this machine's own addresses, too
    #[arg(long, env = "SAMBAD_LIMIT_LOOPBACK")]
    pub limit_loopback: bool,
    /// Requests a second from one address; more get 429
    #[arg(long, env = "SAMBAD_ADDRESS_REQUESTS_PER_S", default_value_t = 5_000, value_name = "N", value_parser = rate())]
    pub address_requests_per_s: u32,
    /// Requests a second of one principal, except services; more get 429
    #[arg(long, env = "SAMBAD_PRINCIPAL_REQUESTS_PER_S", default_value_t = 500, value_name = "N", value_parser = rate())]
    pub principal_requests_per_s: u32,
    /// Logins a minute of one person with an outside issuer's tokens; more get 429
    #[arg(long, env = "SAMBAD_PRINCIPAL_LOGINS_PER_MIN", default_value_t = 30, value_name = "N", value_parser = rate())]
    pub principal_logins_per_min: u32,
    /// Logins and token refreshes of users a minute from one address; more get 429
    #[arg(long, env = "SAMBAD_ADDRESS_LOGINS_PER_MIN", default_value_t = 1_200, value_name = "N", value_parser = rate())]
    pub address_logins_per_min: u32,
    /// Logins of admins a minute from one address; more get 429
    #[arg(long, env = "SAMBAD_ADDRESS_ADMIN_LOGINS_PER_MIN", default_value_t = 30, value_name = "N", value_parser = rate())]
    pub address_admin_logins_per_min: u32,
    /// WebSockets and event streams opened a second from one address; more get 503
    #[arg(long, env = "SAMBAD_ADDRESS_HANDSHAKES_PER_S", default_value_t = 500, value_name = "N", value_parser = rate())]
    pub address_handshakes_per_s: u32,
    /// Sessions at a time from one address; more get 503
    #[arg(long, env = "SAMBAD_ADDRESS_SESSIONS_MAX", default_value_t = 10_000, value_name = "N", value_parser = rate())]
    pub address_sessions_max: u32,
    /// Sessions at a time of one principal, except services; more get 503
    #[arg(long, env = "SAMBAD_PRINCIPAL_SESSIONS_MAX", default_value_t = 100, value_name = "N", value_parser = rate())]
    pub principal_sessions_max: u32,
    /// New phone numbers that one principal (or one address, without authentication) can look up a day; a request with more gets
    /// 429
    #[arg(long, env = "SAMBAD_NEW_PHONES_PER_DAY", default_value_t = 20_000, value_name = "N", value_parser = rate())]
    pub new_phones_per_day: u32,
    /// Frames a second from one WebSocket; a session with more is closed with 4029
    #[arg(long, env = "SAMBAD_SESSION_FRAMES_PER_S", default_value_t = 100, value_name = "N", value_parser = rate())]
    pub session_frames_per_s: u32,
    /// Connections at a time; more are closed at once
    #[arg(long, env = "SAMBAD_CONNECTIONS_MAX", default_value_t = 150_000, value_name = "N", value_parser = rate())]
    pub connections_max: u32,
    /// Connections at a time from one address, except trusted proxies; more are closed at once
    #[arg(long, env = "SAMBAD_ADDRESS_CONNECTIONS_MAX", default_value_t = 12_000, value_name = "N", value_parser = rate())]
    pub address_connections_max: u32,
    /// Connections opened a second from one address, except trusted proxies; more are closed at once
    #[arg(long, env = "SAMBAD_ADDRESS_CONNECTIONS_PER_S", default_value_t = 1_000, value_name = "N", value_parser = rate())]
    pub address_connections_per_s: u32,
    /// Bytes of a request's headers; longer headers get 431
    #[arg(long, env = "SAMBAD_HEADER_BYTES_MAX", default_value_t = 16 << 10, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(8 << 10..=1 << 20))]
    pub header_bytes_max: u32,
    /// Bytes of a request's body; a longer body gets 413
    #[arg(long, env = "SAMBAD_BODY_BYTES_MAX", default_value_t = 64 << 10, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1 << 10..=64 << 10))]
    pub body_bytes_max: u32,
    /// Bytes of a body with an address book; a longer body gets 413
    #[arg(long, env = "SAMBAD_ADDRESS_BOOK_BYTES_MAX", default_value_t = 1 << 20, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1 << 10..=8 << 20))]
    pub address_book_bytes_max: u32,
    /// Timeout for a request's headers; then the connection is closed
    #[arg(long, env = "SAMBAD_HEADER_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = timeout)]
    pub header_timeout: Duration,
    /// Timeout for a request's body; then the request gets 408
    #[arg(long, env = "SAMBAD_BODY_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = timeout)]
    pub body_timeout: Duration,
    /// Timeout for an idle connection between requests; then it is closed
    #[arg(long, env = "SAMBAD_IDLE_TIMEOUT", default_value = "60s", value_name = "TIME", value_parser = timeout)]
    pub idle_timeout: Duration,
    /// Timeout for a TLS handshake; then the connection is closed
    #[arg(long, env = "SAMBAD_HANDSHAKE_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = timeout)]
    pub handshake_timeout: Duration,
}

impl ClientLimitArgs {
    /// What was chosen, as the server takes it.
    pub(super) fn limits(&self) -> ClientLimits {
        ClientLimits {
            trusted_proxies: self.trusted_proxy.clone(),
            limit_loopback: self.limit_loopback,
            address_requests_per_s: self.address_requests_per_s,
            principal_requests_per_s: self.principal_requests_per_s,
            principal_logins_per_min: self.principal_logins_per_min,
            address_logins_per_min: self.address_logins_per_min,
            address_admin_logins_per_min: self.address_admin_logins_per_min,
            address_handshakes_per_s: self.address_handshakes_per_s,
            address_sessions_max: self.address_sessions_max,
            principal_sessions_max: self.principal_sessions_max,
            new_phones_per_day: self.new_phones_per_day,
            session_frames_per_s: self.session_frames_per_s,
            connections_max: self.connections_max,
            address_connections_max: self.address_connections_max,
            address_connections_per_s: self.address_connections_per_s,
            header_bytes_max: self.header_bytes_max as usize,
            body_bytes_max: self.body_bytes_max as usize,
            address_book_bytes_max: self.address_book_bytes_max as usize,
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
            handshake_timeout: self.handshake_timeout,
        }
    }
}

/// How much one address, one principal and one connection may take. Of every rate and count, 0 means that there is no such bound.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Networks from which `X-Forwarded-For` is believed. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether addresses of this machine are counted like any other. Default no: a benchmark, a test or a proxy that was not
    /// named comes from one address and is everybody.
    pub limit_loopback: bool,
    /// Requests a second from one address. Default 5,000; more are refused as rate limited.
    pub address_requests_per_s: u32,
    /// Requests a second of one principal other than a service. Default 500; more are refused as rate limited.
    pub principal_requests_per_s: u32,
    /// Logins a minute of one principal that is no service. Default 30; 0: any number.
    pub principal_logins_per_min: u32,
    /// Logins and refreshed tokens of users a minute from one address. Default 1,200; more are refused as rate limited.
    pub address_logins_per_min: u32,
    /// Logins of admins a minute from one address. Default 30; more are refused as rate limited.
    pub address_admin_logins_per_min: u32,
    /// WebSockets and event streams opened a second from one address. Default 500; more are refused as overloaded.
    pub address_handshakes_per_s: u32,
    /// Sessions at a time from one address. Default 10,000; more are refused as overloaded.
    pub address_sessions_max: u32,
    /// Sessions at a time of one principal other than a service. Default 100; more are refused as overloaded.
    pub principal_sessions_max: u32,
    /// Phones that one principal, or without authentication one address, asks for in a day (UTC) and never asked for before.
    /// Default 20,000; a request with more is refused as rate limited.
    pub new_phones_per_day: u32,
    /// Frames a second that a WebSocket may send. Default 100; beyond it is closed as rate limited.
    pub session_frames_per_s: u32,
    /// Connections at a time. Default 150,000; more are closed at once.
    pub connections_max: u32,
    /// Connections at a time from one address that is no trusted proxy. Default 12,000; more are closed at once.
    pub address_connections_max: u32,
    /// Connections opened a second from one address that is no trusted proxy. Default 1,000; more are closed at once.
    pub address_connections_per_s: u32,
    /// Bytes of a request's head. Default 16 KiB; at least 8 KiB.
    pub header_bytes_max: usize,
    /// Bytes of a request's body. Default 64 KiB.
    pub body_bytes_max: usize,
    /// Bytes of a body that carries an address book. Default 1 MiB.
    pub address_book_bytes_max: usize,
    /// How long a request's head may take to arrive. Default 10 s; then the connection is closed.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests. Default 60 s; then it is closed.
    pub idle_timeout: Duration,
    /// How long a TLS handshake may take. Default 10 s; then the connection is closed.
    pub handshake_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            limit_loopback: false,
            address_requests_per_s: 5_000,
            principal_requests_per_s: 500,
            principal_logins_per_min: 30,
            address_logins_per_min: 1_200,
            address_admin_logins_per_min: 30,
            address_handshakes_per_s: 500,
            address_sessions_max: 10_000,
            principal_sessions_max: 100,
            new_phones_per_day: 20_000,
            session_frames_per_s: 100,
            connections_max: 150_000,
            address_connections_max: 12_000,
            address_connections_per_s: 1_000,
            header_bytes_max: 16 << 10,
            body_bytes_max: 64 << 10,
            address_book_bytes_max: 1 << 20,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// A rate or a count: what a number of 0 switches off; the upper end only catches a slip of the finger.
fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=10_000_000)
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    network.map_err(|_| "expected a network such as 10.0.0.0/8, or an address".to_owned())
}

/// A time that a slow but honest client needs, and a forgotten one does not outlast.
fn timeout(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3_600);
    let time = sambad_core::time::duration(text).map_err(|error| error.to_string())?;
    if bounds.contains(&time) { Ok(time) } else { Err("expected a time from 1s to 1h".to_owned()) }
}
