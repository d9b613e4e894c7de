//! Who listens: a subscription is a cursor over the log, woken when the log grows.
//!
//! **Invariant:** no queue. A slow reader holds its place in the log and nothing else, and nobody waits for it.
//!
//! Source: centrifuge `internal/recovery` solves the same problem by buffering live events while history is read;
//! with one log that both live and old events are read from there is nothing to merge.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cursor::{Cursor, LogBounds, ResyncReason, Seq};
use crate::error::Error;
use crate::event::Event;
use crate::kind::Filter;
use crate::log::Log;

/// Events handed over at once: enough to make a replay cheap, few enough that a slow reader holds little.
const DELIVERY_EVENTS_MAX: u32 = 256;

/// What a subscription hands over next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Events in seq order, each once; at least one.
    Events(Vec<Event>),
    /// The replay has caught up: what follows is live. Once a subscription, and only if it began with a position.
    Live(Cursor),
    /// The position cannot be served: reload your state, then go on from this cursor, the head.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// Where the subscription continues.
        cursor: Cursor,
    },
}

/// A gap-free reader of the log: every matching event after its cursor, in seq order, each once.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<Log>,
    head: watch::Receiver<LogBounds>,
    start: LogBounds,
    cursor: Seq,
    filter: Filter,
    resync: Option<ResyncReason>,
    replaying: bool,
}

impl Subscription {
    /// Starts at `at`, or at the head if the position asked for cannot be served for the reason given.
    pub(crate) fn new(log: Arc<Log>, at: Result<Seq, ResyncReason>, start: LogBounds, filter: Filter, replaying: bool) -> Self {
        let head = log.watch();
        let (cursor, resync) = at.map_or_else(|reason| (start.head, Some(reason)), |seq| (seq, None));
        Self { log, head, start, cursor, filter, resync, replaying: replaying && resync.is_none() }
    }

    /// The position up to which everything asked for has been handed over.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.start.epoch, seq: self.cursor }
    }

    /// The log's bounds when the subscription began.
    #[must_use]
    pub fn start(&self) -> LogBounds {
        self.start
    }

    /// Replaces the filter: from the next event on.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// `Unavailable` when the store has to be read and does not answer: the position is kept, so the call may be repeated. After a
    /// fatal end of the core every call fails so.
    ///
    /// # Cancel safety
    /// The cursor moves only when something is returned: a dropped call loses nothing.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            if let Some(reason) = self.resync.take() {
                return Ok(Delivery::Resync { reason, cursor: self.cursor() });
            }
            match self.log.read(self.cursor, &self.filter, DELIVERY_EVENTS_MAX).await {
                Ok(slice) if slice.through > self.cursor => {
                    self.cursor = slice.through;
                    if !slice.events.is_empty() {
                        return Ok(Delivery::Events(slice.events));
                    }
                }
                Ok(_) if self.replaying => {
                    self.replaying = false;
                    return Ok(Delivery::Live(self.cursor()));
                }
                Ok(_) => self.grown().await?,
                Err(Error::CursorGone { reason }) => {
                    self.cursor = self.log.bounds().head;
                    self.replaying = false;
                    self.resync = Some(reason);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the log reaches beyond the cursor.
    async fn grown(&mut self) -> Result<(), Error> {
        let cursor = self.cursor;
        let halt = self.log.halt();
        // In any order: after a fatal end the log does not grow.
        tokio::select! {
            // The sender lives in the log that this subscription holds, so the channel cannot be closed.
            grown = self.head.wait_for(|bounds| bounds.head > cursor) => {
                grown.map(drop).map_err(|error| Error::Unavailable(Some(error.into())))
            }
            () = halt.token().cancelled() => halt.check(),
        }
    }
}
