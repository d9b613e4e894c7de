//! All that a host needs: execute, query, subscribe, shut down.

mod discovery;
mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex, OnceCell, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::open::Config;
use crate::access::{AccessChange, AccessOutcome, Actor, Admin, AuditEntry, Revocation};
use crate::clock::Clock;
use crate::command::{Command, IdempotencyKey, Receipt, UserRef};
use crate::committer::{Access, Job, Write};
use crate::cursor::{After, Cursor, LogBounds, Seq};
use crate::discovery::{DiscoveryKey, Recent};
use crate::error::Error;
use crate::event::Event;
use crate::fatal::{Fatal, Halt};
use crate::figures::Figures;
use crate::hub::Subscription;
use crate::kind::{EventKind, Filter};
use crate::log::Log;
use crate::model::{Analytics, ContactWithUsers, KnownUser, Message, Snapshot, User};
use crate::outage::Outage;
use crate::phone::{Phone, WrittenPhone};
use crate::stats::Stats;
use crate::store::{ContactQuery, MessageQuery, Page, Request, Store, UserQuery};
use crate::time::Timestamp;

/// Bytes that a waiting command takes beside its text.
const COMMAND_BYTES: usize = 512;

/// The handle by which a host writes, reads and listens; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sambad {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    log: Arc<Log>,
    jobs: mpsc::Sender<Job>,
    /// Bytes of commands that may still queue.
    queue_bytes: Arc<Semaphore>,
    queue_bytes_max: usize,
    outage: Arc<Outage>,
    stats: Stats,
    clock: Clock,
    /// Read when it is first needed.
    discovery_key: OnceCell<DiscoveryKey>,
    /// Phones that were asked for and counted. A lock for a few look-ups, never held across an await.
    asked_recently: std::sync::Mutex<Recent>,
    /// Ends the committer.
    stop: CancellationToken,
    /// Whether messages of other servers come in; `None` without a broker.
    broker_connected: Option<Arc<AtomicBool>>,
    /// Taken by the first shutdown, awaited by all.
    tasks: Mutex<Option<Tasks>>,
}

/// What runs beside the host's own tasks.
#[derive(Debug)]
struct Tasks {
    committer: JoinHandle<()>,
    /// What follows other servers; ended once the committer has ended.
    followers: Vec<JoinHandle<()>>,
    stop_followers: CancellationToken,
}

/// How long the last batches may take on their way to other servers, which find them without it as well.
const LAST_MESSAGES_TIMEOUT: Duration = Duration::from_secs(1);

/// An event with its parts at hand, for lists that people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Position in the log.
    pub seq: Seq,
    /// What happened.
    pub kind: EventKind,
    /// When it was committed.
    pub at: Timestamp,
    /// The contract's `data` object.
    pub data: String,
}

/// A page of the log for callers that poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// Matching events, in seq order.
    pub events: Vec<Event>,
    /// Where the next call continues.
    pub cursor: Cursor,
    /// The log's bounds.
    pub bounds: LogBounds,
}

impl Sambad {
    /// Carries out `command`; when this returns, its rows and its event are on disk.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` and `Conflict` change nothing. `Overloaded`: too many commands, or bytes of them, are waiting.
    /// `Unavailable`: the store does not answer, or the core has come to a fatal end; if the error is [`Error::OutcomeUnknown`], the
    /// command may have been stored.
    ///
    /// # Cancel safety
    /// Once queued, a command is carried out even if the future is dropped; only the answer is lost.
    pub async fn execute(&self, command: Command, key: Option<IdempotencyKey>) -> Result<Receipt, Error> {
        self.execute_within(None, command, key).await
    }

    async fn queue_command(&self, command: Command, key: Option<IdempotencyKey>) -> Result<Receipt, Error> {
        let (reply, answer) = oneshot::channel();
        let queued = self.admit(command.text_bytes())?;
        self.queue(Job::Write(Write { request: Request { command, key }, reply, queued }))?;
        answer.await.map_err(|_| Error::OutcomeUnknown(None))?
    }

    /// Resolves when this core has come to a fatal end, which [`Sambad::open`] says more about; never, if it is shut down before.
    /// The future keeps nothing of the core alive.
    ///
    /// # Cancel safety
    /// Waiting changes nothing.
    pub fn stopped(&self) -> impl Future<Output = Fatal> + Send + use<> {
        let halt = self.halt().clone();
        async move { halt.wait().await }
    }

    /// Why this core can no longer serve; `None` while it can.
    #[must_use]
    pub fn fatal(&self) -> Option<&Fatal> {
        self.halt().fatal()
    }

    fn halt(&self) -> &Halt {
        self.shared.log.halt()
    }

    /// The store to read from.
    fn store(&self) -> Result<&Store, Error> {
        self.halt().check()?;
        Ok(&self.shared.store)
    }

