//! What the person who starts the server decides: flags, then environment, then defaults.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use sambad_core::{CountryCode, Limits};

/// Real-time sync backend: REST in, gap-free WebSocket events out, one binary with an embedded database.
#[derive(Debug, Parser)]
#[command(name = "sambad-server", version, max_term_width = 100)]
pub struct Cli {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, env = "SAMBAD_LISTEN", default_value = "127.0.0.1:4000", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Database; the file is created if there is none
    #[arg(long, env = "SAMBAD_DATABASE", default_value = "sqlite:sambad.db", value_name = "URL")]
    pub database: String,
    /// Country code of numbers that come without one
    #[arg(long, env = "SAMBAD_DEFAULT_COUNTRY_CODE", default_value = "+91", value_name = "CODE")]
    pub default_country_code: CountryCode,
    /// What is logged, as a tracing filter such as `info` or `sambad_server=debug`
    #[arg(long, env = "SAMBAD_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// How a log line looks
    #[arg(long, env = "SAMBAD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Bounds on what clients and queues may take.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Bounds that can be chosen at start.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// WebSocket sessions at a time; more are refused with 503
    #[arg(long, env = "SAMBAD_SESSIONS_MAX", default_value_t = 100_000, value_name = "N", value_parser = at_least_one)]
    pub sessions_max: usize,
    /// Seconds between pings; a peer silent for 10 s after one is closed
    #[arg(long, env = "SAMBAD_HEARTBEAT_S", default_value_t = 25, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub heartbeat_s: u64,
    /// Writes waiting for the disk at a time; more are refused with 503
    #[arg(long, env = "SAMBAD_QUEUE_COMMANDS_MAX", default_value_t = Limits::default().queue_commands_max, value_name = "N", value_parser = at_least_one)]
    pub queue_commands_max: usize,
    /// Writes in one transaction
    #[arg(long, env = "SAMBAD_BATCH_COMMANDS_MAX", default_value_t = Limits::default().batch_commands_max, value_name = "N", value_parser = at_least_one)]
    pub batch_commands_max: usize,
    /// Bytes of the newest events kept in memory; older ones are read from disk
    #[arg(long, env = "SAMBAD_TAIL_BYTES_MAX", default_value_t = Limits::default().tail_bytes_max, value_name = "BYTES")]
    pub tail_bytes_max: usize,
}

/// Parses a bound of which 0 would mean a server that does nothing; the upper end is what a semaphore can count.
fn at_least_one(text: &str) -> Result<usize, String> {
    const MAX: usize = 1 << 24;
    match text.parse() {
        Ok(number) if (1..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("expected a number from 1 to {MAX}")),
    }
}

impl Cli {
    /// What the core is to be opened with.
    #[must_use]
    pub fn core(&self) -> sambad_core::Config {
        let limits = Limits {
            batch_commands_max: self.limits.batch_commands_max,
            queue_commands_max: self.limits.queue_commands_max,
            tail_bytes_max: self.limits.tail_bytes_max,
            ..Limits::default()
        };
        sambad_core::Config { database: self.database.clone(), limits }
    }

    /// What the server is to be run with.
    #[must_use]
    pub fn server(&self) -> ServerConfig {
        ServerConfig {
            default_country_code: self.default_country_code.clone(),
            sessions_max: self.limits.sessions_max,
            heartbeat: Duration::from_secs(self.limits.heartbeat_s),
            ..ServerConfig::default()
        }
    }
}

/// How the server translates; everything has a default.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Country code of numbers that come without one. Default `+91`.
    pub default_country_code: CountryCode,
    /// WebSocket sessions at a time. Default 100,000; more are refused as overloaded.
    pub sessions_max: usize,
    /// Time between protocol pings. Default 25 s.
    pub heartbeat: Duration,
    /// How long after a ping a peer may be silent. Default 10 s; then it is closed as idle.
    pub pong_grace: Duration,
    /// How long a socket may accept no byte. Default 30 s; then it is closed as stalled.
    pub stall_timeout: Duration,
    /// How long a request's body may take to arrive. Default 10 s.
    pub body_timeout: Duration,
    /// Time over which sessions are told to come back when the server drains. Default 2 s.
    pub drain_window: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            default_country_code: CountryCode::default(),
            sessions_max: 100_000,
            heartbeat: Duration::from_secs(25),
            pong_grace: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            drain_window: Duration::from_secs(2),
        }
    }
}
