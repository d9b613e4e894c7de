//! Follows a log that other servers write to: looks at its head now and then, and fills holes from the store.
//!
//! Whatever a broker does or does not bring, this alone makes every event known here: late by one interval at most.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cursor::{LogBounds, Seq};
use crate::error::Error;
use crate::event;
use crate::kind::Filter;
use crate::limits::PAGE_EVENTS_MAX;
use crate::merge::Merge;
use crate::stats::Stats;
use crate::store::Store;

/// How long the store is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The one task that reads what this server did not write.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) merge: Arc<Merge>,
    pub(crate) store: Store,
    pub(crate) stats: Stats,
    /// How often the head is looked at.
    pub(crate) poll_interval: Duration,
    /// How long a message may be late before what it would bring is read: no time where messages bring no events.
    pub(crate) patience: Duration,
}

impl Follower {
    /// Follows until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&self) {
        let mut poll_due = Instant::now() + self.poll_interval;
        let mut polled = self.merge.log().bounds().head;
        let mut fill_due = None;
        let mut away = false;
        loop {
            let outcome = tokio::select! {
                () = self.merge.hole(), if fill_due.is_none() => {
                    fill_due = Some(Instant::now() + self.patience);
                    continue;
                }
                () = sleep_until(fill_due.unwrap_or(poll_due)), if fill_due.is_some() => {
                    fill_due = None;
                    self.fill().await
                }
                () = sleep_until(poll_due) => {
                    poll_due = Instant::now() + self.poll_interval;
                    let before = std::mem::replace(&mut polled, self.merge.log().bounds().head);
                    self.poll(before).await
                }
            };
            match outcome {
                Ok(()) if away => tracing::warn!("the log can be read again"),
                Err(ref error) if !away => {
                    tracing::error!(
                        error = error as &dyn std::error::Error,
                        "the log cannot be read: events of other servers wait"
                    );
                }
                _ => {}
            }
            away = outcome.is_err();
        }
    }

    /// Looks at the head, which was announced up to `last` an interval ago.
    async fn poll(&self, last: Seq) -> Result<(), Error> {
        let before = self.merge.log().bounds();
        let bounds = answer(self.store.look(before)).await?;
        if !is_same_log(before, bounds) {
            end(before, bounds);
        }
        if bounds.first > before.first {
            self.merge.log().trimmed(bounds.first);
        }
        self.merge.offer(&[], bounds.head);
        // Nothing moved for an interval: a hole was not filled, or the store did not answer when it was asked.
        if before.head == last { self.fill().await } else { Ok(()) }
    }

    /// Reads what is missing, until nothing is.
    async fn fill(&self) -> Result<(), Error> {
        while self.merge.has_hole() {
            let before = self.merge.log().bounds();
            let page = answer(self.store.log_page(before.head, &Filter::default(), PAGE_EVENTS_MAX)).await?;
            if !is_same_log(before, page.bounds) {
                // Not before it has another epoch: whoever starts next must not take it for the one that was known.
                end(before, answer(self.store.look(before)).await?);
            }
            if page.bounds.first > before.head.next() {
                // This server was away for long, and what it missed was trimmed meanwhile: readers are told to resync.
                self.merge.log().trimmed(page.bounds.first);
                self.merge.skip(page.bounds.head);
            }
            if page.bounds.head == before.head {
                // Nobody but a stranger tells of more than there is.
                self.merge.correct(before.head);
            }
            self.stats.broker.filled.add(page.rows.len() as u64);
            for run in event::encode(&page.rows).chunk_by(|event, next| event.seq.next() == next.seq) {
                self.merge.offer(run, page.through);
            }
            if self.merge.has_hole() && self.merge.log().bounds().head == before.head {
                let what = format!("the log has no event {}: examine it with `sambad-server check`", before.head.next());
                return Err(Error::Internal { what, source: None });
            }
        }
        Ok(())
    }
}

async fn answer<T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(ANSWER_TIMEOUT, read).await {
        Ok(read) => read,
        Err(elapsed) => Err(Error::Unavailable(Some(elapsed.into()))),
    }
}

/// Whether the log is the one that was announced, and not shorter.
fn is_same_log(before: LogBounds, now: LogBounds) -> bool {
    now.epoch == before.epoch && now.head >= before.head
}

/// Ends the process: the database was replaced by another, or by an older state of itself. Started anew, this server knows the
/// log that there is, and its readers resync.
fn end(before: LogBounds, now: LogBounds) -> ! {
    let (epoch, head) = (now.epoch.to_string(), now.head.0);
    tracing::error!(epoch, head, announced = before.head.0, "the log was replaced by another: the process ends");
    std::process::abort();
}
