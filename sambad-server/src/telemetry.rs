//! Logs: to stderr, so that stdout stays what scripts wait for.

mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use sambad_core::stats::Count;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;
use crate::line_limit::LineLimit;
use writer::LogWriter;

/// How long a process that ends waits for its log to be written.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// The process's log: a process has one stderr, however many servers it runs.
static LOG: OnceLock<LogWriter> = OnceLock::new();
/// Lines of it that were lost.
static LOST: LazyLock<Arc<Count>> = LazyLock::new(Arc::default);

fn log() -> &'static LogWriter {
    LOG.get_or_init(|| match io::stderr().as_fd().try_clone_to_owned() {
        // A descriptor of its own: the standard library's stderr has a lock, which a write that blocks would hold, and takes a
        // closed descriptor for one that can be written.
        Ok(stderr) => LogWriter::start(File::from(stderr), lost_lines()),
        Err(_) => LogWriter::start(NoStderr, lost_lines()),
    })
}

/// Where no descriptor is left, every line is lost.
struct NoStderr;

impl Write for NoStderr {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Installs the process's logger, and a panic hook by which panics are lines of the log.
///
/// Whoever logs waits for nothing: lines that cannot be written, or are more than may wait, are lost, counted
/// (`sambad_log_lines_lost_total`), and reported once the log can be written again. [`finish`] writes what is left.
///
/// # Errors
/// When `filter` cannot be parsed.
///
/// # Panics
/// When a logger is installed already.
pub fn install(filter: &str, format: LogFormat) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log().clone());
    match format {
        LogFormat::Text => {
            logger.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).finish().with(LineLimit::new()).init();
        }
        LogFormat::Json => logger.json().flatten_event(true).finish().with(LineLimit::new()).init(),
    }
    // The standard library's hook writes to stderr itself, and waits for whoever reads it.
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Writes a line to stderr, behind those of the log and as patiently: it does not wait, and may be lost.
pub fn say(line: &str) {
    // Nothing has escaped it yet; it may have several lines.
    let escape = |c: char| if c.is_control() && c != '\n' { c.escape_unicode().to_string() } else { c.to_string() };
    log().take(format!("{}\n", line.chars().map(escape).collect::<String>()).as_bytes());
}

/// Waits until the log is written, for a second at most: what cannot be written by then is lost with the process.
pub fn finish() {
    log().finish(FINISH_TIMEOUT);
}

/// Lines that were lost.
pub(crate) fn lost_lines() -> Arc<Count> {
    Arc::clone(&LOST)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    let at = panic.location().map(tracing::field::display);
    let thread = std::thread::current();
    let what = panic.payload_as_str().unwrap_or("a value that is no text");
    tracing::error!(thread = thread.name(), at, backtrace, "panicked: {what}");
}
