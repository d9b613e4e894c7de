//! What an operator does with a database beside serving it.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::access::{AccessChange, AccessOutcome, Actor, Admin};
use crate::check::Finding;
use crate::cursor::LogBounds;
use crate::error::Error;
use crate::model::KnownUser;
use crate::phone::{self, Phone};
use crate::store;
use crate::time::Timestamp;

/// Users of whom a page is read when all are gone through.
const USERS_AT_ONCE: u32 = 5000;

/// How a database's schema stands to the one that this version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The last migration that the database has; 0 when it is empty, or not there.
    pub stored: i64,
    /// The last one that this version knows.
    pub known: i64,
}

impl Schema {
    /// Whether it is this version's.
    #[must_use]
    pub fn is_current(self) -> bool {
        self.stored == self.known
    }
}

/// How far a copy is with one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyStep {
    /// The table.
    pub table: &'static str,
    /// Whether its rows are written, or read again and compared.
    pub verifying: bool,
    /// Rows so far; equal to `of` when this is done with.
    pub rows: u64,
    /// Rows there are.
    pub of: u64,
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The log's bounds, the same in both databases.
    pub bounds: LogBounds,
    /// Rows of each table, in the order in which they were copied.
    pub tables: Vec<(&'static str, u64)>,
    /// Rows that an earlier try had copied already.
    pub found: u64,
}

/// The path that a database's name means; `None` for a PostgreSQL database. Nothing is opened.
///
/// After `sqlite:` or `sqlite://` comes a path as in a URL: `%20` is a blank and `%25` a percent sign, and of parameters behind a `?`
/// there is `mode=rwc`, which changes nothing.
///
/// # Errors
/// `Invalid` when it is no name of a database, or could be meant otherwise: a path that is not the one that was meant would be a new,
/// empty database.
pub fn database_file(database: &str) -> Result<Option<PathBuf>, Error> {
    store::file(database)
}

/// A user who is stored under another spelling of their phone's number, as versions before this one left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelling {
    /// The number as it is read now.
    pub number: Phone,
    /// The user.
    pub user: KnownUser,
    /// Who is stored under the number itself, if anybody is.
    pub other: Option<KnownUser>,
}

/// Finds users whose phone is another spelling of a number, in the order of their phones. A server may run meanwhile. However
/// many users there are, a few thousand of them are in memory at once.
///
/// # Errors
/// As [`change_access`], and whatever `found` fails with.
///
/// # Cancel safety
/// Reading changes nothing.
pub async fn spellings<E: From<Error>>(database: &str, mut found: impl FnMut(Spelling) -> Result<(), E>) -> Result<(), E> {
    let mut after = None;
    loop {
        let users = store::users_after(database, after.as_ref(), USERS_AT_ONCE).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after = Some(last.phone.clone());
        let spelled: Vec<_> = users.into_iter().filter_map(|user| Some((phone::respelled(&user.phone)?, user))).collect();
        let numbers: Vec<Phone> = spelled.iter().map(|(number, _)| number.clone()).collect();
        let others = if numbers.is_empty() { Vec::new() } else { store::users_with(database, &numbers).await? };
        let others: HashMap<&Phone, &KnownUser> = others.iter().map(|user| (&user.phone, user)).collect();
        for (number, user) in spelled {
            let other = others.get(&number).map(|other| (*other).clone());
            found(Spelling { number, user, other })?;
        }
    }
}

/// Examines a database: the file, the schema, whether the log is dense, rows and events tell the same, counters are right.
///
/// Servers may run on it meanwhile; SQLite's WAL grows until this ends, since all is read from one snapshot.
///
/// # Errors
/// `Invalid` when the database is not named as expected; `Internal` when it is not there, not ours, or cannot be read at all;
/// `Unavailable` when reading fails in the middle.
///
/// # Cancel safety
/// Reading changes nothing.
pub async fn check(database: &str) -> Result<Vec<Finding>, Error> {
    store::check(database).await
}

/// Counts the rows anew, and changes nothing but the counters. Of days whose events were trimmed, contacts that were removed
/// since stay counted as they are.
///
/// # Errors
/// As [`check`], and `Internal` when a server runs on the database, or its schema is not this version's.
///
/// # Cancel safety
/// Done wholly or not at all.
pub async fn repair_counters(database: &str) -> Result<(), Error> {
    store::repair(database).await
}

