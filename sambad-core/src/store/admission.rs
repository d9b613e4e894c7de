//! What each change of who may come in does, whatever the database: the decisions here, the statements there.

use std::time::Duration;

use crate::access::{
    AccessChange, AccessOutcome, Actor, AuditAction, AuditEntry, REFRESH_GRACE, REPEAT_WINDOW, REPEATS_MAX, SEVERAL, lock_time,
};
use crate::clock::Clock;
use crate::id::UserId;
use crate::store::asked::{self, AskedRows};
use crate::time::Timestamp;

/// What came of a change, and what the audit log says of it.
type Decided = (AccessOutcome, Vec<Noted>);

/// Rows of each kind that one change deletes if they have expired: more than it can add.
const TIDIED: usize = 16;
/// As many that [`AccessChange::Tidy`] deletes; a few milliseconds.
const TIDIED_MAX: usize = 256;

/// What the audit log says of a change.
struct Noted {
    action: AuditAction,
    subject: String,
    counted: Counted,
}

/// How repetitions become entries.
enum Counted {
    /// Each is one.
    Never,
    /// They are counted under this app user, who may have many addresses.
    OfUser(UserId),
    /// They are counted under the entry's subject.
    OfSubject,
}

/// What is counted together.
pub(super) struct RepeatKey<'a> {
    pub(super) action: &'a str,
    /// The app user, or what was read.
    pub(super) subject: &'a str,
    pub(super) actor: &'a str,
    pub(super) remote: &'a str,
}

/// What was counted until its hour was over.
pub(super) struct Repeats {
    pub(super) action: String,
    pub(super) subject: String,
    pub(super) actor: String,
    pub(super) remote: String,
    pub(super) times: i64,
}

/// A refresh token as it is stored.
pub(super) struct RefreshToken {
    pub(super) family: String,
    pub(super) user: UserId,
    pub(super) used_at: Option<Timestamp>,
    /// When the last access token of the family expires.
    pub(super) access_until: Timestamp,
    pub(super) by_service: bool,
    /// The digest of the token that took its place, if that has neither been used nor ended.
    pub(super) successor: Option<String>,
}

/// What one login began.
pub(super) struct Family<'a> {
    pub(super) id: &'a str,
    pub(super) user: UserId,
    pub(super) by_service: bool,
}

/// The last entry of the audit log.
pub(super) struct LastEntry {
    pub(super) n: i64,
    pub(super) hash: String,
    pub(super) time: Timestamp,
}

/// By what instants changes are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instants {
    /// What is valid, and the entries' instants.
    pub(super) now: Timestamp,
    /// What had ended then is deleted: nothing while the clock is not trusted.
    pub(super) aged: Option<Timestamp>,
}

impl Instants {
    pub(super) fn by(clock: &Clock) -> Self {
        // Not sooner for a clock that has run for long: a revocation that went too early lets a stolen token in again.
        Self { now: clock.now(), aged: clock.aged(Duration::MAX) }
    }

    /// Of a command line, which knows nothing of the clock's past: it deletes nothing.
    pub(super) fn once(now: Timestamp) -> Self {
        Self { now, aged: None }
    }
}

