//! On whose behalf a request is made.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use clap::ValueEnum;
use sambad_core::access::{AccessChange, Actor, AuditAction};
use sambad_core::{Phone, Sambad, Timestamp, UserId, UserRef};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::limits::AddressKey;
use crate::sessions::Remote;

/// What a principal may do; the route table says which routes that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// One user: their own contacts, messages and events.
    User,
    /// An app's own backend: writes for any user.
    Service,
    /// An operator: reads everything.
    Admin,
}

impl Role {
    /// The name that tokens and logs have for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Admin => "admin",
        }
    }
}

/// On whose behalf a request is made; authentication puts it into the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) roles: Vec<Role>,
    /// Who: a user's id, an account's address, a service's name.
    pub(crate) subject: Arc<str>,
    /// The user that all is confined to, of a principal with that role.
    pub(crate) user: Option<UserId>,
    /// The phone that an outside issuer vouches for: whoever has it may log in.
    pub(crate) verified_phone: Option<VerifiedPhone>,
    /// The ids by which it can be revoked: the token's own and its family's, or the digest of the cookie.
    pub(crate) ids: Vec<Arc<str>>,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// The phone that an outside issuer vouches for, as its token writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VerifiedPhone {
    Number(Phone),
    /// Any other text than E.164: the server would have to guess which number is meant, and so whom to log in.
    NotE164,
}

impl VerifiedPhone {
    /// Reads the claim: `+` and 8 to 15 digits, the first not 0, and nothing else. The server's country has no part in it.
    ///
    /// Source: OpenID Connect Core 1.0, 5.1; ITU-T E.164, 6.
    pub(super) fn of(claim: &str) -> Self {
        let digits = claim.strip_prefix('+').unwrap_or_default();
        let is_e164 = (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        let phone = claim.parse::<Phone>().ok().filter(|phone| is_e164 && phone.as_str() == claim);
        phone.map_or(Self::NotE164, Self::Number)
    }

    pub(crate) fn number(&self) -> Option<&Phone> {
        match self {
            Self::Number(number) => Some(number),
            Self::NotE164 => None,
        }
    }
}

impl Principal {
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether a session may go on as this one: the same person with the same rights.
    pub(crate) fn continues(&self, before: &Self) -> bool {
        self.subject == before.subject && self.user == before.user && self.roles == before.roles
    }
}

/// Who asks: nobody in particular while authentication is off.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Option<Principal>,
    remote: Option<Remote>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self { principal: parts.extensions.get().cloned(), remote: parts.extensions.get().copied() })
    }
}

impl Caller {
    /// The user that everything is confined to, if it is.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.principal.as_ref().and_then(|principal| principal.user)
    }

    /// What a list is about: a user sees their own, and is refused what is another's.
    pub(crate) fn confine(&self, asked: Option<UserId>) -> Result<Option<UserId>, ApiError> {
        match (self.user(), asked) {
            (Some(own), Some(other)) if own != other => Err(ApiError::Forbidden("this belongs to another user")),
            (own, asked) => Ok(own.or(asked)),
        }
    }

    /// Refuses to act for anybody but themselves.
    pub(crate) async fn must_be(&self, user: &UserRef, sambad: &Sambad) -> Result<(), ApiError> {
        let Some(own) = self.user() else { return Ok(()) };
        let id = match user {
            UserRef::Id(id) => Some(*id),
            // A phone that is nobody's is not theirs either, and they are not told which it is.
            other => sambad.user(other).await?.value.map(|user| user.id),
        };
        if id == Some(own) { Ok(()) } else { Err(ApiError::Forbidden("this belongs to another user")) }
    }

    /// Whether it reads as an operator, which the audit log tells of.
    fn is_admin(&self) -> bool {
        self.principal.as_ref().is_some_and(|principal| principal.user.is_none() && principal.has(Role::Admin))
    }

    /// What failed logins are counted under: the address, of IPv6 the network that one customer has.
    pub(crate) fn network(&self) -> String {
        self.remote.map(|remote| AddressKey::of(remote).to_string()).unwrap_or_default()
    }

    /// Writes into the audit log that an operator reads `what`: before it is handed out, as what cannot be told is not read. A dashboard
    /// repeats such reads every few seconds, so they are counted.
    pub(crate) async fn count_reading(&self, action: AuditAction, what: impl ToString, sambad: &Sambad) -> Result<(), ApiError> {
        if self.is_admin() {
            let note = AccessChange::NoteCounted { action, subject: what.to_string() };
            sambad.change_access(note, self.actor()).await?;
        }
        Ok(())
    }

    /// As [`Caller::count_reading`], of what `user`, or everybody, wrote: each request is an entry.
    pub(crate) async fn note_reading(&self, action: AuditAction, user: Option<UserId>, sambad: &Sambad) -> Result<(), ApiError> {
        if !self.is_admin() {
            return Ok(());
        }
        let subject = user_or_all(user);
        sambad.change_access(AccessChange::Note { action, subject }, self.actor()).await?;
        Ok(())
    }

    /// As the audit log names it.
    pub(crate) fn actor(&self) -> Actor {
        let name = self.principal.as_ref().map_or("anonymous", |principal| &principal.subject);
        let remote = self.remote.map(|remote| remote.ip().to_string()).unwrap_or_default();
        Actor { name: name.to_owned(), remote }
    }
}

/// What a list is about, as the audit log names it.
pub(crate) fn user_or_all(user: Option<UserId>) -> String {
    user.map_or_else(|| "all users".to_owned(), |user| user.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: an issuer's phone is the one number that it writes, or none. Method: one number in E.164, and other ways in which people
    /// and programs write it.
    #[test]
    fn issuers_phones_are_e164() {
        assert_eq!(VerifiedPhone::of("+919876543210").number(), Some(&"+919876543210".parse().unwrap()));
        for claim in [
            "",
            "+",
            "9876543210",
            "09876543210",
            "919876543210",
            "00919876543210",
            "(987) 654-3210",
            "+91 98765 43210",
            "+91-9876543210",
            "+91(98)76543210",
            " +919876543210",
            "+919876543210 ",
            "+919876543210\n",
            "+91\u{a0}9876543210",
            "++919876543210",
            "+0919876543210",
            "\u{ff0b}919876543210",
            "+\u{661}\u{661}9876543210",
            "tel:+919876543210",
            "+919876543210;ext=5",
            "+1234567",
            "+1234567890123456",
        ] {
            assert_eq!(VerifiedPhone::of(claim), VerifiedPhone::NotE164, "{claim:?}");
        }
    }
}