/// Resets the log's last instant to now where it lies ahead of the clock, and with it all instants that would wait for the clock to
/// reach them: when users were last active, since when idempotency keys are kept, until when logins are locked. Gives the last
/// instant as it was, or `None` if it did not lie ahead.
///
/// Events stay as they are: those that follow may have earlier timestamps. [`repair_counters`] comes after it.
///
/// # Errors
/// As [`repair_counters`].
///
/// # Cancel safety
/// Done wholly or not at all.
pub async fn reset_clock(database: &str) -> Result<Option<Timestamp>, Error> {
    store::reset_clock(database).await
}

/// Copies a database into a new file, consistent with its log, while a server may run on it. Gives the copy's bounds: it holds
/// everything up to its head.
///
/// # Errors
/// As [`check`], and `Internal` when the file exists or cannot be written, and of a PostgreSQL database, which has its own tools.
///
/// # Cancel safety
/// A copy that did not end has the suffix `.partial` and is replaced by the next.
pub async fn backup(database: &str, file: &std::path::Path) -> Result<LogBounds, Error> {
    store::backup(database, file).await
}

/// Makes a new database of a backup. It has a new epoch: readers with a cursor of the old life are told to resync, since they
/// may have seen events that the backup does not have.
///
/// # Errors
/// As [`backup`]: a database that exists is never replaced.
///
/// # Cancel safety
/// As [`backup`].
pub async fn restore(file: &std::path::Path, database: &str) -> Result<LogBounds, Error> {
    store::restore(file, database).await
}

/// Changes who may come in, in the audit log under the name of `actor`. A server may run on the database meanwhile, and knows
/// within a second or two.
///
/// # Errors
/// As [`check`], and `Internal` when the schema is not this version's.
///
/// # Cancel safety
/// Done wholly or not at all.
pub async fn change_access(database: &str, change: AccessChange, actor: Actor) -> Result<AccessOutcome, Error> {
    store::change_access(database, change, actor).await
}

/// Lists the admins' accounts, by address.
///
/// # Errors
/// As [`change_access`].
///
/// # Cancel safety
/// Reading changes nothing.
pub async fn admins(database: &str) -> Result<Vec<Admin>, Error> {
    store::admins(database).await
}

/// Brings a database's schema up to date, creating an SQLite file if there is none, or only looks (`check_only`). Gives what was
/// found: how the schema stood before.
///
/// Several may do so at once on PostgreSQL: they take turns.
///
/// # Errors
/// As [`check`], and `Internal` when the schema is newer than this version knows (unless it only looks), or a server runs on
/// the SQLite file.
///
/// # Cancel safety
/// Each migration is done wholly or not at all.
pub async fn migrate(database: &str, check_only: bool) -> Result<Schema, Error> {
    if check_only { store::schema(database).await } else { store::migrate(database).await }
}

/// Moves everything from one database to another: rows, log, accounts, and the log's epoch, so that readers keep their cursors.
/// What was written is read again and compared, table by table; only then a server can be started on it.
///
/// The source stays as it is, and no server may run on it. The target must be empty, or what a copy left that was cut short,
/// which then goes on. `progress` is told of every few thousand rows.
///
/// # Errors
/// As [`check`], and `Internal` when the target is in use, a server runs on either, or the two differ in the end.
///
/// # Cancel safety
/// Another call goes on from there.
pub async fn copy(from: &str, to: &str, progress: &mut (dyn FnMut(CopyStep) + Send)) -> Result<Copied, Error> {
    store::copy(from, to, progress).await
}

/// Reads the log's bounds; a server may run.
///
/// # Errors
/// As [`change_access`].
///
/// # Cancel safety
/// Reading changes nothing.
pub async fn bounds(database: &str) -> Result<LogBounds, Error> {
    store::bounds(database).await
}

/// Gives the log another epoch, after events that readers may have seen were lost: they are told to resync. Gives the bounds
/// in the new life.
///
/// # Errors
/// As [`change_access`], and `Internal` when a server runs on the database.
///
/// # Cancel safety
/// Done wholly or not at all.
pub async fn renew_epoch(database: &str) -> Result<LogBounds, Error> {
    store::renew_epoch(database).await
}
