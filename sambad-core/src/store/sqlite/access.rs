//! Who may come in, and the audit log: each change with its entry in one transaction.
//!
//! The server's changes go through the committer, which owns the connection that writes; the command line has one of its own,
//! and waits for its turn like any other process.

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};

use super::{DatabaseFile, check, failed, identity, rows};
use crate::access::{AccessChange, AccessOutcome, Actor, Admin, AuditEntry, FAILURE_TTL, FAMILIES_MAX, Revocation, USED_UP_TTL};
use crate::error::Error;
use crate::store::admission::{self, AccessRows, Family, Instants, LastEntry, RefreshToken, RepeatKey, Repeats};
use crate::time::Timestamp;

const BEGIN: &str = "begin immediate";
const PUT_ADMIN: &str = "insert into admins (email, password_hash, created_at) values (?1, ?2, ?3)
    on conflict (email) do update set password_hash = excluded.password_hash";
const REVOKE_SESSIONS: &str = "insert or ignore into revocations (id, expires_at)
    select digest, expires_at from admin_sessions where email = ?1 and expires_at > ?2";
const END_SESSIONS: &str = "delete from admin_sessions where email = ?1";
const REMOVE_ADMIN: &str = "delete from admins where email = ?1";
const LOCK_OF_ADMIN: &str = "select coalesce(f.locked_until, 0) from admins a
    left join login_failures f on f.email = a.email and f.network = ?3 where a.email = ?1 and a.password_hash = ?2";
/// Failures while a network may not try count for nothing: it could be kept out for ever.
const FAILURES: &str = "insert into login_failures (email, network, failures, locked_until, last_at) values (?1, ?2, 1, 0, ?3)
    on conflict (email, network) do update set failures = case when last_at <= ?4 then 1 else failures + 1 end, last_at = ?3
    where locked_until <= ?3 returning failures";
const LOCK: &str = "update login_failures set locked_until = ?3 where email = ?1 and network = ?2";
const FORGIVE: &str = "delete from login_failures where email = ?1 and network = ?2";
const FORGIVE_ALL: &str = "delete from login_failures where email = ?1";
const ADD_SESSION: &str = "insert into admin_sessions (digest, email, expires_at) values (?1, ?2, ?3)";
const END_SESSION: &str = "delete from admin_sessions where digest = ?1 returning email, expires_at";
/// Those of a user that end first, beyond a number; the newest stays, even if it would end before the others.
const FAMILIES_BEYOND: &str = "select family from refresh_tokens where user_id = ?1 and by_service = ?2 and family <> ?3
    group by family order by max(expires_at) desc, family limit -1 offset ?4";
const ADD_REFRESH: &str = "insert into refresh_tokens (digest, family, user_id, expires_at, access_until, by_service)
    values (?1, ?2, ?3, ?4, ?5, ?6)";
/// Where an older version wrote the row, no access token of the family outlives its refresh token, as far as is known.
const REFRESH: &str = "select t.family, t.user_id, t.used_at, coalesce(t.access_until, t.expires_at), t.by_service, n.digest
    from refresh_tokens t left join refresh_tokens n on n.digest = t.successor and n.used_at is null and n.expires_at > ?2
    where t.digest = ?1 and t.expires_at > ?2";
const EXTEND_ACCESS: &str =
    "update refresh_tokens set access_until = max(coalesce(access_until, expires_at), ?2) where digest = ?1";
/// A token that was used up is remembered for a while: its thief may come late, but not for ever.
const USE_UP: &str = "update refresh_tokens set used_at = ?2, expires_at = min(expires_at, ?3), successor = ?4
    where digest = ?1";
pub(super) const KNOWS_REFRESH: &str = "select exists (select 1 from refresh_tokens where digest = ?1 and expires_at > ?2)";
const END_FAMILY: &str = "delete from refresh_tokens where family = ?1 returning coalesce(access_until, expires_at)";
const IS_REVOKED: &str = "select exists (select 1 from revocations where id = ?1)";
/// One that ends later takes the place of another under a new number, by which servers that know the old one see it.
const REVOKE: [&str; 2] = [
    "delete from revocations where id = ?1 and expires_at < ?2",
    "insert or ignore into revocations (id, expires_at) values (?1, ?2)",
];
const LAST_ENTRY: &str = "select n, hash, at from audit order by n desc limit 1";
const ADD_ENTRY: &str = "insert into audit (n, at, actor, action, subject, remote, hash, count)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const COUNT_REPEAT: &str = "update audit_repeats set times = times + 1
    where action = ?1 and subject = ?2 and actor = ?3 and remote = ?4 and since > ?5";
