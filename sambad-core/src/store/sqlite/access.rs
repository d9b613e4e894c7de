//! Who may come in, and the audit log: each change with its entry in one transaction.
//!
//! The server's changes go through the committer, which owns the connection that writes; the command line has one of its own,
//! and waits for its turn like any other process.

use std::path::Path;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};

use super::{check, failed, identity, rows};
use crate::access::{
    AccessChange, AccessOutcome, Actor, Admin, AuditAction, AuditEntry, FAILURE_TTL, FAMILIES_MAX, Revocation, USED_UP_TTL,
    lock_time,
};
use crate::error::Error;
use crate::time::Timestamp;

type Decided = (AccessOutcome, Option<(AuditAction, String)>);

const BEGIN: &str = "begin immediate";
const ADD_ADMIN: &str = "insert into admins (email, password_hash, created_at) values (?1, ?2, ?3)
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
/// Keeps the families of a user that end last.
const DROP_FAMILIES: &str = "delete from refresh_tokens where user_id = ?1 and family not in (
    select family from refresh_tokens where user_id = ?1 group by family order by max(expires_at) desc limit ?2)";
const ADD_REFRESH: &str = "insert into refresh_tokens (digest, family, user_id, expires_at) values (?1, ?2, ?3, ?4)";
const REFRESH: &str = "select family, user_id, used_at is not null from refresh_tokens where digest = ?1 and expires_at > ?2";
/// A token that was used up is remembered for a while: its thief may come late, but not for ever.
const USE_UP: &str = "update refresh_tokens set used_at = ?2, expires_at = min(expires_at, ?3) where digest = ?1";
pub(super) const KNOWS_REFRESH: &str = "select exists (select 1 from refresh_tokens where digest = ?1 and expires_at > ?2)";
const END_FAMILY: &str = "delete from refresh_tokens where family = ?1";
const IS_REVOKED: &str = "select exists (select 1 from revocations where id = ?1)";
/// One that ends later takes the place of another under a new number, by which servers that know the old one see it.
const REVOKE: [&str; 2] = [
    "delete from revocations where id = ?1 and expires_at < ?2",
    "insert or ignore into revocations (id, expires_at) values (?1, ?2)",
];
const LAST_ENTRY: &str = "select n, hash, at from audit order by n desc limit 1";
const ADD_ENTRY: &str = "insert into audit (n, at, actor, action, subject, remote, hash) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
/// What has ended goes in portions, more than can come with one change.
const TIDY: [&str; 4] = [
    "delete from login_failures where (email, network) in (
        select email, network from login_failures where last_at <= ?2 limit 16)",
    "delete from admin_sessions where digest in (select digest from admin_sessions where expires_at <= ?1 limit 16)",
    "delete from refresh_tokens where digest in (select digest from refresh_tokens where expires_at <= ?1 limit 16)",
    "delete from revocations where n in (select n from revocations where expires_at <= ?1 limit 16)",
];

pub(super) const ADMIN: &str = "select a.email, a.password_hash, a.created_at, coalesce(f.locked_until, 0) from admins a
    left join login_failures f on f.email = a.email and f.network = ?2 where a.email = ?1";
const ADMINS: &str = "select email, password_hash, created_at,
        coalesce((select max(locked_until) from login_failures f where f.email = a.email), 0)
    from admins a order by email";
pub(super) const SESSION: &str = "select email, expires_at from admin_sessions where digest = ?1 and expires_at > ?2";
pub(super) const REVOCATIONS: &str = "select n, id, expires_at from revocations where n > ?1 order by n limit ?2";
pub(super) const AUDIT: &str = "select n, at, actor, action, subject, remote, hash from audit
    where n < ?1 order by n desc limit ?2";
const AUDIT_FORWARD: &str = "select n, at, actor, action, subject, remote, hash from audit where n > ?1 order by n limit 1000";

/// Makes changes, in their order, in a transaction that the caller commits. Whoever meets an error drops the connection, and
/// with it the transaction.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    changes: &[(AccessChange, Actor)],
    clock: Timestamp,
) -> Result<Vec<AccessOutcome>, sqlx::Error> {
    sqlx::query(BEGIN).execute(&mut *connection).await?;
    let mut outcomes = Vec::with_capacity(changes.len());
    for (change, actor) in changes {
        let (outcome, entry) = decide(connection, change, clock).await?;
        if let Some((action, subject)) = entry {
            append(connection, clock, actor, action, &subject).await?;
        }
        outcomes.push(outcome);
    }
    for statement in TIDY {
        let query = sqlx::query(statement).bind(clock.as_micros()).bind(clock.minus(FAILURE_TTL).as_micros());
        query.execute(&mut *connection).await?;
    }
    Ok(outcomes)
}

/// Makes a change beside the server, which may run meanwhile.
pub(crate) async fn change(path: &Path, change: AccessChange, actor: Actor) -> Result<AccessOutcome, Error> {
    let mut connection = open_current(path).await?;
    let outcomes = apply(&mut connection, &[(change, actor)], Timestamp::now()).await.map_err(failed)?;
    sqlx::query("commit").execute(&mut connection).await.map_err(super::outcome_unknown)?;
    // The answer stands whether or not SQLite could tidy up.
    let _ = connection.close().await;
    Ok(outcomes.into_iter().next().unwrap_or(AccessOutcome::Unknown))
}

