//! The event log, read after a cursor: from the tail if it reaches back that far, else from the store.

use std::time::Instant;

use tokio::sync::{Semaphore, watch};

use crate::cursor::{After, LogBounds, ResyncReason, Seq};
use crate::error::Error;
use crate::event::{self, Event};
use crate::fatal::Halt;
use crate::figures::TailFigures;
use crate::kind::Filter;
use crate::limits::Limits;
use crate::store::Store;
use crate::tail::Tail;

/// One log, shared by all readers. Hosts that fan out to many sockets read it themselves; for one reader there is
/// [`Subscription`](crate::Subscription).
///
/// **Invariant:** whatever the head announced says, an event is readable here before it is announced.
#[derive(Debug)]
pub struct Log {
    store: Store,
    tail: Tail,
    /// Half of the connections that read: however many readers replay, requests find one free.
    store_reads: Semaphore,
    bounds: watch::Sender<LogBounds>,
    halt: Halt,
}

/// Consecutive events of a reader, as far as its filter asks for them.
#[derive(Debug, PartialEq, Eq)]
pub struct LogSlice {
    /// Matching events, in seq order.
    pub events: Vec<Event>,
    /// Nothing that the filter asks for lies between the last of `events` and here.
    pub through: Seq,
}

impl Log {
    pub(crate) fn new(store: Store, bounds: LogBounds, limits: &Limits) -> Self {
        let store_reads = usize::try_from(limits.readers_max / 2).unwrap_or(1).max(1);
        Self {
            store,
            tail: Tail::new(bounds.head, limits.tail_bytes_max),
            store_reads: Semaphore::new(store_reads),
            bounds: watch::Sender::new(bounds),
            halt: Halt::default(),
        }
    }

    /// Whether the core whose log this is has come to a fatal end.
    pub(crate) fn halt(&self) -> &Halt {
        &self.halt
    }

    /// Makes what was committed up to `head` readable, then wakes every reader. Called by one at a time: the committer, or what merges
    /// its batches with those of other servers.
    ///
    /// `events` are the last of it, and none if all of it was stored by a COMMIT whose outcome was unknown: whoever retries
    /// is acknowledged on the strength of those events, so they are announced now, not with the next one.
    pub(crate) fn publish(&self, events: &[Event], head: Seq) {
        if head <= self.bounds().head || self.halt.is_set() {
            return;
        }
        self.tail.append(events, head);
        self.bounds.send_modify(|bounds| bounds.head = head);
    }

    /// Takes note that events before `first` are no longer stored.
    ///
    /// Wakes nobody: whoever is at or after `first` has nothing to do, and whoever is before it learns it from the store.
    pub(crate) fn trimmed(&self, first: Seq) {
        self.bounds.send_if_modified(|bounds| {
            bounds.first = bounds.first.max(first);
            false
        });
    }

    /// Asks the store for the log's bounds, and notes them: once a caller has seen that a position is gone, no reader of this log
    /// is served from memory what lies before it.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer.
    ///
    /// # Cancel safety
    /// Asking changes nothing but what is noted.
    pub(crate) async fn stored_bounds(&self) -> Result<LogBounds, Error> {
        let bounds = self.store.bounds().await?;
        self.note_first(bounds);
        Ok(bounds)
    }

    /// Notes the first stored event that the store has just named, unless it is that of another log.
    fn note_first(&self, stored: LogBounds) {
        if stored.epoch == self.bounds().epoch {
            self.trimmed(stored.first);
        }
    }

    /// Tells of a head that moved; a hint only, readers read the log.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<LogBounds> {
        self.bounds.subscribe()
    }

    /// What has been announced. The store may be ahead by a batch whose COMMIT has just returned.
    #[must_use]
    pub fn bounds(&self) -> LogBounds {
        *self.bounds.borrow()
    }

    /// Finds where a reader of `after` continues, and the bounds by which that was decided.
    ///
    /// A cursor read from a snapshot may be ahead of what was announced: only the store can say that it is ahead of the log.
    ///
    /// # Errors
    /// `Unavailable` when the store has to be asked and does not answer, and after a fatal end.
    ///
    /// # Cancel safety
    /// Looking changes nothing.
    pub async fn locate(&self, after: After) -> Result<(Result<Seq, ResyncReason>, LogBounds), Error> {
        let mut bounds = self.bounds();
        let mut found = bounds.locate(after);
        if found == Err(ResyncReason::CursorAhead) {
            bounds = self.stored_bounds().await?;
            found = bounds.locate(after);
        }
        // Last: the end may have come while the store was asked.
        self.halt.check()?;
        Ok((found, bounds))
    }

    /// Reads up to `limit` events after `after` from memory; `None` when the tail does not reach back that far, and
    /// after a fatal end.
    ///
    /// A slice is bounded in bytes as well, and in events looked at: it may end before the head.
    #[must_use]
    pub fn recent(&self, after: Seq, filter: &Filter, limit: usize) -> Option<LogSlice> {
        self.tail.read(after, filter, limit).filter(|_| !self.halt.is_set())
    }

    /// When the event after `after` became readable: right after its COMMIT. `None` when that was many batches ago.
    #[must_use]
    pub fn readable_since(&self, after: Seq) -> Option<Instant> {
        self.tail.appended_at(after)
    }

    pub(crate) fn tail_figures(&self) -> TailFigures {
        self.tail.figures()
    }

    /// Reads up to `limit` events after `after`, from memory or else from the store.
    ///
    /// # Errors
    /// `Gone` when events right after `after` are no longer stored; `Unavailable` when the store does not answer, and after a fatal end.
    ///
    /// # Cancel safety
    /// Reading changes nothing.
    pub async fn read(&self, after: Seq, filter: &Filter, limit: u32) -> Result<LogSlice, Error> {
        if let Some(slice) = self.recent(after, filter, usize::try_from(limit).unwrap_or(usize::MAX)) {
            return Ok(slice);
        }
        self.halt.check()?;
        // In the order of asking; the semaphore lives as long as the log and is never closed.
        let _turn = self.store_reads.acquire().await;
        let page = self.store.log_page(after, filter, limit).await?;
        self.halt.check()?;
        self.note_first(page.bounds);
        if after.next() < page.bounds.first {
            return Err(Error::CursorGone { reason: ResyncReason::CursorExpired });
        }
        Ok(LogSlice { events: event::encode(&page.rows), through: page.through })
    }
}
