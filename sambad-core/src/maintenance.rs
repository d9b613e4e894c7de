//! What an operator does with a database beside serving it.

use crate::access::{AccessChange, AccessOutcome, Actor, Admin};
use crate::check::Finding;
use crate::cursor::LogBounds;
use crate::error::Error;
use crate::store;

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
