//! Group commit: one task takes whatever is waiting and writes it in one transaction.
//!
//! **Invariant:** commit, then publish, then acknowledge. A batch is what queued while the one before was written: there is
//! no timer, so a lone command never waits, and the busier it gets the more commands share an fsync.
//!
//! Between batches the same task does the store's upkeep, since nobody else may write: it has what batches left in the WAL
//! written back, and trims the log, in portions of a few milliseconds and for at most a fifth of its time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::access::{AccessChange, AccessOutcome, Actor};
use crate::clock::AHEAD_MAX;
use crate::command::Receipt;
use crate::error::Error;
use crate::fatal::{Fatal, Halt};
use crate::limits::Limits;
use crate::merge::Outlet;
use crate::outage::Outage;
use crate::retention::Retention;
use crate::stats::Stats;
use crate::store::{Committed, Request, WriteBackError, Writer};

/// How often the log is looked at for what is to be trimmed.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// Time given to batches for each unit of time that trimming took.
const TRIM_PAUSE_FACTOR: u32 = 4;
/// Changes of who may come in that one transaction makes, at most.
const ACCESS_CHANGES_MAX: usize = 64;
/// Rows that changes of who may come in write in one transaction, at about 2 µs each: the last of them may bring it beyond.
const ACCESS_ROWS_MAX: usize = 5_000;
/// How often a log that is ahead of the clock is warned of.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// How often the clock is read where no batch does.
const READ_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is noted how far age was judged: what a crash loses of that is made good in as long a time.
const NOTE_INTERVAL: Duration = Duration::from_secs(600);
/// Pause after a portion that took no time to speak of.
const TRIM_PAUSE_MIN: Duration = Duration::from_millis(1);

/// What waits for the committer, and where its answer goes.
#[derive(Debug)]
pub(crate) enum Job {
    Write(Write),
    Access(Access),
}

/// A command.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Result<Receipt, Error>>,
    /// Its share of the bytes that may wait, given back when it is taken into a batch.
    pub(crate) queued: OwnedSemaphorePermit,
}

/// A change of who may come in: rare, and never in one transaction with commands.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) change: AccessChange,
    pub(crate) actor: Actor,
    pub(crate) reply: oneshot::Sender<Result<AccessOutcome, Error>>,
}

/// The one task that writes.
#[derive(Debug)]
pub(crate) struct Committer {
    jobs: mpsc::Receiver<Job>,
    /// Came while others of another sort were gathered, and has the next turn.
    next: Option<Job>,
    writer: Writer,
    outlet: Outlet,
    halt: Halt,
    limits: Limits,
    retention: Retention,
    outage: Arc<Outage>,
    stats: Stats,
    /// Batches there were.
    batches: u64,
    trim_due: Instant,
    clock: ClockUpkeep,
}

/// When the clock is looked after.
#[derive(Debug)]
struct ClockUpkeep {
    read_due: Instant,
    note_due: Instant,
    warn_due: Instant,
}

impl Default for ClockUpkeep {
    fn default() -> Self {
        let now = Instant::now();
        Self { read_due: now, note_due: now, warn_due: now }
    }
}

/// What the committer does next.
enum Turn {
    Batch(Write),
    Access(Access),
    Upkeep,
    /// No job can come any more, or may be carried out.
    End,
}

impl From<Option<Job>> for Turn {
    fn from(job: Option<Job>) -> Self {
        match job {
            Some(Job::Write(write)) => Self::Batch(write),
            Some(Job::Access(access)) => Self::Access(access),
            None => Self::End,
        }
    }
}

impl Committer {
    pub(crate) fn new(
        jobs: mpsc::Receiver<Job>,
        writer: Writer,
        outlet: Outlet,
        limits: Limits,
        retention: Retention,
        (outage, stats): (Arc<Outage>, Stats),
    ) -> Self {
        let halt = outlet.log().halt().clone();
        Self {
            jobs,
            next: None,
            writer,
            outlet,
            halt,
            limits,
            retention,
            outage,
            stats,
            batches: 0,
            trim_due: Instant::now(),
            clock: ClockUpkeep::default(),
        }
    }

