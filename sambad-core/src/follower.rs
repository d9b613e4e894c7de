//! Follows a log that other servers write to: looks at its head now and then, and fills holes from the store.
//!
//! Whatever a broker does or does not bring, this alone makes every event known here: late by one interval at most.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cursor::{LogBounds, Seq};
use crate::error::Error;
use crate::event;
use crate::fatal::Fatal;
use crate::kind::Filter;
use crate::limits::PAGE_EVENTS_MAX;
use crate::merge::Merge;
use crate::stats::Stats;
use crate::store::Store;

/// Pause before the store is asked again after it had nothing new: doubled each time, up to the last. A program that
/// reaches the broker may say that the log grew, any number of times; only a server says so when it is true.
const IN_VAIN_PAUSE_MIN: Duration = Duration::from_millis(10);
const IN_VAIN_PAUSE_MAX: Duration = Duration::from_millis(250);
/// How long the store is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What came of a look for what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// The store was not asked: nothing was missing.
    Nothing,
    /// There were events.
    Events,
    /// The store has no more than was announced, whatever was heard.
    InVain,
}

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
    /// Follows until `stop` is cancelled, or the log turns out to be another.
    ///
    /// A panic is a fatal end: what other servers write would no longer come.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let followed = stop.run_until_cancelled(AssertUnwindSafe(self.follow()).catch_unwind()).await;
        if let Some(Err(_)) = followed {
            self.merge.log().halt().set(Fatal::Panicked { task: "follower" });
        }
    }

    async fn follow(&self) {
        let mut poll_due = Instant::now() + self.poll_interval;
        let mut polled = self.merge.log().bounds().head;
        let (mut fill_due, mut pause) = (None, Duration::ZERO);
        let mut away = false;
        loop {
            let outcome = tokio::select! {
                () = self.merge.hole(), if fill_due.is_none() => {
                    fill_due = Some(Instant::now() + self.patience.max(pause));
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
            if self.merge.log().halt().is_set() {
                return;
            }
            match outcome {
                Ok(Filled::InVain) => pause = (pause * 2).clamp(IN_VAIN_PAUSE_MIN, IN_VAIN_PAUSE_MAX),
                Ok(Filled::Events) => pause = Duration::ZERO,
                Ok(Filled::Nothing) | Err(_) => {}
            }
            match outcome {
                Ok(_) if away => tracing::warn!("the log can be read again"),
                Err(ref error) if !away => {
                    tracing::error!(
                        error = error as &dyn std::error::Error,
                        "the log cannot be read: events of other servers are delayed"
                    );
                }
                _ => {}
            }
            away = outcome.is_err();
        }
    }

    /// Looks at the head, which was announced up to `last` an interval ago.
    async fn poll(&self, last: Seq) -> Result<Filled, Error> {
        let before = self.merge.log().bounds();
        let bounds = answer(self.store.look(before)).await?;
        if !is_same_log(before, bounds) {
            return Err(self.end(before, bounds));
        }
        if bounds.first > before.first {
            self.merge.log().trimmed(bounds.first);
        }
        self.merge.offer(&[], bounds.head);
        // Nothing moved for an interval: a hole was not filled, or the store did not answer when it was asked.
        if before.head == last { self.fill().await } else { Ok(Filled::Nothing) }
    }

    /// Reads what is missing, until nothing is.
    async fn fill(&self) -> Result<Filled, Error> {
        let mut filled = Filled::Nothing;
        while self.merge.take_hole() {
            let before = self.merge.log().bounds();
            let page = answer(self.store.log_page(before.head, &Filter::default(), PAGE_EVENTS_MAX)).await?;
            if !is_same_log(before, page.bounds) {
                // Not before it has another epoch: whoever starts next must not take it for the one that was known.
                return Err(self.end(before, answer(self.store.look(before)).await?));
            }
            if page.bounds.first > before.head.next() {
                // This server was away for long, and what it missed was trimmed meanwhile: readers are told to resync.
                self.merge.log().trimmed(page.bounds.first);
                self.merge.skip(page.bounds.head);
            }
            if page.bounds.head == before.head {
                self.merge.forget_ahead();
                return Ok(Filled::InVain);
            }
            filled = Filled::Events;
            self.stats.broker.filled.add(page.rows.len() as u64);
            for run in event::encode(&page.rows).chunk_by(|event, next| event.seq.next() == next.seq) {
                self.merge.offer(run, page.bounds.head);
            }
            if self.merge.log().bounds().head == before.head {
                let what = format!("the log has no event {}: examine it with `sambad-server check`", before.head.next());
                return Err(Error::Internal { what, source: None });
            }
        }
        Ok(filled)
    }

    /// Ends the core: the database was replaced by another, or by an older state of itself. Opened anew, it knows the log that there
    /// is, and its readers resync.
    fn end(&self, announced: LogBounds, stored: LogBounds) -> Error {
        self.merge.log().halt().set(Fatal::LogReplaced { announced, stored });
        Error::Unavailable(None)
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

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::command::Command;
    use crate::cursor::Epoch;
    use crate::limits::Limits;
    use crate::log::Log;
    use crate::store::memory::{Fault, FaultPoint, PageBounds, Reader, SimulatedStore, Writer};
    use crate::store::{Request, Store};

    /// A follower that does not poll, over a store that counts how often it is asked.
    struct World {
        merge: Arc<Merge>,
        writer: Writer,
        reads: Arc<AtomicUsize>,
        stop: CancellationToken,
    }

    impl World {
        fn start() -> Self {
            let reads = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&reads);
            let script = move |point| {
                counted.fetch_add(usize::from(point == FaultPoint::Read), Ordering::Relaxed);
                Fault::None
            };
            let store = SimulatedStore::new(Epoch(1), PageBounds::default(), Box::new(script));
            let reader = Store::Simulated(Reader(store.clone()));
            let merge = Arc::new(Merge::new(Arc::new(Log::new(reader.clone(), store.bounds(), &Limits::default()))));
            let follower = Follower {
                merge: Arc::clone(&merge),
                store: reader,
                stats: Stats::default(),
                poll_interval: Duration::from_secs(3600),
                patience: Duration::ZERO,
            };
            let stop = CancellationToken::new();
            tokio::spawn(follower.run(stop.clone()));
            Self { merge, writer: Writer::new(store), reads, stop }
        }

        /// Another server's write: stored, and not announced here.
        async fn write(&mut self, user: u32) -> Seq {
            let command = Command::Login { phone: format!("+9190000{user:05}").parse().expect("a phone"), name: None };
            let committed = self.writer.commit(&[Request { command, key: None }]).await;
            committed.expect("nothing fails").head
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }

        async fn announced(&self, head: Seq) {
            self.merge.log().watch().wait_for(|bounds| bounds.head == head).await.expect("the log is there");
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            self.stop.cancel();
        }
    }

    /// Goal: a head that is not true costs one question to the store, and hides none that is. Method: the highest head that there
    /// can be, then the next true one, told before the store has answered and after.
    #[tokio::test(start_paused = true)]
    async fn a_forged_head_costs_one_look() {
        let mut world = World::start();
        world.merge.offer(&[], Seq(u64::MAX));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((world.reads(), world.merge.log().bounds().head), (1, Seq(0)));
        for (user, forged) in [(1, Seq(u64::MAX)), (2, Seq(3)), (3, Seq(u64::MAX))] {
            world.merge.offer(&[], forged);
            tokio::task::yield_now().await;
            let head = world.write(user).await;
            world.merge.offer(&[], head);
            world.announced(head).await;
        }
        assert_eq!(world.merge.log().bounds().head, Seq(3));
    }

    /// Goal: a flood of heads that are not true asks the store hardly more often than polling does, and what is true comes in
    /// between. Method: one a millisecond for ten seconds, each higher than before; then a write.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_forged_heads_is_bounded() {
        let mut world = World::start();
        for n in 0..10_000 {
            world.merge.offer(&[], Seq(1_000_000 + n));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!((40..=50).contains(&world.reads()), "{} looks", world.reads());
        let head = world.write(1).await;
        world.merge.offer(&[], head);
        tokio::time::timeout(IN_VAIN_PAUSE_MAX, world.announced(head)).await.expect("it is told soon");
    }
}