const REPEATS: &str = "select count(*) from audit_repeats where action = ?1 and subject = ?2";
const BEGIN_REPEATS: &str = "insert into audit_repeats as r (action, subject, actor, remote, since, times)
    values (?1, ?2, ?3, ?4, ?5, ?6)
    on conflict (action, subject, actor, remote) do update set times = r.times + excluded.times";
const END_REPEATS: &str = "delete from audit_repeats where action = ?1 and subject = ?2 and actor = ?3 and remote = ?4
    returning action, subject, actor, remote, times";
const END_OLD_REPEATS: &str = "delete from audit_repeats where (action, subject, actor, remote) in (
        select action, subject, actor, remote from audit_repeats where since <= ?1 order by since limit ?2)
    returning action, subject, actor, remote, times";
const PENDING_REPEATS: &str = "select coalesce(sum(times), 0) from audit_repeats";
/// What has ended goes in portions, more than can come with one change.
const TIDY: [&str; 4] = [
    "delete from login_failures where (email, network) in (
        select email, network from login_failures where last_at <= ?2 limit ?3)",
    "delete from admin_sessions where digest in (select digest from admin_sessions where expires_at <= ?1 limit ?3)",
    "delete from refresh_tokens where digest in (select digest from refresh_tokens where expires_at <= ?1 limit ?3)",
    "delete from revocations where n in (select n from revocations where expires_at <= ?1 limit ?3)",
];

pub(super) const ADMIN: &str = "select a.email, a.password_hash, a.created_at, coalesce(f.locked_until, 0) from admins a
    left join login_failures f on f.email = a.email and f.network = ?2 where a.email = ?1";
const ADMINS: &str = "select email, password_hash, created_at,
        coalesce((select max(locked_until) from login_failures f where f.email = a.email), 0)
    from admins a order by email";
pub(super) const SESSION: &str = "select email, expires_at from admin_sessions where digest = ?1 and expires_at > ?2";
pub(super) const REVOCATIONS: &str = "select n, id, expires_at from revocations where n > ?1 order by n limit ?2";
pub(super) const AUDIT: &str = "select n, at, actor, action, subject, remote, hash, count from audit
    where n < ?1 order by n desc limit ?2";
const AUDIT_FORWARD: &str =
    "select n, at, actor, action, subject, remote, hash, count from audit where n > ?1 order by n limit 1000";

/// Makes changes, in their order, in a transaction that the caller commits. Whoever meets an error drops the connection, and
/// with it the transaction.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    changes: &[(AccessChange, Actor)],
    instants: Instants,
) -> Result<Vec<AccessOutcome>, sqlx::Error> {
    sqlx::query(BEGIN).execute(&mut *connection).await?;
    admission::apply(connection, changes, instants).await
}

/// Makes a change beside the server, which may run meanwhile.
pub(crate) async fn change(file: &DatabaseFile, change: AccessChange, actor: Actor) -> Result<AccessOutcome, Error> {
    let mut connection = open_current(file).await?;
    let outcomes = apply(&mut connection, &[(change, actor)], Instants::once(Timestamp::now())).await.map_err(failed)?;
    sqlx::query("commit").execute(&mut connection).await.map_err(super::outcome_unknown)?;
    // The answer stands whether or not SQLite could tidy up.
    let _ = connection.close().await;
    Ok(outcomes.into_iter().next().unwrap_or(AccessOutcome::Unknown))
}

