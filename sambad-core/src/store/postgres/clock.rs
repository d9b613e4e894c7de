//! The database's clock, by which all of its servers stamp and judge, and what the database knows of time.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};

use super::stopped::refuse_servers;
use super::{Writer, bounded, failed, identity};
use crate::clock::{Clock, elapsed};
use crate::cursor::Seq;
use crate::error::Error;
use crate::retention::Reset;
use crate::time::Timestamp;

pub(super) const NOW: &str = "select clock_timestamp()";
const TIMES: &str = "select clock_timestamp(), last_at, (select aged_at from clock) from log";
/// Servers that run at once go on from the later of their notes.
const NOTE: &str = "insert into clock as c (id, aged_at) values (1, $1)
    on conflict (id) do update set aged_at = greatest(c.aged_at, excluded.aged_at)";
/// Rows of servers that have ended, or have had nothing to write for long, which upserts theirs.
const FORGET_WRITERS: &str = "delete from writers where seen_at < $1";
const RESETS: &str = "select seq, at from clock_resets";
const LAST: &str = "select last_at, clock_timestamp() from log";
/// Of a server that starts meanwhile, the first batch waits.
const LOCK: &str = "lock table log in share row exclusive mode";
/// Everything that would wait for the clock to reach the instant that the log had: `$1` is now.
const RESET: [&str; 6] = [
    "insert into clock_resets (seq, was_at, at) select head, last_at, $1 from log
        on conflict (seq) do update set was_at = excluded.was_at, at = excluded.at",
    "update log set last_at = $1",
    "update users set last_active_at = $1 where last_active_at > $1",
    "update idempotency_keys set created_at = $1 where created_at > $1",
    "update login_failures set last_at = least(last_at, $1),
        locked_until = least(locked_until, $1 + interval '15 minutes')",
    "update clock set aged_at = least(aged_at, $1)",
];
/// How long a server may have had nothing to write before its row goes.
const WRITER_TTL: Duration = Duration::from_secs(24 * 3600);

/// The database's clock, which goes on where that of the last server ended.
pub(super) async fn open(connection: &mut PgConnection, settle: Duration) -> Result<Clock, sqlx::Error> {
    let row = sqlx::query(TIMES).fetch_one(connection).await?;
    let clock = Clock::database(row.try_get(0)?, settle);
    clock.open_log(row.try_get(1)?, row.try_get(2)?);
    Ok(clock)
}

/// Takes note of what came with the beginning of a batch: after the head, the database's clock and the log's last instant, both
/// in microseconds.
pub(super) fn note(clock: &Clock, asked_at: Duration, begun: &PgRow) -> Result<(), sqlx::Error> {
    clock.observe(asked_at, Timestamp::from_micros(begun.try_get(1)?));
    clock.note_log(Timestamp::from_micros(begun.try_get(2)?));
    Ok(())
}

/// Reads which instants of the log were reset.
pub(super) async fn resets(connection: &mut PgConnection) -> Result<Vec<Reset>, sqlx::Error> {
    let reset = |row: &PgRow| Ok(Reset { seq: Seq(super::rows::unsigned(row, 0)?), at: row.try_get(1)? });
    sqlx::query(RESETS).fetch_all(connection).await?.iter().map(reset).collect()
}

/// The log's last instant, and the database's clock.
pub(super) async fn last_at(connection: &mut PgConnection) -> Result<(Timestamp, Timestamp), sqlx::Error> {
    let row = sqlx::query(LAST).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Resets the log's last instant to now if it lies ahead; no server may run on the database.
pub(crate) async fn reset(url: &str) -> Result<Option<Timestamp>, Error> {
    let connector = super::connector(url)?;
    let mut connection = identity::connect_current_with(&connector).await?;
    refuse_servers(&mut connection, connector.options()).await?;
    let mut tx = connection.begin().await.map_err(failed)?;
    sqlx::query(LOCK).execute(&mut *tx).await.map_err(failed)?;
    let (last_at, now) = last_at(&mut tx).await.map_err(failed)?;
    if last_at <= now {
        return Ok(None);
    }
    for statement in RESET {
        sqlx::query(statement).bind(now).execute(&mut *tx).await.map_err(failed)?;
    }
    tx.commit().await.map_err(|error| Error::OutcomeUnknown(Some(error.into())))?;
    Ok(Some(last_at))
}

impl Writer {
    /// Asks the database for its clock, where no batch does.
    pub(crate) async fn read_clock(&mut self) -> Result<(), Error> {
        let mut connection = self.take_connection().await?;
        let asked_at = elapsed();
        let wall = bounded(async { sqlx::query_scalar(NOW).fetch_one(&mut connection).await.map_err(failed) }).await?;
        self.clock.observe(asked_at, wall);
        self.keep_connection(connection);
        Ok(())
    }

    /// Notes how far age was judged, and forgets servers that are long gone.
    pub(crate) async fn note_age(&mut self, aged_at: Timestamp) -> Result<(), Error> {
        let mut connection = self.take_connection().await?;
        let noted = async {
            sqlx::query(NOTE).bind(aged_at).execute(&mut connection).await.map_err(failed)?;
            let forget = sqlx::query(FORGET_WRITERS).bind(aged_at.minus(WRITER_TTL));
            forget.execute(&mut connection).await.map(drop).map_err(failed)
        };
        bounded(noted).await?;
        self.keep_connection(connection);
        Ok(())
    }
}
