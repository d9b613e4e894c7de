//! The only SQL in the workspace: a closed set of databases behind one face.

mod admission;
mod analytics;
mod asked;
mod copy;
mod examine;
#[cfg(feature = "simulation")]
pub(crate) mod memory;
mod pages;
mod plan;
mod postgres;
mod query;
mod secret;
mod sqlite;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use self::postgres::Notices;
pub use self::query::{ContactQuery, InvalidListPosition, ListPosition, MessageQuery, UserOrder, UserQuery};
pub(crate) use self::secret::LogSecret;
use crate::access::{AccessChange, AccessOutcome, Actor, Admin, AuditEntry, Revocation};
use crate::check::Finding;
use crate::clock::Clock;
use crate::command::{Command, IdempotencyKey, Receipt, UserRef};
use crate::cursor::{Epoch, LogBounds, Seq};
use crate::discovery::{AskedBefore, AskedPhones};
use crate::error::Error;
use crate::event::{Event, EventRow};
use crate::fatal::Fatal;
use crate::figures::Readers;
use crate::kind::Filter;
use crate::limits::Limits;
use crate::maintenance::Schema;
use crate::model::{Analytics, ContactWithUsers, KnownUser, Message, Snapshot, User};
use crate::phone::Phone;
use crate::retention::Retention;
use crate::time::Timestamp;

/// A command with what its caller said about retries.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) key: Option<IdempotencyKey>,
}

/// A batch that is on disk.
#[derive(Debug)]
pub(crate) struct Committed {
    /// One result a request, in their order.
    pub(crate) results: Vec<Result<Receipt, Error>>,
    /// The events of the batch, in seq order.
    pub(crate) events: Vec<Event>,
    /// Whether anything was written: a batch of refusals does not touch the disk.
    pub(crate) written: bool,
    /// The head of the log after the batch; beyond the last announced although `events` is empty if a COMMIT whose outcome
    /// was unknown took effect after all.
    pub(crate) head: Seq,
}

/// What trimming the log came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trimmed {
    /// The lowest seq that is still stored.
    pub(crate) first: Seq,
    /// How many events went.
    pub(crate) events: usize,
    /// Whether there may be more to trim.
    pub(crate) more: bool,
}

/// Why a WAL was not written back.
#[derive(Debug)]
pub(crate) enum WriteBackError {
    /// It can be tried again.
    Failed(Error),
    /// The disk failed at it: tried again, it would take for written what is not. The writer is to be abandoned.
    DiskFailed(Error),
}

impl From<Error> for WriteBackError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<WriteBackError> for Error {
    fn from(error: WriteBackError) -> Self {
        match error {
            WriteBackError::Failed(error) | WriteBackError::DiskFailed(error) => error,
        }
    }
}

/// A page of the stored log.
#[derive(Debug)]
pub(crate) struct LogPage {
    /// The log's bounds in the transaction that read the page.
    pub(crate) bounds: LogBounds,
    /// What was read, in seq order, all matching the filter.
    pub(crate) rows: Vec<EventRow>,
    /// Everything the filter asks for up to here is in `rows` or in pages before.
    pub(crate) through: Seq,
}

/// One page of a list, and the page token of the next one if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to pass as `after` for the next page; `None` on the last.
    pub next: Option<String>,
}

macro_rules! dispatch {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Sqlite($store) => $call.await,
            Self::Postgres($store) => $call.await,
            #[cfg(feature = "simulation")]
            Self::Simulated($store) => $call.await,
        }
    };
}

/// For what nobody simulates: lists of rows, which touch neither the log nor its readers.
macro_rules! dispatch_rows {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Sqlite($store) => $call.await,
            Self::Postgres($store) => $call.await,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => {
                Err(Error::Internal { what: "a simulated store has no lists and no accounts".into(), source: None })
            }
        }
    };
}

/// The reading side: cheap to clone. Each call reads one snapshot and says at which head it was taken.
///
/// # Cancel safety
/// Dropping any of these futures ends the read and nothing else.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Sqlite(sqlite::Reader),
    Postgres(postgres::Reader),
    #[cfg(feature = "simulation")]
    Simulated(memory::Reader),
}

/// The writing side: owned by the one committer.
#[derive(Debug)]
pub(crate) enum Writer {
    Sqlite(sqlite::Writer),
    Postgres(postgres::Writer),
    #[cfg(feature = "simulation")]
    Simulated(memory::Writer),
}

