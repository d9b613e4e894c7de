//! Who may come in: admins' accounts, refresh tokens, revocations, and the audit log of all that.
//!
//! **Invariant:** a change and its entry in the audit log are one transaction. Secrets never come here: passwords as argon2id
//! hashes, cookies and refresh tokens as digests.

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::discovery::AskedPhones;
use crate::id::UserId;
use crate::time::Timestamp;

/// Failed logins in a row, at one account from one network, after which that network may try no more for a while.
pub const LOGIN_FAILURES_MAX: i64 = 5;
/// How long it may not first; each further failure doubles it.
pub const LOCK_MIN: Duration = Duration::from_secs(30);
/// How long it may not at most.
pub const LOCK_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a failure counts.
pub const FAILURE_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a refresh token that was used up is remembered: if it comes again within that time, its family is revoked.
pub const USED_UP_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a used refresh token gets the same successor again, as long as the successor itself is unused: a client whose response was
/// lost can retry, and two tabs may use one token at once.
pub const REFRESH_GRACE: Duration = Duration::from_secs(30);
/// Families of refresh tokens of one user, at most; as many again that a service began. With another login the one that would end
/// first is revoked.
pub const FAMILIES_MAX: u32 = 20;
/// How long repetitions of an entry are counted before the count becomes an entry.
pub const REPEAT_WINDOW: Duration = Duration::from_secs(3600);
/// Pairs of actor and address whose repetitions of one action of one app user are counted apart; all others are counted together. What
/// an admin repeats is always counted apart.
pub const REPEATS_MAX: i64 = 4;
/// Stands for the actor and the address of what is counted together.
pub const SEVERAL: &str = "several";

/// Who asks for a change, as the audit log names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// An admin's address, a user's id, a service's name; `operator` at the command line, `anonymous` before a login.
    pub name: String,
    /// The client's address; empty at the command line.
    pub remote: String,
}

/// A change of who may come in, or something that the audit log keeps.
#[derive(Debug, Clone)]
pub enum AccessChange {
    /// Make an account, or give it a new password and end its sessions.
    AddAdmin {
        /// The account.
        email: String,
        /// In PHC form.
        password_hash: String,
    },
    /// Delete an account and end its sessions.
    RemoveAdmin {
        /// The account.
        email: String,
    },
    /// The password was right: begin a session, unless the account is locked or has another password by now.
    LoginAdmin {
        /// The account.
        email: String,
        /// The hash that the password was compared with.
        password_hash: String,
        /// From where; as long as it may not try, it is refused.
        network: String,
        /// Of the cookie.
        digest: String,
        /// When the session ends.
        expires_at: Timestamp,
    },
    /// The password was wrong, the network may not try, or there is no such account.
    FailLogin {
        /// The account, if there is one.
        email: Option<String>,
        /// From where.
        network: String,
    },
    /// End an admin's session.
    LogoutAdmin {
        /// Of the cookie.
        digest: String,
    },
    /// A user has logged in: begin a family of refresh tokens.
    StartFamily {
        /// The user.
        user: UserId,
        /// The family's id.
        family: String,
        /// Of its first token.
        digest: String,
        /// When that token ends.
        expires_at: Timestamp,
        /// Until when the access token that goes with it is accepted anywhere.
        revoked_until: Timestamp,
        /// Whether a service began it, and not the user.
        by_service: bool,
    },
    /// Use up a refresh token. One that was used before gets its successor again within [`REFRESH_GRACE`], as long as that is unused;
    /// otherwise its family is revoked.
    Refresh {
        /// Of the token.
        digest: String,
        /// Of the token that follows it, unless another one does already.
        next: String,
        /// When that one ends.
        expires_at: Timestamp,
        /// Until when the access token that goes with it is accepted anywhere.
        revoked_until: Timestamp,
    },
    /// A user has logged out: refuse a token, or all that a login began, from now on.
    LogoutUser {
        /// The user.
        user: UserId,
        /// The id of the token's family, or of the token where it has none.
        id: String,
        /// Until when the token is accepted anywhere, if it is not revoked. Of a family that is stored, the end of its last
        /// token counts if that is later.
        expires_at: Timestamp,
    },
    /// Refuse a token or a family from now on.
    Revoke {
        /// The id of the token or of its family.
        id: String,
        /// When it would have ended by itself. Of a family that is stored, the end of its last token counts if that is later.
        expires_at: Timestamp,
    },
    /// Delete more of what has expired, and write counts of hours that are over into the audit log. A server asks for it now
    /// and then; every other change does some of it.
    Tidy,
    /// Count phones that somebody asks for, if the new ones among them are within what is left of the day.
    AskPhones {
        /// Who asks for what.
        asked: AskedPhones,
        /// New phones that they may ask for in a day.
        per_day: u32,
    },
    /// Nothing but an entry in the audit log.
    Note {
        /// What was done.
        action: AuditAction,
        /// To what.
        subject: String,
    },
    /// As `Note`, for what programs repeat all the time: the first within [`REPEAT_WINDOW`] by the same actor from the same address is an
    /// entry at once, and more of the same are counted and become one.
    NoteCounted {
        /// What was done.
        action: AuditAction,
        /// To what.
        subject: String,
    },
}

