//! What the person who starts the server decides: flags, then environment, then the file, then defaults.

mod auth;
mod clients;
mod commands;
mod file;
mod limits;
mod load;
mod logs;
mod metrics;
mod servers;
mod settings;
mod tls;
mod url;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use sambad_core::time::duration;
use sambad_core::{CountryCode, Limits, Retention};
use tokio::net::TcpListener;

pub use auth::{AuthArgs, AuthMode};
pub use clients::{ClientLimitArgs, ClientLimits};
pub use commands::{AdminCommand, KeyCommand, TokenCommand};
pub use limits::LimitArgs;
pub use logs::{LogArgs, LogRequests};
pub use metrics::MetricsArgs;
pub use servers::{BrokerChoice, ServersArgs};
pub use settings::Settings;
pub use tls::TlsArgs;
pub use url::SecretUrl;

use crate::tls::Tls;

pub use crate::auth::{AuthConfig, IssuerConfig, Role, TokenConfig};

/// Real-time sync backend: REST in, gap-free WebSocket events out, one binary with an embedded database.
///
/// Without a command, it runs the server until SIGTERM or Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "sambad-server", version, max_term_width = 100)]
pub struct Cli {
    /// The command to run instead of the server.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings file in TOML, with keys named like the flags; default: sambad.toml in the working directory, if it exists
    #[arg(long, global = true, env = "SAMBAD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on; port 0 selects a free port
    #[arg(long, global = true, env = "SAMBAD_LISTEN", default_value = "127.0.0.1:4000", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Database: sqlite:PATH (the file is created if it does not exist), or postgres://USER:PASSWORD@HOST:PORT/NAME
    ///
    /// In PATH, write %25 for a percent sign and %3F for a question mark, as in URLs.
    #[arg(
        long,
        global = true,
        env = "SAMBAD_DATABASE",
        hide_env_values = true,
        default_value = "sqlite:sambad.db",
        value_name = "URL"
    )]
    pub database: SecretUrl,
    /// How much of the event log to keep: a time (30d), a number of events (10000000), a size (2GiB), or forever
    ///
    /// Older events are trimmed; users, contacts and messages stay. A client that requests a trimmed event gets a resync.
    #[arg(long, env = "SAMBAD_RETAIN_EVENTS", default_value = "forever", value_name = "HOW MUCH")]
    pub retain_events: Retention,
    /// How long the clock must agree with elapsed time, after a start or a jump, before the server trusts it
    ///
    /// Until then, events are stamped by elapsed time, and nothing is deleted for its age.
    #[arg(long, env = "SAMBAD_CLOCK_SETTLE", default_value = "5m", value_name = "TIME", value_parser = duration)]
    pub clock_settle: Duration,
    /// Country code of phone numbers without one
    #[arg(long, env = "SAMBAD_DEFAULT_COUNTRY_CODE", default_value = "+91", value_name = "CODE")]
    pub default_country_code: CountryCode,
    /// Log filter, in the syntax of tracing, such as `error,sambad=info` or `sambad_server=debug`
    ///
    /// With any filter, libraries log at most 10 lines a second from each place in their code.
    #[arg(long, env = "SAMBAD_LOG", default_value = "error,sambad=info", value_name = "FILTER")]
    pub log: String,
    /// Format of log lines
    #[arg(long, env = "SAMBAD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Time over which sessions reconnect after a shutdown, at most 1,000 a second
    #[arg(long, env = "SAMBAD_DRAIN_WINDOW", default_value = "10s", value_name = "TIME", value_parser = duration)]
    pub drain_window: Duration,
    /// How long /readyz fails at a shutdown before the server stops serving, so that a load balancer notices
    #[arg(long, env = "SAMBAD_DRAIN_DELAY", default_value = "0s", value_name = "TIME", value_parser = duration)]
    pub drain_delay: Duration,
    /// Allow core dumps, and debuggers of the same user; both can expose keys and messages
    #[arg(long, env = "SAMBAD_ALLOW_CORE_DUMPS")]
    pub allow_core_dumps: bool,
    /// Who may come in.
    #[command(flatten)]
    pub access: AuthArgs,
    /// How servers of one database hear of each other.
    #[command(flatten)]
    pub servers: ServersArgs,
    /// Bounds on what clients and queues may take.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Bounds on single clients.
    #[command(flatten)]
    pub clients: ClientLimitArgs,
    /// The certificate.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// What is logged of requests.
    #[command(flatten)]
    pub logs: LogArgs,
    /// Where metrics are to be had.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Every setting and where it came from; empty unless read by [`Cli::load`].
    #[arg(skip)]
    pub settings: Settings,
}

