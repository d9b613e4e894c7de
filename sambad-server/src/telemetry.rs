//! Logs: to stderr, so that stdout stays what scripts wait for.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;
use crate::line_limit::LineLimit;

/// Installs the process's logger.
///
/// # Errors
/// When `filter` cannot be parsed.
///
/// # Panics
/// When a logger is installed already.
pub fn install(filter: &str, format: LogFormat) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            logger.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).finish().with(LineLimit::new()).init();
        }
        LogFormat::Json => logger.json().flatten_event(true).finish().with(LineLimit::new()).init(),
    }
    Ok(())
}
