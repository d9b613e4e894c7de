//! Whether writes fail just now, and telling of it without filling the disk that may be the cause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// How often a failure that goes on is told again, and how long none must have been met before it may be over by itself.
const REMINDER_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of failing writes: set by the committer, read by whoever reports on the server.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    lasts: AtomicBool,
    /// A std lock: it is held for a few instructions, and only when something fails or begins to work again.
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    since: Option<Instant>,
    /// When it was last told.
    last: Option<Instant>,
    /// When a write last failed.
    met: Option<Instant>,
    commands: usize,
}

impl Outage {
    /// Whether the last attempt to write failed.
    pub(crate) fn lasts(&self) -> bool {
        // Relaxed: a figure to show; whoever writes learns the truth from the answer.
        self.lasts.load(Ordering::Relaxed)
    }

    /// Whether nothing was written for a while in vain, so that it is worth finding out: on a disk that is almost full, a
    /// page may find room where a batch does not.
    pub(crate) fn is_quiet(&self) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.met.is_some_and(|met| met.elapsed() >= REMINDER_INTERVAL)
    }

    /// A write failed with all its commands: the first time, and every ten seconds, it is logged.
    pub(crate) fn noticed(&self, error: &Error, commands: usize) {
        self.lasts.store(true, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        told.commands += commands;
        told.met = Some(now);
        let since = *told.since.get_or_insert(now);
        if told.last.is_none_or(|last| now.duration_since(last) >= REMINDER_INTERVAL) {
            told.last = Some(now);
            let lasts_s = now.duration_since(since).as_secs();
            tracing::error!(error = error as &dyn std::error::Error, commands = told.commands, lasts_s, "writing failed");
        }
    }

    /// A write succeeded.
    pub(crate) fn over(&self) {
        if !self.lasts.swap(false, Ordering::Relaxed) {
            return;
        }
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        let lasted_s = told.since.map_or(0, |since| since.elapsed().as_secs());
        tracing::warn!(commands = told.commands, lasted_s, "writing works again");
    }
}