/// The command to run instead of the server.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print the settings that a server would use, with the source of each
    ///
    /// Secrets are left out. The output is a valid settings file.
    Config,
    /// Check the database and this machine; exits 1 if a check fails
    ///
    /// A server can run on the database at the same time.
    Check {
        /// Recount the rows if counters are wrong, and reset the log's last timestamp if it is ahead of the clock
        ///
        /// Nothing else changes. Stop all servers first.
        #[arg(long)]
        repair: bool,
        /// Only list users whose phone is another spelling of a number
        ///
        /// Earlier versions stored some numbers as users typed them. A line has the number, the user, and the user who has the
        /// number itself.
        #[arg(long, conflicts_with = "repair")]
        phones: bool,
    },
    /// Check whether a server is alive; exits 1 if it is not
    ///
    /// For health checks of containers that have no other HTTP client.
    Health {
        /// URL to request, which must return 2xx; default: /livez of the server that listens on --listen
        url: Option<String>,
    },
    /// Back up an SQLite database into a new file, also while a server runs on it
    Backup {
        /// The file to create
        file: PathBuf,
    },
    /// Restore a backup into a new database; dashboards and apps reload their state
    ///
    /// The database must not exist: an existing file is never replaced.
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Update the database's schema, as a server does when it starts
    ///
    /// On PostgreSQL, several migrations can run at once. On SQLite, stop the server first.
    Migrate {
        /// Only check, also while servers run; exits 1 unless the schema is the one of this version
        #[arg(long)]
        check: bool,
    },
    /// Copy a database into an empty one; dashboards and apps continue from their cursors
    ///
    /// One of the two must be PostgreSQL. Stop all servers of both first. The copy compares all rows at its end. Run an interrupted copy
    /// again: it continues.
    Copy {
        /// The database to read
        #[arg(long, value_name = "URL")]
        from: SecretUrl,
        /// The database to write: an empty one, or one that an earlier run left incomplete
        #[arg(long, value_name = "URL")]
        to: SecretUrl,
    },
    /// Print the epoch of the log; --renew starts a new epoch
    ///
    /// Renew it after a restore of PostgreSQL, or a failover that lost commits: readers may have seen events that no longer
    /// exist.
    Epoch {
        /// Give the log a new epoch, so that dashboards and apps reload their state; stop all servers first
        #[arg(long)]
        renew: bool,
    },
    /// Create the keys that sign tokens
    #[command(subcommand)]
    Key(KeyCommand),
    /// Create and revoke tokens, also while a server runs
    #[command(subcommand)]
    Token(TokenCommand),
    /// Manage the admin accounts of the dashboard, also while a server runs
    #[command(subcommand)]
    Admin(AdminCommand),
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text, for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl Cli {
    /// The path of `--database`; `None` if it is no file.
    ///
    /// # Errors
    /// When it is no name of a database, or could be meant otherwise.
    pub fn database_file(&self) -> anyhow::Result<Option<PathBuf>> {
        sambad_core::maintenance::database_file(&self.database).context("cannot use --database")
    }

    /// What the core is to be opened with.
    ///
    /// # Errors
    /// When what is said of the broker contradicts itself.
    pub fn core(&self) -> anyhow::Result<sambad_core::Config> {
        let limits = Limits {
            batch_commands_max: self.limits.batch_commands_max,
            queue_commands_max: self.limits.queue_commands_max,
            queue_bytes_max: self.limits.queue_bytes_max,
            tail_bytes_max: self.limits.tail_bytes_max,
            readers_max: self.limits.readers_max,
            clock_settle: self.clock_settle,
            ..Limits::default()
        };
        Ok(sambad_core::Config {
            database: (*self.database).to_owned(),
            broker: self.servers.broker()?,
            poll_interval: self.servers.poll_interval,
            limits,
            retention: self.retain_events,
        })
    }

    /// What the server is to be run with.
    ///
    /// # Errors
    /// When what callers authenticate by is not complete.
    pub fn server(&self) -> anyhow::Result<ServerConfig> {
        Ok(ServerConfig {
            auth: self.access.config()?,
            allowed_origins: self.access.allowed_origin.clone(),
            default_country_code: self.default_country_code.clone(),
            sessions_max: self.limits.sessions_max,
            heartbeat: Duration::from_secs(self.limits.heartbeat_s),
            drain_window: self.drain_window,
            drain_delay: self.drain_delay,
            body_timeout: self.clients.body_timeout,
            clients: self.clients.limits(),
            hsts: !self.tls.no_hsts,
            log_requests: self.logs.log_requests,
            ..ServerConfig::default()
        })
    }
}