    fn queue(&self, job: Job) -> Result<(), Error> {
        self.halt().check()?;
        self.shared.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable(None),
        })
    }

    /// Changes who may come in; when this returns, the change and its entry in the audit log are on disk.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable` and `OutcomeUnknown` as [`Sambad::execute`].
    ///
    /// # Cancel safety
    /// As [`Sambad::execute`].
    pub async fn change_access(&self, change: AccessChange, actor: Actor) -> Result<AccessOutcome, Error> {
        let (reply, answer) = oneshot::channel();
        self.queue(Job::Access(Access { change, actor, reply }))?;
        answer.await.map_err(|_| Error::OutcomeUnknown(None))?
    }

    /// Reads an admin's account, and until when `network` may not try to log in to it.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn admin(&self, email: &str, network: &str) -> Result<Option<Admin>, Error> {
        self.store()?.admin(email, network).await
    }

    /// Whether there is a refresh token with this digest, used up or not: asked before the committer is, which strangers must
    /// not keep busy.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn knows_refresh_token(&self, digest: &str) -> Result<bool, Error> {
        self.store()?.knows_refresh_token(digest, self.shared.clock.now()).await
    }

    /// Reads whose session the cookie with this digest is, and when it ends; `None` if it has.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn admin_session(&self, digest: &str) -> Result<Option<(String, Timestamp)>, Error> {
        self.store()?.admin_session(digest, self.shared.clock.now()).await
    }

    /// Reads up to `limit` revocations after `n`, in their order.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn revocations(&self, n: i64, limit: u32) -> Result<Vec<Revocation>, Error> {
        self.store()?.revocations(n, limit).await
    }

    /// Reads up to `limit` entries of the audit log before `n`, the newest first.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn audit(&self, n: i64, limit: u32) -> Result<Snapshot<Vec<AuditEntry>>, Error> {
        self.store()?.audit(n, limit).await
    }

    /// Whether a command with about `bytes` of text would be taken now: asked before a request's body is read, so that
    /// shedding costs nothing. The answer may be another when the command is there.
    ///
    /// # Errors
    /// `Overloaded` when too many commands, or bytes of them, are waiting; `Unavailable` after a shutdown or a fatal end.
    pub fn would_take(&self, bytes: usize) -> Result<(), Error> {
        self.halt().check()?;
        if self.shared.jobs.is_closed() {
            return Err(Error::Unavailable(None));
        }
        if self.shared.jobs.capacity() == 0 {
            return Err(Error::Overloaded);
        }
        self.admit(bytes).map(drop)
    }

    /// Takes the place of a command among the bytes that may wait.
    fn admit(&self, text_bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let bytes = u32::try_from(text_bytes + COMMAND_BYTES).map_err(|_| Error::Overloaded)?;
        Arc::clone(&self.shared.queue_bytes).try_acquire_many_owned(bytes).map_err(|_| Error::Overloaded)
    }

    /// Whether the last attempt to write reached the disk. It says nothing about the next one.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !self.shared.outage.lasts()
    }

    /// The clock by which data is stamped and its age is judged: a host that decides by time about data uses this one.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// What this core has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// How this core stands now. Costs a few locks that are held for a moment, and asks neither the store nor the disk.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let Shared { store, log, jobs, queue_bytes, queue_bytes_max, broker_connected, clock, .. } = &*self.shared;
        let readers = store.readers();
        Figures {
            bounds: log.bounds(),
            queue_commands: jobs.max_capacity() - jobs.capacity(),
            queue_commands_max: jobs.max_capacity(),
            queue_bytes: queue_bytes_max - queue_bytes.available_permits(),
            queue_bytes_max: *queue_bytes_max,
            tail: log.tail_figures(),
            readers: readers.open,
            readers_busy: readers.busy,
            writable: self.is_writable(),
            log_ahead: clock.log_ahead(),
            clock_trusted: clock.is_trusted(),
            file: store.file(),
            broker_connected: broker_connected.as_ref().map(|connected| connected.load(Ordering::Relaxed)),
        }
    }

    /// Reads a recipient's number as one of the sender's country, whose phone never changes.
    async fn complete_national_number(&self, command: Command) -> Result<Command, Error> {
        let Command::SendMessage { from, to: UserRef::National(number), content, message_type } = command else {
            return Ok(command);
        };
        let sender = self.user(&from).await?.value.ok_or_else(|| from.missing("fromUserId", "sender"))?;
        let phone = WrittenPhone::read(&number, &sender.phone.country_code());
        let phone = phone.map_err(|reason| Error::InvalidPhone { field: "toUserId", reason })?;
        Ok(Command::SendMessage { from: UserRef::Id(sender.id), to: UserRef::Phone(phone), content, message_type })
    }

    /// Opens a gap-free stream of the events that `filter` asks for: after `after`, or from now on.
    ///
    /// A position that cannot be served is no error: the subscription begins with a resync.
    ///
    /// # Errors
    /// `Unavailable` when the store has to be asked for its head and does not answer, and after a fatal end.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no subscription behind.
    pub async fn subscribe(&self, after: Option<After>, filter: Filter) -> Result<Subscription, Error> {
        let log = Arc::clone(&self.shared.log);
        let (at, bounds) = match after {
            Some(after) => log.locate(after).await?,
            None => {
                self.halt().check()?;
                let bounds = log.bounds();
                (Ok(bounds.head), bounds)
            }
        };
        Ok(Subscription::new(log, at, bounds, filter, after.is_some()))
    }

    /// The log itself, for a host that fans it out to many sockets.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.shared.log
    }

    /// Reads up to `limit` events that `filter` asks for.
    ///
    /// One call looks at a bounded part of the log: the page may be empty although its cursor is not at the head.
    ///
    /// # Errors
    /// `Gone` when that position cannot be served; `Unavailable` when the store does not answer, and after a fatal end.
    ///
    /// # Cancel safety
    /// Reading changes nothing.
    pub async fn events(&self, after: After, filter: Filter, limit: u32) -> Result<EventPage, Error> {
        let mut refused = None;
        let (slice, bounds) = loop {
            let (at, bounds) = self.shared.log.locate(after).await?;
            let from = at.map_err(|reason| Error::CursorGone { reason })?;
            match self.shared.log.read(from, &filter, limit).await {
                // Trimmed between the two: by now the log has noted where it begins, and the next look starts there.
                Err(Error::CursorGone { .. }) if after == After::Seq(Seq::ZERO) && refused.replace(from) != Some(from) => {}
                slice => break (slice?, bounds),
            }
        };
        let cursor = Cursor { epoch: bounds.epoch, seq: slice.through };
        Ok(EventPage { events: slice.events, cursor, bounds: LogBounds { head: bounds.head.max(cursor.seq), ..bounds } })
    }

    /// The log's bounds as announced to readers.
    #[must_use]
    pub fn bounds(&self) -> LogBounds {
        self.shared.log.bounds()
    }

    /// Asks the store itself for the log's bounds: answers only if the store does. A position that lies before the returned
    /// `first` is refused by every reader of this core from then on.
    ///
    /// # Errors
    /// `Unavailable` when it does not, and after a fatal end.
    pub async fn stored_bounds(&self) -> Result<LogBounds, Error> {
        self.halt().check()?;
        self.shared.log.stored_bounds().await
    }

    /// Waits until the log reaches beyond `seq`, or the core has come to a fatal end.
    ///
    /// # Cancel safety
    /// Waiting changes nothing.
    pub async fn grown_beyond(&self, seq: Seq) {
        let mut bounds = self.shared.log.watch();
        // In any order: after a fatal end the log does not grow. The sender lives in the log that this handle holds.
        tokio::select! {
            _ = bounds.wait_for(|bounds| bounds.head > seq) => {}
            () = self.halt().token().cancelled() => {}
        }
    }

    /// Reads one user.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer, and after a fatal end; this and `Internal` go for all queries.
    pub async fn user(&self, user: &UserRef) -> Result<Snapshot<Option<User>>, Error> {
        self.store()?.user(user).await
    }

    /// Lists users.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn users(&self, query: &UserQuery, limit: u32) -> Result<Snapshot<Page<User>>, Error> {
        self.store()?.users(query, limit).await
    }

    /// Finds the users among `phones`; in no particular order.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn known_users(&self, phones: &[Phone]) -> Result<Snapshot<Vec<KnownUser>>, Error> {
        self.store()?.known_users(phones).await
    }

    /// Lists contacts, the newest first.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn contacts(&self, query: &ContactQuery, limit: u32) -> Result<Snapshot<Page<ContactWithUsers>>, Error> {
        self.store()?.contacts(query, limit).await
    }

    /// Lists messages, the newest first.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn messages(&self, query: &MessageQuery, limit: u32) -> Result<Snapshot<Page<Message>>, Error> {
        self.store()?.messages(query, limit).await
    }

    /// Reads the dashboard's figures, from counters.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn analytics(&self) -> Result<Snapshot<Analytics>, Error> {
        self.store()?.analytics(self.shared.clock.now()).await
    }

    /// Reads the last `limit` events, the newest first.
    ///
    /// # Errors
    /// As [`Sambad::user`].
    pub async fn activity(&self, limit: u32) -> Result<Snapshot<Vec<Activity>>, Error> {
        let rows = self.store()?.newest_events(limit).await?;
        let activity =
            |row: crate::event::EventRow| Activity { seq: row.seq, kind: row.kind, at: row.created_at, data: row.data };
        Ok(rows.map(|rows| rows.into_iter().map(activity).collect()))
    }

    /// Commits what was accepted, refuses what comes later, and closes the store; after a fatal end nothing is committed. Further calls
    /// wait for the first.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        let mut tasks = self.shared.tasks.lock().await;
        if let Some(Tasks { committer, followers, stop_followers }) = tasks.take() {
            // A panic in the committer was caught there; a cancelled task means that the runtime is going away.
            let _ = committer.await;
            stop_followers.cancel();
            let _ = timeout(LAST_MESSAGES_TIMEOUT, join_all(followers)).await;
            self.shared.store.close().await;
        }
    }
}