/// Lists the accounts, beside the server.
pub(crate) async fn admins(path: &Path) -> Result<Vec<Admin>, Error> {
    let mut connection = open_current(path).await?;
    let found = sqlx::query(ADMINS).fetch_all(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    found.iter().map(admin).collect::<Result<_, _>>().map_err(failed)
}

/// Opens a database whose schema is this version's.
async fn open_current(path: &Path) -> Result<SqliteConnection, Error> {
    let mut connection = identity::open_existing(path).await?;
    if check::has_current_schema(&mut connection).await.map_err(failed)? {
        return Ok(connection);
    }
    let what = format!("the schema of {} is another version's: start this version's server on it once", path.display());
    Err(Error::Internal { what, source: None })
}

async fn decide(tx: &mut SqliteConnection, change: &AccessChange, now: Timestamp) -> Result<Decided, sqlx::Error> {
    let done = |action: AuditAction, subject: &str| (AccessOutcome::Done, Some((action, subject.to_owned())));
    Ok(match change {
        AccessChange::AddAdmin { email, password_hash } => {
            end_sessions(tx, email, now).await?;
            sqlx::query(FORGIVE_ALL).bind(email).execute(&mut *tx).await?;
            sqlx::query(ADD_ADMIN).bind(email).bind(password_hash).bind(now.as_micros()).execute(tx).await?;
            done(AuditAction::AdminAdded, email)
        }
        AccessChange::RemoveAdmin { email } => {
            end_sessions(tx, email, now).await?;
            let removed = sqlx::query(REMOVE_ADMIN).bind(email).execute(tx).await?.rows_affected();
            if removed == 0 { (AccessOutcome::Unknown, None) } else { done(AuditAction::AdminRemoved, email) }
        }
        AccessChange::LoginAdmin { email, password_hash, network, digest, expires_at } => {
            login(tx, [email, password_hash, network, digest], *expires_at, now).await?
        }
        AccessChange::FailLogin { email, network } => fail_login(tx, email.as_deref(), network, now).await?,
        AccessChange::LogoutAdmin { digest } => {
            let Some(row) = sqlx::query(END_SESSION).bind(digest).fetch_optional(&mut *tx).await? else {
                return Ok((AccessOutcome::Unknown, None));
            };
            revoke(tx, digest, rows::timestamp(&row, 1)?).await?;
            done(AuditAction::AdminLoggedOut, row.try_get(0)?)
        }
        AccessChange::StartFamily { user, family, digest, expires_at } => {
            let add = sqlx::query(ADD_REFRESH).bind(digest).bind(family).bind(user.to_string()).bind(expires_at.as_micros());
            add.execute(&mut *tx).await?;
            sqlx::query(DROP_FAMILIES).bind(user.to_string()).bind(FAMILIES_MAX).execute(tx).await?;
            done(AuditAction::UserLoggedIn, &user.to_string())
        }
        AccessChange::Refresh { digest, next, expires_at, revoked_until } => {
            refresh(tx, [digest, next], *expires_at, *revoked_until, now).await?
        }
        AccessChange::Revoke { id, expires_at } => {
            revoke(tx, id, *expires_at).await?;
            sqlx::query(END_FAMILY).bind(id).execute(tx).await?;
            done(AuditAction::TokenRevoked, id)
        }
        AccessChange::Note { action, subject } => done(*action, subject),
    })
}

async fn end_sessions(tx: &mut SqliteConnection, email: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query(REVOKE_SESSIONS).bind(email).bind(now.as_micros()).execute(&mut *tx).await?;
    sqlx::query(END_SESSIONS).bind(email).execute(tx).await.map(drop)
}

/// Looks once more whether the account is as it was when the password was compared: that took a while.
async fn login(
    tx: &mut SqliteConnection,
    [email, password_hash, network, digest]: [&str; 4],
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    let lock = sqlx::query_scalar(LOCK_OF_ADMIN).bind(email).bind(password_hash).bind(network);
    let locked_until: Option<i64> = lock.fetch_optional(&mut *tx).await?;
    match locked_until {
        None => return Ok((AccessOutcome::Unknown, Some((AuditAction::LoginFailed, email.to_owned())))),
        Some(until) if until > now.as_micros() => return Ok((AccessOutcome::Locked, None)),
        Some(_) => {}
    }
    sqlx::query(FORGIVE).bind(email).bind(network).execute(&mut *tx).await?;
    sqlx::query(ADD_SESSION).bind(digest).bind(email).bind(expires_at.as_micros()).execute(tx).await?;
    Ok((AccessOutcome::Done, Some((AuditAction::AdminLoggedIn, email.to_owned()))))
}

/// Failures of a network that may not try are in no log: so few can be written in a day that nobody fills the disk with them.
async fn fail_login(
    tx: &mut SqliteConnection,
    email: Option<&str>,
    network: &str,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    let (row, us) = (email.unwrap_or_default(), now.as_micros());
    let count = sqlx::query_scalar(FAILURES).bind(row).bind(network).bind(us).bind(now.minus(FAILURE_TTL).as_micros());
    let failures: Option<i64> = count.fetch_optional(&mut *tx).await?;
    let Some(failures) = failures else { return Ok((AccessOutcome::Locked, None)) };
    let lock = lock_time(failures);
    if !lock.is_zero() {
        sqlx::query(LOCK).bind(row).bind(network).bind(now.plus(lock).as_micros()).execute(tx).await?;
    }
    // What was typed as an account that there is not may be anything, a password in the wrong field included.
    Ok((AccessOutcome::Done, Some((AuditAction::LoginFailed, email.unwrap_or("no such account").to_owned()))))
}

async fn refresh(
    tx: &mut SqliteConnection,
    [digest, next]: [&str; 2],
    expires_at: Timestamp,
    revoked_until: Timestamp,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    let found = sqlx::query(REFRESH).bind(digest).bind(now.as_micros()).fetch_optional(&mut *tx).await?;
    let Some(row) = found else { return Ok((AccessOutcome::Unknown, None)) };
    let (family, user, used): (String, _, bool) = (row.try_get(0)?, rows::parsed(&row, 1)?, row.try_get(2)?);
    if used {
        revoke(tx, &family, revoked_until).await?;
        sqlx::query(END_FAMILY).bind(&family).execute(tx).await?;
        let entry = (AuditAction::RefreshTokenReused, format!("{user} {family}"));
        return Ok((AccessOutcome::Reused { user, family }, Some(entry)));
    }
    if sqlx::query_scalar(IS_REVOKED).bind(&family).fetch_one(&mut *tx).await? {
        return Ok((AccessOutcome::Unknown, None));
    }
    let remembered = now.plus(USED_UP_TTL).as_micros();
    sqlx::query(USE_UP).bind(digest).bind(now.as_micros()).bind(remembered).execute(&mut *tx).await?;
    let add = sqlx::query(ADD_REFRESH).bind(next).bind(&family).bind(user.to_string()).bind(expires_at.as_micros());
    add.execute(tx).await?;
    Ok((AccessOutcome::Refreshed { user, family }, None))
}

async fn revoke(tx: &mut SqliteConnection, id: &str, expires_at: Timestamp) -> Result<(), sqlx::Error> {
    for statement in REVOKE {
        sqlx::query(statement).bind(id).bind(expires_at.as_micros()).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn append(
    tx: &mut SqliteConnection,
    clock: Timestamp,
    actor: &Actor,
    action: AuditAction,
    subject: &str,
) -> Result<(), sqlx::Error> {
    let last = sqlx::query(LAST_ENTRY).fetch_optional(&mut *tx).await?;
    let (n, before, at) = match &last {
        Some(row) => (row.try_get::<i64, _>(0)? + 1, row.try_get(1)?, rows::timestamp(row, 2)?),
        None => (1, "", clock),
    };
    let mut entry = AuditEntry {
        n,
        time: clock.max(at),
        actor: actor.name.clone(),
        action: action.as_str().to_owned(),
        subject: subject.to_owned(),
        remote: actor.remote.clone(),
        hash: String::new(),
    };
    entry.hash = entry.hash_after(before);
    tracing::info!(n, actor = entry.actor, action = entry.action, subject, remote = entry.remote, hash = entry.hash, "audit");
    sqlx::query(ADD_ENTRY)
        .bind(n)
        .bind(entry.time.as_micros())
        .bind(&entry.actor)
        .bind(&entry.action)
        .bind(subject)
        .bind(&entry.remote)
        .bind(&entry.hash)
        .execute(tx)
        .await
        .map(drop)
}

/// What is wrong with the chain, and how many entries there are.
pub(super) async fn check_audit(connection: &mut SqliteConnection) -> Result<(Vec<String>, i64), sqlx::Error> {
    let (mut faults, mut last, mut before) = (Vec::new(), 0, String::new());
    loop {
        let page = sqlx::query(AUDIT_FORWARD).bind(last).fetch_all(&mut *connection).await?;
        if page.is_empty() {
            return Ok((faults, last));
        }
        for row in &page {
            let entry = entry(row)?;
            if entry.n != last + 1 {
                faults.push(format!("{} is missing", last + 1));
            } else if entry.hash_after(&before) != entry.hash {
                faults.push(format!("{} was changed", entry.n));
            }
            if faults.len() >= 5 {
                return Ok((faults, entry.n));
            }
            (last, before) = (entry.n, entry.hash);
        }
    }
}

/// Columns: n, at, actor, action, subject, remote, hash.
pub(super) fn entry(row: &SqliteRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        n: row.try_get(0)?,
        time: rows::timestamp(row, 1)?,
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        subject: row.try_get(4)?,
        remote: row.try_get(5)?,
        hash: row.try_get(6)?,
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