/// How the server translates; everything has a default.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Whether callers have to say who they are. Default: nobody has to.
    pub auth: AuthConfig,
    /// Origins whose pages may use the server, beside its own. Default none; while nobody has to authenticate and it listens
    /// on loopback, none means any.
    pub allowed_origins: Vec<String>,
    /// Country code of numbers that come without one. Default `+91`.
    pub default_country_code: CountryCode,
    /// Sessions, WebSocket or event stream, at a time. Default 100,000; more are refused as overloaded.
    pub sessions_max: usize,
    /// Time between protocol pings. Default 25 s.
    pub heartbeat: Duration,
    /// How long after a ping a peer may be silent. Default 10 s; then it is closed as idle.
    pub pong_grace: Duration,
    /// How long a socket may accept no byte. Default 30 s; then a session is closed as stalled, any other answer is cut. A
    /// connection whose client acknowledges nothing for as long is lost.
    pub stall_timeout: Duration,
    /// How long a request's body may take to arrive. Default 10 s.
    pub body_timeout: Duration,
    /// Time over which sessions are told to come back when the server drains. Default 10 s; fewer than a thousand sessions a
    /// second of it come back within less.
    pub drain_window: Duration,
    /// How long readiness fails, and everything is served, before sessions are told. Default 0.
    pub drain_delay: Duration,
    /// How much one client may take.
    pub clients: ClientLimits,
    /// The certificate to show. Default none: plain HTTP.
    pub tls: Option<Tls>,
    /// Whether clients that came over TLS are told to insist on it (`Strict-Transport-Security`), for a year, unless they came
    /// by an address or a name of their own machine. Default true.
    pub hsts: bool,
    /// Requests that get a line in the log. Default: those that fail.
    pub log_requests: LogRequests,
    /// Where metrics are served. Default: at `/metrics` among everything else.
    pub metrics_listener: Option<Arc<TcpListener>>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            auth: AuthConfig::None,
            allowed_origins: Vec::new(),
            default_country_code: CountryCode::default(),
            sessions_max: 100_000,
            heartbeat: Duration::from_secs(25),
            pong_grace: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            drain_window: Duration::from_secs(10),
            drain_delay: Duration::ZERO,
            clients: ClientLimits::default(),
            tls: None,
            hsts: true,
            log_requests: LogRequests::Failed,
            metrics_listener: None,
        }
    }
}