    /// Commits batches until `stop` is cancelled and everything accepted before is answered, or the core comes to a fatal end.
    ///
    /// A panic is one: without its committer a core would accept commands and answer none.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let halt = self.halt.clone();
        if AssertUnwindSafe(self.take_turns(stop)).catch_unwind().await.is_err() {
            halt.set(Fatal::Panicked { task: "committer" });
        }
    }

    pub(crate) async fn take_turns(mut self, stop: CancellationToken) {
        loop {
            match self.wait(&stop).await {
                Turn::Batch(first) => self.commit_batch(first).await,
                Turn::Access(access) => self.change_access(access).await,
                Turn::Upkeep => self.upkeep().await,
                Turn::End => break,
            }
        }
        if self.halt.is_set() {
            self.refuse_waiting();
            return self.writer.abandon().await;
        }
        // A store that does not answer must not keep the host from ending: the next start then begins from the note before.
        if !self.outage.lasts()
            && let Err(error) = self.writer.note_age().await
        {
            self.outage.noticed(&error, 0);
        }
        if let Err(fatal) = self.writer.close().await {
            self.halt.set(fatal);
        }
    }

    /// Refuses what waits: after a fatal end nothing is stored.
    fn refuse_waiting(&mut self) {
        self.jobs.close();
        while let Some(job) = self.next.take().or_else(|| self.jobs.try_recv().ok()) {
            // As in a batch: whoever asked may have gone away.
            match job {
                Job::Write(Write { reply, .. }) => drop(reply.send(Err(Error::Unavailable(None)))),
                Job::Access(Access { reply, .. }) => drop(reply.send(Err(Error::Unavailable(None)))),
            }
        }
    }

    /// Waits for the first job of a batch, or until upkeep is due.
    async fn wait(&mut self, stop: &CancellationToken) -> Turn {
        if self.halt.is_set() {
            return Turn::End;
        }
        if let Some(next) = self.next.take() {
            return Some(next).into();
        }
        if !self.jobs.is_closed() {
            if self.trim_due <= Instant::now() || self.writer.write_back_is_due() {
                return Turn::Upkeep;
            }
            // A fatal end first: nothing may follow it. Then jobs: what was accepted before the stop is committed, and neither a
            // stop nor upkeep is urgent while work comes in; upkeep that is due has its turn above.
            tokio::select! {
                biased;
                () = self.halt.token().cancelled() => return Turn::End,
                job = self.jobs.recv() => return job.into(),
                () = stop.cancelled() => self.jobs.close(),
                () = sleep_until(self.trim_due) => return Turn::Upkeep,
            }
        }
        self.jobs.recv().await.into()
    }

    async fn commit_batch(&mut self, first: Write) {
        let (requests, replies) = self.batch(first);
        self.batches += 1;
        self.writer.announced(self.outlet.log().bounds().head);
        let begun = Instant::now();
        let results = match self.writer.commit(&requests).await {
            // Stored, but perhaps in another log than readers know.
            Ok(_) if self.halt.is_set() => refuse_all(&Error::OutcomeUnknown(None), requests.len()),
            Ok(committed) => {
                let took = begun.elapsed();
                self.outlet.publish(&committed.events, committed.head);
                if committed.written {
                    self.outage.over();
                }
                self.note(&committed, took);
                committed.results
            }
            Err(error) => {
                self.stats.commits_failed.add(1);
                self.outage.noticed(&error, requests.len());
                refuse_all(&error, requests.len())
            }
        };
        for (reply, mut result) in replies.into_iter().zip(results) {
            if let Ok(receipt) = &mut result {
                receipt.batch = self.batches;
            }
            // Whoever asked may have gone away; the command is carried out all the same.
            let _ = reply.send(result);
        }
    }

    /// Counts a batch, and names it in the log: a host that logs its requests names the batch of each.
    fn note(&self, committed: &Committed, took: Duration) {
        let commands = committed.results.len();
        if committed.written {
            self.stats.commit_us.add_duration(took, 1);
        }
        self.stats.batch_commands.add(commands as u64, 1);
        self.stats.events.add(committed.events.len() as u64);
        let (events, head) = (committed.events.len(), committed.head.0);
        let elapsed_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(batch = self.batches, commands, events, head, elapsed_us, "batch committed");
    }

    /// Adds what else is waiting, up to the bounds of a batch.
    fn batch(&mut self, first: Write) -> (Vec<Request>, Vec<oneshot::Sender<Result<Receipt, Error>>>) {
        let (mut requests, mut replies, mut text_bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(Write { request, reply, queued }) = next {
            drop(queued);
            text_bytes += request.command.text_bytes();
            requests.push(request);
            replies.push(reply);
            let full = requests.len() >= self.limits.batch_commands_max || text_bytes >= self.limits.batch_bytes_max;
            next = if full { None } else { self.next_write() };
        }
        (requests, replies)
    }

    /// The next command, if one waits before anything else.
    fn next_write(&mut self) -> Option<Write> {
        match self.jobs.try_recv().ok()? {
            Job::Write(write) => Some(write),
            access @ Job::Access(_) => {
                self.next = Some(access);
                None
            }
        }
    }

    /// The next change, if one waits before anything else.
    fn next_access(&mut self) -> Option<Access> {
        match self.jobs.try_recv().ok()? {
            Job::Access(access) => Some(access),
            write @ Job::Write(_) => {
                self.next = Some(write);
                None
            }
        }
    }

    /// Makes what waits of changes in one transaction: many at once cost writers one commit.
    async fn change_access(&mut self, first: Access) {
        let (mut changes, mut replies, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(Access { change, actor, reply }) = next {
            rows += change.rows();
            changes.push((change, actor));
            replies.push(reply);
            next = if changes.len() < ACCESS_CHANGES_MAX && rows < ACCESS_ROWS_MAX { self.next_access() } else { None };
        }
        let results: Vec<_> = match self.writer.change_access(&changes).await {
            Ok(_) if self.halt.is_set() => refuse_all(&Error::OutcomeUnknown(None), changes.len()),
            Ok(outcomes) => {
                self.outage.over();
                outcomes.into_iter().map(Ok).collect()
            }
            Err(error) => {
                self.outage.noticed(&error, changes.len());
                refuse_all(&error, changes.len())
            }
        };
        for (reply, result) in replies.into_iter().zip(results) {
            // As in a batch: the change stands whether or not anybody waits for the answer.
            let _ = reply.send(result);
        }
    }

    /// Does what is due. What fails is tried again a second later.
    async fn upkeep(&mut self) {
        if self.writer.write_back_is_due() {
            let begun = Instant::now();
            match self.writer.write_back().await {
                Ok(()) => self.stats.write_back_us.add_duration(begun.elapsed(), 1),
                Err(WriteBackError::Failed(error)) => self.outage.noticed(&error, 0),
                Err(WriteBackError::DiskFailed(error)) => return self.halt.set(Fatal::DiskFailed(Arc::new(error))),
            }
        }
        if self.trim_due <= Instant::now() {
            self.trim().await;
            self.look_after_clock().await;
            self.probe().await;
        }
    }

    /// When writes failed and nobody has asked for one since, finds out whether they still would.
    async fn probe(&mut self) {
        if self.outage.lasts() && self.outage.is_quiet() {
            match self.writer.probe().await {
                Ok(()) => self.outage.over(),
                Err(error) => self.outage.noticed(&error, 0),
            }
        }
    }

    /// Has the clock read where no batch does, notes how far age was judged, and warns of a log that is ahead of it.
    async fn look_after_clock(&mut self) {
        let (now, clock) = (Instant::now(), self.writer.clock());
        let ahead = clock.log_ahead();
        if ahead > AHEAD_MAX && now >= self.clock.warn_due {
            self.clock.warn_due = now + WARN_INTERVAL;
            let ahead_s = ahead.as_secs();
            tracing::warn!(
                ahead_s,
                "the log's last event is ahead of the clock: until the clock reaches it, all events get its timestamp; see \
                 `sambad-server check`"
            );
        }
        if now < self.clock.read_due {
            return;
        }
        // As often as a clock that settles sooner than by default needs to be looked at.
        self.clock.read_due = now + self.limits.clock_settle.clamp(TRIM_INTERVAL, READ_INTERVAL);
        let mut looked = self.writer.read_clock().await;
        if looked.is_ok() && now >= self.clock.note_due && clock.is_trusted() {
            self.clock.note_due = now + NOTE_INTERVAL;
            looked = self.writer.note_age().await;
        }
        if let Err(error) = looked {
            self.outage.noticed(&error, 0);
        }
    }

    /// Trims one portion, and decides when the next is due.
    async fn trim(&mut self) {
        let begun = Instant::now();
        let more = match self.writer.trim(self.retention).await {
            Ok(None) => false,
            Ok(Some(trimmed)) => {
                self.outlet.log().trimmed(trimmed.first);
                self.stats.trimmed.add(trimmed.events as u64);
                trimmed.more
            }
            Err(error) => {
                self.outage.noticed(&error, 0);
                false
            }
        };
        let pause = if more { (begun.elapsed() * TRIM_PAUSE_FACTOR).max(TRIM_PAUSE_MIN) } else { TRIM_INTERVAL };
        self.trim_due = Instant::now() + pause;
    }
}

/// Answers a whole batch with the same failure; its causes are for the server's own log.
fn refuse_all<T>(error: &Error, count: usize) -> Vec<Result<T, Error>> {
    let again = || match error {
        Error::OutcomeUnknown(_) => Error::OutcomeUnknown(None),
        Error::Internal { what, .. } => Error::Internal { what: what.clone(), source: None },
        _ => Error::Unavailable(None),
    };
    (0..count).map(|_| Err(again())).collect()
}
