//! What each change of who may come in does, whatever the database: the decisions here, the statements there.

use crate::access::{AccessChange, AccessOutcome, Actor, AuditAction, AuditEntry, lock_time};
use crate::id::UserId;
use crate::time::Timestamp;

/// What came of a change, and what the audit log says of it.
type Decided = (AccessOutcome, Option<(AuditAction, String)>);

/// A refresh token as it is stored.
pub(super) struct RefreshToken {
    pub(super) family: String,
    pub(super) user: UserId,
    pub(super) used: bool,
}

/// The last entry of the audit log.
pub(super) struct LastEntry {
    pub(super) n: i64,
    pub(super) hash: String,
    pub(super) time: Timestamp,
}

/// The statements, all in one transaction that has changes of access to itself.
pub(super) trait AccessRows {
    async fn put_admin(&mut self, email: &str, password_hash: &str, now: Timestamp) -> Result<(), sqlx::Error>;
    /// Tells whether there was one.
    async fn remove_admin(&mut self, email: &str) -> Result<bool, sqlx::Error>;
    /// Deletes all of an account, and revokes those that have not ended.
    async fn end_sessions(&mut self, email: &str, now: Timestamp) -> Result<(), sqlx::Error>;
    async fn add_session(&mut self, digest: &str, email: &str, expires_at: Timestamp) -> Result<(), sqlx::Error>;
    /// Deletes one; tells whose it was, and when it would have ended.
    async fn end_session(&mut self, digest: &str) -> Result<Option<(String, Timestamp)>, sqlx::Error>;
    /// Until when `network` may not try, if the account still has this password.
    async fn locked_until(&mut self, email: &str, hash: &str, network: &str) -> Result<Option<Timestamp>, sqlx::Error>;
    /// Counts one, unless the network may not try; tells how many there are in a row.
    async fn count_failure(&mut self, email: &str, network: &str, now: Timestamp) -> Result<Option<i64>, sqlx::Error>;
    async fn lock(&mut self, email: &str, network: &str, until: Timestamp) -> Result<(), sqlx::Error>;
    async fn forgive(&mut self, email: &str, network: &str) -> Result<(), sqlx::Error>;
    async fn forgive_all(&mut self, email: &str) -> Result<(), sqlx::Error>;
    async fn add_refresh(&mut self, digest: &str, family: &str, user: UserId, expires_at: Timestamp) -> Result<(), sqlx::Error>;
    /// Keeps as many families of a user as one may have, those that end last.
    async fn drop_families(&mut self, user: UserId) -> Result<(), sqlx::Error>;
    /// One that has not ended.
    async fn refresh_token(&mut self, digest: &str, now: Timestamp) -> Result<Option<RefreshToken>, sqlx::Error>;
    async fn use_up(&mut self, digest: &str, now: Timestamp) -> Result<(), sqlx::Error>;
    async fn end_family(&mut self, family: &str) -> Result<(), sqlx::Error>;
    /// A revocation that ends later takes the place of another under a new number, by which servers that know the old one see
    /// it.
    async fn revoke(&mut self, id: &str, expires_at: Timestamp) -> Result<(), sqlx::Error>;
    async fn is_revoked(&mut self, id: &str) -> Result<bool, sqlx::Error>;
    async fn last_entry(&mut self) -> Result<Option<LastEntry>, sqlx::Error>;
    async fn add_entry(&mut self, entry: &AuditEntry) -> Result<(), sqlx::Error>;
    /// Reads some that follow entry `n`, or none if that is the last.
    async fn entries_after(&mut self, n: i64) -> Result<Vec<AuditEntry>, sqlx::Error>;
    /// Deletes what has ended in portions, more than can come with one change.
    async fn tidy(&mut self, now: Timestamp) -> Result<(), sqlx::Error>;
}

/// Makes changes, in their order.
pub(super) async fn apply(
    rows: &mut impl AccessRows,
    changes: &[(AccessChange, Actor)],
    clock: Timestamp,
) -> Result<Vec<AccessOutcome>, sqlx::Error> {
    let mut outcomes = Vec::with_capacity(changes.len());
    for (change, actor) in changes {
        let (outcome, entry) = decide(rows, change, clock).await?;
        if let Some((action, subject)) = entry {
            append(rows, clock, actor, action, subject).await?;
        }
        outcomes.push(outcome);
    }
    rows.tidy(clock).await?;
    Ok(outcomes)
}