impl AccessChange {
    /// Rows that the change may write, beyond a few.
    pub(crate) fn rows(&self) -> usize {
        if let Self::AskPhones { asked, .. } = self { asked.phones.len() } else { 0 }
    }
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessOutcome {
    /// It was made.
    Done,
    /// There is no such account, session or token, or it has ended.
    Unknown,
    /// The network may not try for now.
    Locked,
    /// It was made, and logins beyond [`FAMILIES_MAX`] were revoked for it.
    Evicted,
    /// The token is used up; the next one stands.
    Refreshed {
        /// Whose it is.
        user: UserId,
        /// The family's id.
        family: String,
        /// Of the token that follows it: of another request's if that used the token up first.
        next: String,
    },
    /// Phones were counted.
    PhonesAsked {
        /// How many of them were new.
        new: u64,
    },
    /// The new phones are more than is left of the day: none was counted.
    TooManyNewPhones,
    /// The token had been used before: its family is revoked.
    Reused {
        /// Whose it was.
        user: UserId,
        /// The family's id.
        family: String,
    },
}

/// What the audit log tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// An account was made, or got a new password.
    AdminAdded,
    /// An account was deleted.
    AdminRemoved,
    /// An admin logged in.
    AdminLoggedIn,
    /// An admin logged out.
    AdminLoggedOut,
    /// A login failed.
    LoginFailed,
    /// A user logged in.
    UserLoggedIn,
    /// A user logged out.
    UserLoggedOut,
    /// A login beyond the number that a user may have was revoked for a newer one.
    LoginEvicted,
    /// A refresh token came twice, and its family was revoked.
    RefreshTokenReused,
    /// A token was made at the command line.
    TokenCreated,
    /// A token or a family was revoked.
    TokenRevoked,
    /// An admin read messages.
    MessagesRead,
    /// An admin read events, or opened a stream of them: messages are among them.
    EventsRead,
    /// An admin read users.
    UsersRead,
    /// An admin read contacts.
    ContactsRead,
    /// An admin read the list of sessions.
    SessionsRead,
    /// An admin read the audit log.
    AuditRead,
    /// An admin closed a session.
    SessionClosed,
}

impl AuditAction {
    /// The name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminAdded => "admin_added",
            Self::AdminRemoved => "admin_removed",
            Self::AdminLoggedIn => "admin_logged_in",
            Self::AdminLoggedOut => "admin_logged_out",
            Self::LoginFailed => "login_failed",
            Self::UserLoggedIn => "user_logged_in",
            Self::UserLoggedOut => "user_logged_out",
            Self::LoginEvicted => "login_evicted",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
            Self::MessagesRead => "messages_read",
            Self::EventsRead => "events_read",
            Self::UsersRead => "users_read",
            Self::ContactsRead => "contacts_read",
            Self::SessionsRead => "sessions_read",
            Self::AuditRead => "audit_read",
            Self::SessionClosed => "session_closed",
        }
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// The number of the entry: 1, 2, 3, … without holes.
    pub n: i64,
    /// The time.
    pub time: Timestamp,
    /// The actor: an admin's address, a user's id, a service's name, `operator` or `anonymous`.
    pub actor: String,
    /// The action.
    pub action: String,
    /// The object of the action.
    pub subject: String,
    /// The client's address, empty at the command line.
    pub remote: String,
    /// The number of repetitions. More than 1 only where repetitions within an hour were counted.
    pub count: i64,
    /// SHA-256 of the hash before and these fields, in hex.
    pub hash: String,
}

impl AuditEntry {
    /// The hash that the entry must have after one with the hash `before`; the first follows the empty text.
    #[must_use]
    pub fn hash_after(&self, before: &str) -> String {
        let (n, time) = (self.n, self.time.as_micros());
        let fields = (n, time, &self.actor, &self.action, &self.subject, &self.remote);
        // Entries of versions that did not count have the hash of one.
        let json = match self.count {
            1 => serde_json::to_string(&fields),
            count => serde_json::to_string(&(n, time, &self.actor, &self.action, &self.subject, &self.remote, count)),
        };
        let json = json.unwrap_or_default();
        hex(&Sha256::new().chain_update(before).chain_update([b'\n']).chain_update(json).finalize())
    }
}

/// Bytes in hex, lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An admin's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Its address, lower case.
    pub email: String,
    /// In PHC form.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when whoever was asked about may not try; of a list, until when anybody may not.
    pub locked_until: Timestamp,
}

/// An id that is refused from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its place among all; read on from here.
    pub n: i64,
    /// A token, a family, or the digest of a cookie.
    pub id: String,
    /// After that nothing with it is valid anyway.
    pub expires_at: Timestamp,
}

/// How long a network may not try after so many failures in a row.
#[must_use]
pub fn lock_time(failures: i64) -> Duration {
    let Ok(beyond) = u32::try_from(failures - LOGIN_FAILURES_MAX) else { return Duration::ZERO };
    LOCK_MIN.saturating_mul(1 << beyond.min(16)).min(LOCK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a few slips cost nothing, guessing costs ever more, and nobody is locked out for long. Method: a table.
    #[test]
    fn locks_grow_to_a_bound() {
        for (failures, seconds) in [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (9, 480), (10, 900), (1_000_000, 900)] {
            assert_eq!(lock_time(failures), Duration::from_secs(seconds), "{failures}");
        }
    }
}