/// The statements, all in one transaction that has changes of access to itself.
pub(super) trait AccessRows: AskedRows {
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
    /// Adds a token of the family, with when it expires and when the last access token of the family does.
    async fn add_refresh(&mut self, digest: &str, of: &Family<'_>, until: [Timestamp; 2]) -> Result<(), sqlx::Error>;
    /// The families of a user, of those that a service began or of the others, beyond as many as there may be: those that end first.
    async fn families_beyond_max(&mut self, began: &Family<'_>) -> Result<Vec<String>, sqlx::Error>;
    /// Says that an access token of the family may live until then.
    async fn extend_access(&mut self, digest: &str, access_until: Timestamp) -> Result<(), sqlx::Error>;
    /// One that has not ended.
    async fn refresh_token(&mut self, digest: &str, now: Timestamp) -> Result<Option<RefreshToken>, sqlx::Error>;
    async fn use_up(&mut self, digest: &str, successor: &str, now: Timestamp) -> Result<(), sqlx::Error>;
    /// Deletes a family; tells when its last access token expires, if there is such a family.
    async fn end_family(&mut self, family: &str) -> Result<Option<Timestamp>, sqlx::Error>;
    /// A revocation that ends later takes the place of another under a new number, by which servers that know the old one see
    /// it.
    async fn revoke(&mut self, id: &str, expires_at: Timestamp) -> Result<(), sqlx::Error>;
    async fn is_revoked(&mut self, id: &str) -> Result<bool, sqlx::Error>;
    async fn last_entry(&mut self) -> Result<Option<LastEntry>, sqlx::Error>;
    async fn add_entry(&mut self, entry: &AuditEntry) -> Result<(), sqlx::Error>;
    /// Reads some that follow entry `n`, or none if that is the last.
    async fn entries_after(&mut self, n: i64) -> Result<Vec<AuditEntry>, sqlx::Error>;
    /// Counts one more, if counting began after `since`; tells whether it did.
    async fn count_repeat(&mut self, key: &RepeatKey<'_>, since: Timestamp) -> Result<bool, sqlx::Error>;
    /// Tells how many pairs of actor and address an action of a user is counted under.
    async fn repeats(&mut self, action: &str, subject: &str) -> Result<i64, sqlx::Error>;
    /// Begins to count, or counts `times` more.
    async fn begin_repeats(&mut self, key: &RepeatKey<'_>, now: Timestamp, times: i64) -> Result<(), sqlx::Error>;
    /// Ends counting under one key; tells what it came to.
    async fn end_repeats(&mut self, key: &RepeatKey<'_>) -> Result<Option<Repeats>, sqlx::Error>;
    /// Ends counting that began at `since` or before, under `limit` keys at most.
    async fn end_old_repeats(&mut self, since: Timestamp, limit: usize) -> Result<Vec<Repeats>, sqlx::Error>;
    /// Tells how much is counted that is no entry yet.
    async fn pending_repeats(&mut self) -> Result<i64, sqlx::Error>;
    /// Deletes what had ended at `aged`, `limit` rows of each kind at most.
    async fn tidy(&mut self, aged: Timestamp, limit: usize) -> Result<(), sqlx::Error>;
}

/// Makes changes, in their order.
pub(super) async fn apply(
    rows: &mut impl AccessRows,
    changes: &[(AccessChange, Actor)],
    Instants { now, aged }: Instants,
) -> Result<Vec<AccessOutcome>, sqlx::Error> {
    let mut outcomes = Vec::with_capacity(changes.len());
    for (change, actor) in changes {
        let (outcome, noted) = decide(rows, change, now, aged).await?;
        for noted in noted {
            note(rows, now, actor, noted).await?;
        }
        outcomes.push(outcome);
    }
    let limit = changes.iter().map(|(change, _)| if matches!(change, AccessChange::Tidy) { TIDIED_MAX } else { TIDIED }).sum();
    for repeats in rows.end_old_repeats(now.minus(REPEAT_WINDOW), limit).await? {
        append_repeats(rows, now, repeats).await?;
    }
    if let Some(aged) = aged {
        rows.tidy(aged, limit).await?;
        // Not with each login: on SQLite it is one more switch of thread.
        if changes.iter().any(|(change, _)| matches!(change, AccessChange::Tidy | AccessChange::AskPhones { .. })) {
            asked::tidy(rows, aged, limit).await?;
        }
    }
    Ok(outcomes)
}

async fn decide(
    rows: &mut impl AccessRows,
    change: &AccessChange,
    now: Timestamp,
    aged: Option<Timestamp>,
) -> Result<Decided, sqlx::Error> {
    let done = |action: AuditAction, subject: &str| (AccessOutcome::Done, vec![Noted::once(action, subject)]);
    Ok(match change {
        AccessChange::AddAdmin { email, password_hash } => {
            rows.end_sessions(email, now).await?;
            rows.forgive_all(email).await?;
            rows.put_admin(email, password_hash, now).await?;
            done(AuditAction::AdminAdded, email)
        }
        AccessChange::RemoveAdmin { email } => {
            rows.end_sessions(email, now).await?;
            if rows.remove_admin(email).await? {
                done(AuditAction::AdminRemoved, email)
            } else {
                (AccessOutcome::Unknown, vec![])
            }
        }
        AccessChange::LoginAdmin { email, password_hash, network, digest, expires_at } => {
            login(rows, [email, password_hash, network, digest], *expires_at, now).await?
        }
        AccessChange::FailLogin { email, network } => fail_login(rows, email.as_deref(), network, now).await?,
        AccessChange::LogoutAdmin { digest } => {
            let Some((email, expires_at)) = rows.end_session(digest).await? else {
                return Ok((AccessOutcome::Unknown, vec![]));
            };
            rows.revoke(digest, expires_at).await?;
            done(AuditAction::AdminLoggedOut, &email)
        }
        AccessChange::StartFamily { user, family, digest, expires_at, revoked_until, by_service } => {
            let family = Family { id: family, user: *user, by_service: *by_service };
            rows.add_refresh(digest, &family, [*expires_at, *revoked_until]).await?;
            evict(rows, &family, now).await?
        }
        AccessChange::Refresh { digest, next, expires_at, revoked_until } => {
            refresh(rows, [digest, next], *expires_at, *revoked_until, now).await?
        }
        AccessChange::LogoutUser { user, id, expires_at } => {
            revoke_all(rows, id, *expires_at).await?;
            (AccessOutcome::Done, vec![Noted::of_user(AuditAction::UserLoggedOut, user.to_string(), *user)])
        }
        AccessChange::Revoke { id, expires_at } => {
            revoke_all(rows, id, *expires_at).await?;
            done(AuditAction::TokenRevoked, id)
        }
        AccessChange::Tidy => (AccessOutcome::Done, vec![]),
        AccessChange::AskPhones { asked, per_day } => (asked::ask(rows, asked, *per_day, now, aged).await?, vec![]),
        AccessChange::Note { action, subject } => done(*action, subject),
        AccessChange::NoteCounted { action, subject } => {
            (AccessOutcome::Done, vec![Noted { action: *action, subject: subject.clone(), counted: Counted::OfSubject }])
        }
    })
}

/// Refuses a token or a family until nothing of it is accepted anyway.
async fn revoke_all(rows: &mut impl AccessRows, id: &str, expires_at: Timestamp) -> Result<(), sqlx::Error> {
    let of_family = rows.end_family(id).await?;
    rows.revoke(id, of_family.map_or(expires_at, |until| until.max(expires_at))).await
}

/// Revokes the logins of a user beyond as many as there may be, now that there is one more.
async fn evict(rows: &mut impl AccessRows, began: &Family<'_>, now: Timestamp) -> Result<Decided, sqlx::Error> {
    let user = began.user;
    let mut noted = vec![Noted::of_user(AuditAction::UserLoggedIn, user.to_string(), user)];
    for family in rows.families_beyond_max(began).await? {
        // Nothing of it is accepted after that anyway.
        if let Some(until) = rows.end_family(&family).await?.filter(|until| *until > now) {
            rows.revoke(&family, until).await?;
        }
        noted.push(Noted::of_user(AuditAction::LoginEvicted, format!("{user} {family}"), user));
    }
    let outcome = if noted.len() > 1 { AccessOutcome::Evicted } else { AccessOutcome::Done };
    Ok((outcome, noted))
}

/// Looks once more whether the account is as it was when the password was compared: that took a while.
async fn login(
    rows: &mut impl AccessRows,
    [email, password_hash, network, digest]: [&str; 4],
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    match rows.locked_until(email, password_hash, network).await? {
        None => return Ok((AccessOutcome::Unknown, vec![Noted::once(AuditAction::LoginFailed, email)])),
        Some(until) if until > now => return Ok((AccessOutcome::Locked, vec![])),
        Some(_) => {}
    }
    rows.forgive(email, network).await?;
    rows.add_session(digest, email, expires_at).await?;
    Ok((AccessOutcome::Done, vec![Noted::once(AuditAction::AdminLoggedIn, email)]))
}

/// Failures of a network that may not try are in no log: so few can be written in a day that nobody fills the disk with them.
async fn fail_login(
    rows: &mut impl AccessRows,
    email: Option<&str>,
    network: &str,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    let row = email.unwrap_or_default();
    let Some(failures) = rows.count_failure(row, network, now).await? else { return Ok((AccessOutcome::Locked, vec![])) };
    let lock = lock_time(failures);
    if !lock.is_zero() {
        rows.lock(row, network, now.plus(lock)).await?;
    }
    // What was typed as an account that there is not may be anything, a password in the wrong field included.
    Ok((AccessOutcome::Done, vec![Noted::once(AuditAction::LoginFailed, email.unwrap_or("no such account"))]))
}

async fn refresh(
    rows: &mut impl AccessRows,
    [digest, next]: [&str; 2],
    expires_at: Timestamp,
    revoked_until: Timestamp,
    now: Timestamp,
) -> Result<Decided, sqlx::Error> {
    let Some(token) = rows.refresh_token(digest, now).await? else { return Ok((AccessOutcome::Unknown, vec![])) };
    let RefreshToken { family, user, used_at, access_until, by_service, successor } = token;
    let access_until = revoked_until.max(access_until);
    match (used_at, successor) {
        (None, _) if rows.is_revoked(&family).await? => Ok((AccessOutcome::Unknown, vec![])),
        (None, _) => {
            rows.use_up(digest, next, now).await?;
            rows.add_refresh(next, &Family { id: &family, user, by_service }, [expires_at, access_until]).await?;
            Ok((AccessOutcome::Refreshed { user, family, next: next.to_owned() }, vec![]))
        }
        // Also by a clock that was set back meanwhile no more than that.
        (Some(used_at), Some(next)) if now.since(used_at).max(used_at.since(now)) < REFRESH_GRACE => {
            rows.extend_access(&next, access_until).await?;
            Ok((AccessOutcome::Refreshed { user, family, next }, vec![]))
        }
        (Some(_), _) => {
            revoke_all(rows, &family, access_until).await?;
            let entry = Noted::of_user(AuditAction::RefreshTokenReused, format!("{user} {family}"), user);
            Ok((AccessOutcome::Reused { user, family }, vec![entry]))
        }
    }
}

impl Noted {
    fn once(action: AuditAction, subject: &str) -> Self {
        Self { action, subject: subject.to_owned(), counted: Counted::Never }
    }

    fn of_user(action: AuditAction, subject: String, user: UserId) -> Self {
        Self { action, subject, counted: Counted::OfUser(user) }
    }
}

/// Writes an entry, or counts where one about the same was written within the hour: what an app user or a dashboard does in a loop must
/// not fill a table that is never trimmed.
async fn note(rows: &mut impl AccessRows, now: Timestamp, actor: &Actor, noted: Noted) -> Result<(), sqlx::Error> {
    let Noted { action, subject, counted } = noted;
    let counted_under = match &counted {
        Counted::Never => None,
        Counted::OfUser(user) => Some(user.to_string()),
        Counted::OfSubject => Some(subject.clone()),
    };
    if let Some(of) = counted_under {
        let key = RepeatKey { action: action.as_str(), subject: &of, actor: &actor.name, remote: &actor.remote };
        if rows.count_repeat(&key, now.minus(REPEAT_WINDOW)).await? {
            return Ok(());
        }
        if let Some(repeats) = rows.end_repeats(&key).await? {
            append_repeats(rows, now, repeats).await?;
        }
        let many = matches!(counted, Counted::OfUser(_)) && rows.repeats(key.action, key.subject).await? >= REPEATS_MAX;
        if many {
            return rows.begin_repeats(&RepeatKey { actor: SEVERAL, remote: SEVERAL, ..key }, now, 1).await;
        }
        rows.begin_repeats(&key, now, 0).await?;
    }
    let Actor { name: actor, remote } = actor.clone();
    append(rows, now, Repeats { action: action.as_str().to_owned(), subject, actor, remote, times: 1 }).await
}

/// Writes what was counted, if it was anything.
async fn append_repeats(rows: &mut impl AccessRows, now: Timestamp, repeats: Repeats) -> Result<(), sqlx::Error> {
    if repeats.times == 0 { Ok(()) } else { append(rows, now, repeats).await }
}

async fn append(rows: &mut impl AccessRows, clock: Timestamp, what: Repeats) -> Result<(), sqlx::Error> {
    let Repeats { action, subject, actor, remote, times: count } = what;
    let last = rows.last_entry().await?;
    let LastEntry { n, hash: before, time } = last.unwrap_or(LastEntry { n: 0, hash: String::new(), time: clock });
    let time = clock.max(time);
    let mut entry = AuditEntry { n: n + 1, time, actor, action, subject, remote, count, hash: String::new() };
    entry.hash = entry.hash_after(&before);
    let AuditEntry { n, actor, action, subject, remote, hash, .. } = &entry;
    tracing::info!(n, actor, action, subject, remote, count, hash, "audit");
    rows.add_entry(&entry).await
}

/// What an examination found of the audit log.
pub(super) struct AuditState {
    /// What is wrong with the chain.
    pub(super) faults: Vec<String>,
    pub(super) entries: i64,
    /// What is counted and no entry yet.
    pub(super) pending: i64,
}

/// Follows the chain from its first entry.
pub(super) async fn check_audit(rows: &mut impl AccessRows) -> Result<AuditState, sqlx::Error> {
    let pending = rows.pending_repeats().await?;
    let (mut faults, mut last, mut before) = (Vec::new(), 0, String::new());
    loop {
        let page = rows.entries_after(last).await?;
        if page.is_empty() {
            return Ok(AuditState { faults, entries: last, pending });
        }
        for entry in page {
            if entry.n != last + 1 {
                faults.push(format!("{} is missing", last + 1));
            } else if entry.hash_after(&before) != entry.hash {
                faults.push(format!("{} was changed", entry.n));
            }
            if faults.len() >= 5 {
                return Ok(AuditState { faults, entries: entry.n, pending });
            }
            (last, before) = (entry.n, entry.hash);
        }
    }
}