async fn decide(rows: &mut impl AccessRows, change: &AccessChange, now: Timestamp) -> Result<Decided, sqlx::Error> {
    let done = |action: AuditAction, subject: &str| (AccessOutcome::Done, Some((action, subject.to_owned())));
    Ok(match change {
        AccessChange::AddAdmin { email, password_hash } => {
            rows.end_sessions(email, now).await?;
            rows.forgive_all(email).await?;
            rows.put_admin(email, password_hash, now).await?;
            done(AuditAction::AdminAdded, email)
        }
        AccessChange::RemoveAdmin { email } => {
            rows.end_sessions(email, now).await?;
            if rows.remove_admin(email).await? { done(AuditAction::AdminRemoved, email) } else { (AccessOutcome::Unknown, None) }
        }
        AccessChange::LoginAdmin { email, password_hash, network, digest, expires_at } => {
            login(rows, [email, password_hash, network, digest], *expires_at, now).await?
        }
        AccessChange::FailLogin { email, network } => fail_login(rows, email.as_deref(), network, now).await?,
        AccessChange::LogoutAdmin { digest } => {
            let Some((email, expires_at)) = rows.end_session(digest).await? else {
                return Ok((AccessOutcome::Unknown, None));
            };
            rows.revoke(digest, expires_at).await?;
            done(AuditAction::AdminLoggedOut, &email)
        }
        AccessChange::StartFamily { user, family, digest, expires_at } => {
            rows.add_refresh(digest, family, *user, *expires_at).await?;
            rows.drop_families(*user).await?;
            done(AuditAction::UserLoggedIn, &user.to_string())
        }
        AccessChange::Refresh { digest, next, expires_at, revoked_until } => {
            refresh(rows, [digest, next], *expires_at, *revoked_until, now).await?
        }
        AccessChange::Revoke { id, expires_at } => {
            rows.revoke(id, *expires_at).await?;
            rows.end_family(id).await?;
            done(AuditAction::TokenRevoked, id)
        }
        AccessChange::Note { action, subject } => done(*action, subject),
    })
}

/// Looks once more whether the account is as it was when the password was compared: that took a while.
async fn login(
    rows: &mut impl AccessRows,
    [email, password_hash, network, digest]: [&str; 4],
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    match rows.locked_until(email, password_hash, network).await? {
        None => return Ok((AccessOutcome::Unknown, Some((AuditAction::LoginFailed, email.to_owned())))),
        Some(until) if until > now => return Ok((AccessOutcome::Locked, None)),
        Some(_) => {}
    }
    rows.forgive(email, network).await?;
    rows.add_session(digest, email, expires_at).await?;
    Ok((AccessOutcome::Done, Some((AuditAction::AdminLoggedIn, email.to_owned()))))
}

/// Failures of a network that may not try are in no log: so few can be written in a day that nobody fills the disk with them.
async fn fail_login(
    rows: &mut impl AccessRows,
    email: Option<&str>,
    network: &str,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    let row = email.unwrap_or_default();
    let Some(failures) = rows.count_failure(row, network, now).await? else { return Ok((AccessOutcome::Locked, None)) };
    let lock = lock_time(failures);
    if !lock.is_zero() {
        rows.lock(row, network, now.plus(lock)).await?;
    }
    // What was typed as an account that there is not may be anything, a password in the wrong field included.
    Ok((AccessOutcome::Done, Some((AuditAction::LoginFailed, email.unwrap_or("no such account").to_owned()))))
}

async fn refresh(
    rows: &mut impl AccessRows,
    [digest, next]: [&str; 2],
    expires_at: Timestamp,
    revoked_until: Timestamp,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    let Some(RefreshToken { family, user, used }) = rows.refresh_token(digest, now).await? else {
        return Ok((AccessOutcome::Unknown, None));
    };
    if used {
        rows.revoke(&family, revoked_until).await?;
        rows.end_family(&family).await?;
        let entry = (AuditAction::RefreshTokenReused, format!("{user} {family}"));
        return Ok((AccessOutcome::Reused { user, family }, Some(entry)));
    }
    if rows.is_revoked(&family).await? {
        return Ok((AccessOutcome::Unknown, None));
    }
    rows.use_up(digest, now).await?;
    rows.add_refresh(next, &family, user, expires_at).await?;
    Ok((AccessOutcome::Refreshed { user, family }, None))
}

async fn append(
    rows: &mut impl AccessRows,
    clock: Timestamp,
    actor: &Actor,
    action: AuditAction,
    subject: String,
) -> Result<(), sqlx::Error> {
    let last = rows.last_entry().await?;
    let LastEntry { n, hash: before, time } = last.unwrap_or(LastEntry { n: 0, hash: String::new(), time: clock });
    let mut entry = AuditEntry {
        n: n + 1,
        time: clock.max(time),
        actor: actor.name.clone(),
        action: action.as_str().to_owned(),
        subject,
        remote: actor.remote.clone(),
        hash: String::new(),
    };
    entry.hash = entry.hash_after(&before);
    let AuditEntry { n, actor, action, subject, remote, hash, .. } = &entry;
    tracing::info!(n, actor, action, subject, remote, hash, "audit");
    rows.add_entry(&entry).await
}

/// What is wrong with the chain, and how many entries there are.
pub(super) async fn check_audit(rows: &mut impl AccessRows) -> Result<(Vec<String>, i64), sqlx::Error> {
    let (mut faults, mut last, mut before) = (Vec::new(), 0, String::new());
    loop {
        let page = rows.entries_after(last).await?;
        if page.is_empty() {
            return Ok((faults, last));
        }
        for entry in page {
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