/// Lists the accounts, beside the server.
pub(crate) async fn admins(file: &DatabaseFile) -> Result<Vec<Admin>, Error> {
    let mut connection = open_current(file).await?;
    let found = sqlx::query(ADMINS).fetch_all(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    found.iter().map(admin).collect::<Result<_, _>>().map_err(failed)
}

/// Opens a database whose schema is this version's.
pub(super) async fn open_current(file: &DatabaseFile) -> Result<SqliteConnection, Error> {
    let mut connection = identity::open_existing(file).await?;
    if check::has_current_schema(&mut connection).await.map_err(failed)? {
        return Ok(connection);
    }
    let what = format!("the schema of {file} is from another version: start a server of this version on it once");
    Err(Error::Internal { what, source: None })
}

impl AccessRows for SqliteConnection {
    async fn put_admin(&mut self, email: &str, password_hash: &str, now: Timestamp) -> Result<(), sqlx::Error> {
        sqlx::query(PUT_ADMIN).bind(email).bind(password_hash).bind(now.as_micros()).execute(self).await.map(drop)
    }

    async fn remove_admin(&mut self, email: &str) -> Result<bool, sqlx::Error> {
        Ok(sqlx::query(REMOVE_ADMIN).bind(email).execute(self).await?.rows_affected() > 0)
    }

    async fn end_sessions(&mut self, email: &str, now: Timestamp) -> Result<(), sqlx::Error> {
        sqlx::query(REVOKE_SESSIONS).bind(email).bind(now.as_micros()).execute(&mut *self).await?;
        sqlx::query(END_SESSIONS).bind(email).execute(self).await.map(drop)
    }

    async fn add_session(&mut self, digest: &str, email: &str, expires_at: Timestamp) -> Result<(), sqlx::Error> {
        sqlx::query(ADD_SESSION).bind(digest).bind(email).bind(expires_at.as_micros()).execute(self).await.map(drop)
    }

    async fn end_session(&mut self, digest: &str) -> Result<Option<(String, Timestamp)>, sqlx::Error> {
        let found = sqlx::query(END_SESSION).bind(digest).fetch_optional(self).await?;
        found.map(|row| Ok((row.try_get(0)?, rows::timestamp(&row, 1)?))).transpose()
    }

    async fn locked_until(&mut self, email: &str, hash: &str, network: &str) -> Result<Option<Timestamp>, sqlx::Error> {
        let found = sqlx::query(LOCK_OF_ADMIN).bind(email).bind(hash).bind(network).fetch_optional(self).await?;
        found.map(|row| rows::timestamp(&row, 0)).transpose()
    }

    async fn count_failure(&mut self, email: &str, network: &str, now: Timestamp) -> Result<Option<i64>, sqlx::Error> {
        let forgotten = now.minus(FAILURE_TTL).as_micros();
        let count = sqlx::query_scalar(FAILURES).bind(email).bind(network).bind(now.as_micros()).bind(forgotten);
        count.fetch_optional(self).await
    }

    async fn lock(&mut self, email: &str, network: &str, until: Timestamp) -> Result<(), sqlx::Error> {
        sqlx::query(LOCK).bind(email).bind(network).bind(until.as_micros()).execute(self).await.map(drop)
    }

    async fn forgive(&mut self, email: &str, network: &str) -> Result<(), sqlx::Error> {
        sqlx::query(FORGIVE).bind(email).bind(network).execute(self).await.map(drop)
    }

    async fn forgive_all(&mut self, email: &str) -> Result<(), sqlx::Error> {
        sqlx::query(FORGIVE_ALL).bind(email).execute(self).await.map(drop)
    }

    async fn add_refresh(&mut self, digest: &str, of: &Family<'_>, until: [Timestamp; 2]) -> Result<(), sqlx::Error> {
        let [expires_at, access_until] = until.map(Timestamp::as_micros);
        let add = sqlx::query(ADD_REFRESH).bind(digest).bind(of.id).bind(of.user.to_string()).bind(expires_at).bind(access_until);
        add.bind(of.by_service).execute(self).await.map(drop)
    }

    async fn families_beyond_max(&mut self, began: &Family<'_>) -> Result<Vec<String>, sqlx::Error> {
        let others = sqlx::query_scalar(FAMILIES_BEYOND).bind(began.user.to_string()).bind(began.by_service);
        others.bind(began.id).bind(FAMILIES_MAX - 1).fetch_all(self).await
    }

    async fn extend_access(&mut self, digest: &str, access_until: Timestamp) -> Result<(), sqlx::Error> {
        sqlx::query(EXTEND_ACCESS).bind(digest).bind(access_until.as_micros()).execute(self).await.map(drop)
    }

    async fn refresh_token(&mut self, digest: &str, now: Timestamp) -> Result<Option<RefreshToken>, sqlx::Error> {
        let found = sqlx::query(REFRESH).bind(digest).bind(now.as_micros()).fetch_optional(self).await?;
        let token = |row: SqliteRow| {
            Ok(RefreshToken {
                family: row.try_get(0)?,
                user: rows::parsed(&row, 1)?,
                used_at: row.try_get::<Option<i64>, _>(2)?.map(Timestamp::from_micros),
                access_until: rows::timestamp(&row, 3)?,
                by_service: row.try_get(4)?,
                successor: row.try_get(5)?,
            })
        };
        found.map(token).transpose()
    }

    async fn use_up(&mut self, digest: &str, successor: &str, now: Timestamp) -> Result<(), sqlx::Error> {
        let remembered = now.plus(USED_UP_TTL).as_micros();
        let use_up = sqlx::query(USE_UP).bind(digest).bind(now.as_micros()).bind(remembered).bind(successor);
        use_up.execute(self).await.map(drop)
    }

    async fn end_family(&mut self, family: &str) -> Result<Option<Timestamp>, sqlx::Error> {
        let ended: Vec<i64> = sqlx::query_scalar(END_FAMILY).bind(family).fetch_all(self).await?;
        Ok(ended.into_iter().max().map(Timestamp::from_micros))
    }

    async fn revoke(&mut self, id: &str, expires_at: Timestamp) -> Result<(), sqlx::Error> {
        for statement in REVOKE {
            sqlx::query(statement).bind(id).bind(expires_at.as_micros()).execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn is_revoked(&mut self, id: &str) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(IS_REVOKED).bind(id).fetch_one(self).await
    }

    async fn last_entry(&mut self) -> Result<Option<LastEntry>, sqlx::Error> {
        let found = sqlx::query(LAST_ENTRY).fetch_optional(self).await?;
        let last = |row: SqliteRow| Ok(LastEntry { n: row.try_get(0)?, hash: row.try_get(1)?, time: rows::timestamp(&row, 2)? });
        found.map(last).transpose()
    }

    async fn add_entry(&mut self, entry: &AuditEntry) -> Result<(), sqlx::Error> {
        let add = sqlx::query(ADD_ENTRY)
            .bind(entry.n)
            .bind(entry.time.as_micros())
            .bind(&entry.actor)
            .bind(&entry.action)
            .bind(&entry.subject)
            .bind(&entry.remote)
            .bind(&entry.hash)
            .bind(entry.count);
        add.execute(self).await.map(drop)
    }

    async fn entries_after(&mut self, n: i64) -> Result<Vec<AuditEntry>, sqlx::Error> {
        sqlx::query(AUDIT_FORWARD).bind(n).fetch_all(self).await?.iter().map(entry).collect()
    }

    async fn count_repeat(&mut self, key: &RepeatKey<'_>, since: Timestamp) -> Result<bool, sqlx::Error> {
        Ok(bound(COUNT_REPEAT, key).bind(since.as_micros()).execute(self).await?.rows_affected() > 0)
    }

    async fn repeats(&mut self, action: &str, subject: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(REPEATS).bind(action).bind(subject).fetch_one(self).await
    }

    async fn begin_repeats(&mut self, key: &RepeatKey<'_>, now: Timestamp, times: i64) -> Result<(), sqlx::Error> {
        bound(BEGIN_REPEATS, key).bind(now.as_micros()).bind(times).execute(self).await.map(drop)
    }

    async fn end_repeats(&mut self, key: &RepeatKey<'_>) -> Result<Option<Repeats>, sqlx::Error> {
        bound(END_REPEATS, key).fetch_optional(self).await?.as_ref().map(repeats).transpose()
    }

    async fn end_old_repeats(&mut self, since: Timestamp, limit: usize) -> Result<Vec<Repeats>, sqlx::Error> {
        let end = sqlx::query(END_OLD_REPEATS).bind(since.as_micros()).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        end.fetch_all(self).await?.iter().map(repeats).collect()
    }

    async fn pending_repeats(&mut self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(PENDING_REPEATS).fetch_one(self).await
    }

    async fn tidy(&mut self, aged: Timestamp, limit: usize) -> Result<(), sqlx::Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        for statement in TIDY {
            let query = sqlx::query(statement).bind(aged.as_micros()).bind(aged.minus(FAILURE_TTL).as_micros()).bind(limit);
            query.execute(&mut *self).await?;
        }
        Ok(())
    }
}

fn bound<'q>(statement: &'static str, key: &RepeatKey<'q>) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(statement).bind(key.action).bind(key.subject).bind(key.actor).bind(key.remote)
}