/// Opens the database at `url`, and brings its schema up to date. A file is created if there is none.
pub(crate) async fn open(url: &str, limits: &Limits) -> Result<(Store, Writer), Error> {
    if postgres::is_url(url) {
        let (reader, writer) = postgres::open(url, limits).await?;
        return Ok((Store::Postgres(reader), Writer::Postgres(writer)));
    }
    let (reader, writer) = sqlite::open(sqlite::file(url)?, limits).await?;
    Ok((Store::Sqlite(reader), Writer::Sqlite(writer)))
}

/// The path of the database at `url`, if it is a file.
pub(crate) fn file(url: &str) -> Result<Option<PathBuf>, Error> {
    if postgres::is_url(url) { Ok(None) } else { sqlite::path(url).map(Some) }
}

/// Whether other servers may write to the database at `url` beside this one.
pub(crate) fn is_shared(url: &str) -> bool {
    postgres::is_url(url)
}

pub(crate) async fn check(url: &str) -> Result<Vec<Finding>, Error> {
    if postgres::is_url(url) { postgres::check(url).await } else { sqlite::check(&sqlite::file(url)?).await }
}

pub(crate) async fn users_after(url: &str, after: Option<&Phone>, limit: u32) -> Result<Vec<KnownUser>, Error> {
    let after = after.map_or("", Phone::as_str);
    if postgres::is_url(url) {
        return postgres::users_after(url, after, limit).await;
    }
    sqlite::users_after(&sqlite::file(url)?, after, limit).await
}

pub(crate) async fn users_with(url: &str, phones: &[Phone]) -> Result<Vec<KnownUser>, Error> {
    if postgres::is_url(url) {
        postgres::users_with(url, phones).await
    } else {
        sqlite::users_with(&sqlite::file(url)?, phones).await
    }
}

pub(crate) async fn repair(url: &str) -> Result<(), Error> {
    if postgres::is_url(url) { postgres::repair(url).await } else { sqlite::repair(&sqlite::file(url)?).await }
}

pub(crate) async fn reset_clock(url: &str) -> Result<Option<Timestamp>, Error> {
    if postgres::is_url(url) { postgres::reset_clock(url).await } else { sqlite::reset_clock(&sqlite::file(url)?).await }
}

pub(crate) async fn backup(url: &str, file: &Path) -> Result<LogBounds, Error> {
    if postgres::is_url(url) { Err(postgres::has_its_own_backups()) } else { sqlite::backup(&sqlite::file(url)?, file).await }
}

pub(crate) async fn restore(file: &Path, url: &str) -> Result<LogBounds, Error> {
    if postgres::is_url(url) { Err(postgres::has_its_own_backups()) } else { sqlite::restore(file, &sqlite::file(url)?).await }
}

pub(crate) async fn change_access(url: &str, change: AccessChange, actor: Actor) -> Result<AccessOutcome, Error> {
    if postgres::is_url(url) {
        return postgres::change(url, change, actor).await;
    }
    sqlite::change(&sqlite::file(url)?, change, actor).await
}

pub(crate) async fn admins(url: &str) -> Result<Vec<Admin>, Error> {
    if postgres::is_url(url) { postgres::admins(url).await } else { sqlite::admins(&sqlite::file(url)?).await }
}

fn has_no_others() -> Error {
    Error::Internal { what: "only a PostgreSQL database has several servers".into(), source: None }
}

pub(crate) async fn schema(url: &str) -> Result<Schema, Error> {
    if postgres::is_url(url) { postgres::schema(url).await } else { sqlite::schema(&sqlite::file(url)?).await }
}

pub(crate) async fn migrate(url: &str) -> Result<Schema, Error> {
    if postgres::is_url(url) { postgres::migrate(url).await } else { sqlite::migrate(&sqlite::file(url)?).await }
}

pub(crate) use self::copy::copy;

pub(crate) async fn bounds(url: &str) -> Result<LogBounds, Error> {
    if postgres::is_url(url) { postgres::bounds(url).await } else { sqlite::bounds(&sqlite::file(url)?).await }
}

pub(crate) async fn renew_epoch(url: &str) -> Result<LogBounds, Error> {
    if postgres::is_url(url) { postgres::renew_epoch(url).await } else { sqlite::renew_epoch(&sqlite::file(url)?).await }
}

impl Writer {
    /// Carries out `requests` in one transaction.
    ///
    /// # Errors
    /// `Unavailable` when nothing was stored, `OutcomeUnknown` when COMMIT itself failed; both concern all of `requests`.
    pub(crate) async fn commit(&mut self, requests: &[Request]) -> Result<Committed, Error> {
        dispatch!(self, writer => writer.commit(requests))
    }

