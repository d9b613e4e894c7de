//! What is logged of requests.

use clap::{Args, ValueEnum};

/// What is logged beside what goes wrong in the server itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs and metrics")]
pub struct LogArgs {
    /// Requests that are logged, one line each
    #[arg(long, env = "SAMBAD_LOG_REQUESTS", value_enum, default_value_t = LogRequests::Failed)]
    pub log_requests: LogRequests,
    /// Log phone numbers in full; otherwise they are masked
    #[arg(long, env = "SAMBAD_LOG_PII")]
    pub log_pii: bool,
}

/// Requests that get a line in the log, as target `sambad_server::request` at level info.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogRequests {
    /// All requests; a line costs about a tenth of a write
    All,
    /// Requests with a response status of 400 or above, at most 100 a second
    Failed,
    /// No requests
    None,
}
