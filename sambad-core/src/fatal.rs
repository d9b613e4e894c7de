//! The end of a core that can no longer serve.
//!
//! **Invariant:** from the instant of a fatal end nothing is stored, acknowledged, announced or read: what this core knows, or what
//! the store has of it, may be wrong.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::cursor::LogBounds;
use crate::error::Error;

/// Why a core can no longer serve. Opened anew, it can.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// A task that nothing works without has panicked: a defect.
    #[error("the {task} panicked")]
    Panicked {
        /// The task.
        task: &'static str,
    },
    /// The database was replaced by another, or by an earlier state of itself, or a standby took over: readers have seen events
    /// that the log may not have.
    #[error("the log was replaced by another: readers have seen {announced}, but the database has {stored}", announced = .announced.head_cursor(), stored = .stored.head_cursor())]
    LogReplaced {
        /// The log as announced to readers.
        announced: LogBounds,
        /// The log that is stored.
        stored: LogBounds,
    },
    /// The disk failed while the write-ahead log was written back into the database (SQLite): only when the database is opened
    /// anew is all of it written again. Nothing that was acknowledged is lost.
    #[error("the disk failed during a checkpoint")]
    DiskFailed(#[source] Arc<Error>),
}

/// Whether a core has come to a fatal end; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Halt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    fatal: OnceLock<Fatal>,
    /// Cancelled once `fatal` is there.
    halted: CancellationToken,
}

impl Halt {
    /// Ends the core; only the first end counts. Before anything else, such as a line in the log, which might fail.
    pub(crate) fn set(&self, fatal: Fatal) {
        let _ = self.0.fatal.set(fatal);
        self.0.halted.cancel();
    }

    pub(crate) fn fatal(&self) -> Option<&Fatal> {
        self.0.fatal.get()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.fatal().is_some()
    }

    /// Refuses what a core that has ended must not do. The reason is the host's to report, once.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_set() { Err(Error::Unavailable(None)) } else { Ok(()) }
    }

    /// Is cancelled when the core has ended.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.0.halted
    }

    /// Resolves when the core has ended.
    ///
    /// # Cancel safety
    /// Waiting changes nothing.
    pub(crate) async fn wait(&self) -> Fatal {
        loop {
            self.0.halted.cancelled().await;
            // The token is cancelled after the reason was set.
            if let Some(fatal) = self.fatal() {
                return fatal.clone();
            }
        }
    }
}