    /// The clock by which this side stamps and judges ages.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Self::Sqlite(writer) => writer.clock.clone(),
            Self::Postgres(writer) => writer.clock.clone(),
            #[cfg(feature = "simulation")]
            Self::Simulated(writer) => writer.clock(),
        }
    }

    /// Puts another clock in the place of the real one.
    #[cfg(test)]
    fn set_clock(&mut self, clock: Clock) {
        match self {
            Self::Sqlite(writer) => writer.clock = clock,
            Self::Postgres(writer) => writer.clock = clock,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => {}
        }
    }

    /// Asks a clock that is elsewhere for its time, which batches do by themselves.
    ///
    /// # Errors
    /// `Unavailable` when it does not answer.
    pub(crate) async fn read_clock(&mut self) -> Result<(), Error> {
        if let Self::Postgres(writer) = self { writer.read_clock().await } else { Ok(()) }
    }

    /// Notes how far age was judged, for the next start; nothing while the clock is not trusted.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer.
    pub(crate) async fn note_age(&mut self) -> Result<(), Error> {
        let Some(aged_at) = self.clock().aged(Duration::MAX) else { return Ok(()) };
        match self {
            Self::Sqlite(writer) => writer.note_age(aged_at).await,
            Self::Postgres(writer) => writer.note_age(aged_at).await,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Tells where the log stood that readers have seen, whoever wrote it: nothing is stored under a number up to there.
    pub(crate) fn announced(&mut self, head: Seq) {
        // Nobody but this process writes to the others.
        if let Self::Postgres(writer) = self {
            writer.announced(head);
        }
    }

    /// Changes who may come in, with the entries in the audit log, in one transaction.
    ///
    /// # Errors
    /// As [`Writer::commit`].
    pub(crate) async fn change_access(&mut self, changes: &[(AccessChange, Actor)]) -> Result<Vec<AccessOutcome>, Error> {
        dispatch_rows!(self, writer => writer.change_access(changes))
    }

    /// Deletes a portion of the oldest events that `retention` does not keep; `None` when it keeps all that are stored.
    ///
    /// # Errors
    /// `Unavailable` when the store does not answer; the next call goes on from whatever is stored then.
    pub(crate) async fn trim(&mut self, retention: Retention) -> Result<Option<Trimmed>, Error> {
        let aged = retention.aged(&self.clock());
        dispatch!(self, writer => writer.trim(retention, aged))
    }

    /// Writes nothing of any meaning, to see whether writing works.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub(crate) async fn probe(&mut self) -> Result<(), Error> {
        match self {
            Self::Sqlite(writer) => writer.probe().await,
            Self::Postgres(writer) => writer.probe().await,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Whether the store wants to be looked after before the next batch.
    pub(crate) fn write_back_is_due(&self) -> bool {
        match self {
            Self::Sqlite(writer) => writer.write_back_is_due(),
            Self::Postgres(_) => false,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => false,
        }
    }

    /// Lets the store tidy up what its batches left behind.
    ///
    /// # Errors
    /// [`WriteBackError::DiskFailed`] when the disk lost data at it.
    pub(crate) async fn write_back(&mut self) -> Result<(), WriteBackError> {
        match self {
            Self::Sqlite(writer) => writer.write_back().await,
            Self::Postgres(_) => Ok(()),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Ends the writing side; what was committed is already safe.
    ///
    /// # Errors
    /// When the disk failed at the last write-back; the writer is abandoned then.
    pub(crate) async fn close(self) -> Result<(), Fatal> {
        match self {
            Self::Sqlite(writer) => writer.close().await,
            Self::Postgres(writer) => {
                writer.close().await;
                Ok(())
            }
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Ends the writing side of a core that has come to a fatal end: nothing more is written, nor written back.
    pub(crate) async fn abandon(self) {
        if let Self::Sqlite(writer) = self {
            writer.abandon().await;
        }
    }
}

impl Store {
    pub(crate) async fn bounds(&self) -> Result<LogBounds, Error> {
        dispatch!(self, store => store.bounds())
    }

    /// Reads the bounds of a log that others write to, which has another epoch than `before` if it is not the one that was
    /// known, or lacks some of it.
    pub(crate) async fn look(&self, before: LogBounds) -> Result<LogBounds, Error> {
        match self {
            Self::Postgres(store) => store.look(before).await,
            _ => self.bounds().await,
        }
    }

    /// Reads up to `limit` events after `after`; looks at a bounded part of the log, so that rows may be fewer, even none.
    pub(crate) async fn log_page(&self, after: Seq, filter: &Filter, limit: u32) -> Result<LogPage, Error> {
        dispatch!(self, store => store.log_page(after, filter, limit))
    }

    /// Reads the last `limit` events, the newest first.
    pub(crate) async fn newest_events(&self, limit: u32) -> Result<Snapshot<Vec<EventRow>>, Error> {
        dispatch_rows!(self, store => store.newest_events(limit))
    }

    pub(crate) async fn user(&self, user: &UserRef) -> Result<Snapshot<Option<User>>, Error> {
        dispatch!(self, store => store.user(user))
    }

    pub(crate) async fn users(&self, query: &UserQuery, limit: u32) -> Result<Snapshot<Page<User>>, Error> {
        dispatch_rows!(self, store => store.users(query, limit))
    }

    pub(crate) async fn known_users(&self, phones: &[Phone]) -> Result<Snapshot<Vec<KnownUser>>, Error> {
        dispatch_rows!(self, store => store.known_users(phones))
    }

    pub(crate) async fn contacts(&self, query: &ContactQuery, limit: u32) -> Result<Snapshot<Page<ContactWithUsers>>, Error> {
        dispatch_rows!(self, store => store.contacts(query, limit))
    }

    pub(crate) async fn messages(&self, query: &MessageQuery, limit: u32) -> Result<Snapshot<Page<Message>>, Error> {
        dispatch_rows!(self, store => store.messages(query, limit))
    }

    pub(crate) async fn analytics(&self, now: Timestamp) -> Result<Snapshot<Analytics>, Error> {
        dispatch_rows!(self, store => store.analytics(now))
    }

    pub(crate) async fn admin(&self, email: &str, network: &str) -> Result<Option<Admin>, Error> {
        dispatch_rows!(self, store => store.admin(email, network))
    }

    /// The account of the session whose cookie has this digest, and when it ends.
    pub(crate) async fn admin_session(&self, digest: &str, now: Timestamp) -> Result<Option<(String, Timestamp)>, Error> {
        dispatch_rows!(self, store => store.admin_session(digest, now))
    }

    pub(crate) async fn knows_refresh_token(&self, digest: &str, now: Timestamp) -> Result<bool, Error> {
        dispatch_rows!(self, store => store.knows_refresh_token(digest, now))
    }

    /// Reads by what askers and phones are made unrecognisable.
    pub(crate) async fn discovery_key(&self) -> Result<String, Error> {
        dispatch_rows!(self, store => store.discovery_key())
    }

    /// Reads what is known of an asker and the phones that they ask for.
    pub(crate) async fn asked_before(&self, asked: &AskedPhones) -> Result<AskedBefore, Error> {
        dispatch_rows!(self, store => store.asked_before(asked))
    }

    /// Reads revocations after `n`, in their order.
    pub(crate) async fn revocations(&self, n: i64, limit: u32) -> Result<Vec<Revocation>, Error> {
        match self {
            Self::Sqlite(store) => store.revocations(n, limit).await,
            Self::Postgres(store) => store.revocations(n, limit).await,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Ok(Vec::new()),
        }
    }

    /// Reads entries of the audit log before `n`, the newest first.
    pub(crate) async fn audit(&self, n: i64, limit: u32) -> Result<Snapshot<Vec<AuditEntry>>, Error> {
        dispatch_rows!(self, store => store.audit(n, limit))
    }

    /// Tells servers of the same log how far it reaches, once that is committed.
    pub(crate) async fn notify(&self, epoch: Epoch, head: Seq) -> Result<(), Error> {
        match self {
            Self::Postgres(store) => store.notify(epoch, head).await,
            _ => Err(has_no_others()),
        }
    }

    /// Hears what servers of the same log tell.
    pub(crate) async fn notices(&self, epoch: Epoch) -> Result<Notices, Error> {
        match self {
            Self::Postgres(store) => store.notices(epoch).await,
            _ => Err(has_no_others()),
        }
    }

    /// Reads by what servers of the same log authenticate their messages.
    pub(crate) async fn secret(&self) -> Result<LogSecret, Error> {
        match self {
            Self::Postgres(store) => store.secret().await,
            _ => Err(has_no_others()),
        }
    }

    /// How many connections read, and how many are free to.
    pub(crate) fn readers(&self) -> Readers {
        match self {
            Self::Sqlite(store) => store.readers(),
            Self::Postgres(store) => store.readers(),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => Readers::default(),
        }
    }

    /// The database's file, if it is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(store) => Some(store.file()),
            Self::Postgres(_) => None,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => None,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => {}
        }
    }
}