/// Columns: action, subject, actor, remote, times.
fn repeats(row: &SqliteRow) -> Result<Repeats, sqlx::Error> {
    Ok(Repeats {
        action: row.try_get(0)?,
        subject: row.try_get(1)?,
        actor: row.try_get(2)?,
        remote: row.try_get(3)?,
        times: row.try_get(4)?,
    })
}

/// Columns: n, at, actor, action, subject, remote, hash, count.
pub(super) fn entry(row: &SqliteRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        n: row.try_get(0)?,
        time: rows::timestamp(row, 1)?,
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        subject: row.try_get(4)?,
        remote: row.try_get(5)?,
        hash: row.try_get(6)?,
        count: row.try_get(7)?,
    })
}

/// Columns: email, `password_hash`, `created_at`, `locked_until`.
pub(super) fn admin(row: &SqliteRow) -> Result<Admin, sqlx::Error> {
    Ok(Admin {
        email: row.try_get(0)?,
        password_hash: row.try_get(1)?,
        created_at: rows::timestamp(row, 2)?,
        locked_until: rows::timestamp(row, 3)?,
    })
}

/// Columns: n, id, `expires_at`.
pub(super) fn revocation(row: &SqliteRow) -> Result<Revocation, sqlx::Error> {
    Ok(Revocation { n: row.try_get(0)?, id: row.try_get(1)?, expires_at: rows::timestamp(row, 2)? })
}
