//! What is logged of requests.

use clap::{Args, ValueEnum};

/// What is logged beside what goes wrong in the server itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs and figures")]
pub struct LogArgs {
    /// Requests that get a line in the log
    #[arg(long, env = "SAMBAD_LOG_REQUESTS", value_enum, default_value_t = LogRequests::Failed)]
    pub log_requests: LogRequests,
    /// Show phones in the log in full; otherwise they are masked
    #[arg(long, env = "SAMBAD_LOG_PII")]
    pub log_pii: bool,
}

/// Requests that get a line in the log, as target `sambad_server::request` at level info.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogRequests {
    /// Every one; a line costs about a tenth of what a write does
    All,
    /// Those answered with a status from 400 on, at most 100 a second
    Failed,
    /// None
    None,
}
