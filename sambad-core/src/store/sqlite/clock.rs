//! What the file knows of time: the log's last instant, and how far age was judged.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};

use super::access::open_current;
use super::{DatabaseFile, Writer, failed, lock, rows};
use crate::access::LOCK_MAX;
use crate::clock::Clock;
use crate::cursor::Seq;
use crate::error::Error;
use crate::limits::Limits;
use crate::retention::Reset;
use crate::time::Timestamp;

const TIMES: &str = "select last_at, (select aged_at from clock) from log";
const NOTE: &str = "insert into clock (id, aged_at) values (1, ?1) on conflict (id) do update set aged_at = excluded.aged_at";
const RESETS: &str = "select seq, at from clock_resets";

const LAST: &str = "select last_at from log";
/// Everything that would wait for the clock to reach the instant that the log had: `?1` is now, `?2` the end of the longest lock.
const RESET: [&str; 6] = [
    "insert or replace into clock_resets (seq, was_at, at) select head, last_at, ?1 from log",
    "update log set last_at = ?1",
    "update users set last_active_at = ?1 where last_active_at > ?1",
    "update idempotency_keys set created_at = ?1 where created_at > ?1",
    "update login_failures set last_at = min(last_at, ?1), locked_until = min(locked_until, ?2)",
    "update clock set aged_at = min(aged_at, ?1)",
];

/// A clock for the file behind `connection`, which goes on where that of the last server ended.
pub(super) async fn open(connection: &mut SqliteConnection, limits: &Limits) -> Result<Clock, sqlx::Error> {
    let clock = Clock::system(limits.clock_settle);
    let row = sqlx::query(TIMES).fetch_one(connection).await?;
    let aged_at = row.try_get::<Option<i64>, _>(1)?.map(Timestamp::from_micros);
    clock.open_log(rows::timestamp(&row, 0)?, aged_at);
    Ok(clock)
}

/// Reads which instants of the log were reset.
pub(super) async fn resets(connection: &mut SqliteConnection) -> Result<Vec<Reset>, sqlx::Error> {
    let reset = |row: &SqliteRow| Ok(Reset { seq: Seq(rows::unsigned(row, 0)?), at: rows::timestamp(row, 1)? });
    sqlx::query(RESETS).fetch_all(connection).await?.iter().map(reset).collect()
}

/// The log's last instant.
pub(super) async fn last_at(connection: &mut SqliteConnection) -> Result<Timestamp, sqlx::Error> {
    rows::timestamp(&sqlx::query(LAST).fetch_one(connection).await?, 0)
}

/// Resets the log's last instant to now if it lies ahead; no server may run on the database.
pub(crate) async fn reset(file: &DatabaseFile) -> Result<Option<Timestamp>, Error> {
    let _lock = lock(file)?;
    let mut connection = open_current(file).await?;
    let mut tx = connection.begin_with("begin immediate").await.map_err(failed)?;
    let (last_at, now) = (last_at(&mut tx).await.map_err(failed)?, Timestamp::now());
    if last_at <= now {
        return Ok(None);
    }
    for statement in RESET {
        let reset = sqlx::query(statement).bind(now.as_micros()).bind(now.plus(LOCK_MAX).as_micros());
        reset.execute(&mut *tx).await.map_err(failed)?;
    }
    tx.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(Some(last_at))
}

impl Writer {
    /// Notes how far age was judged.
    pub(crate) async fn note_age(&mut self, aged_at: Timestamp) -> Result<(), Error> {
        let mut connection = self.take_connection().await?;
        sqlx::query(NOTE).bind(aged_at.as_micros()).execute(&mut connection).await.map_err(failed)?;
        self.keep_connection(connection);
        Ok(())
    }
}
