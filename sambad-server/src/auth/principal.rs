//! On whose behalf a request is made.

use std::sync::Arc;

use sambad_core::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// What a principal may do; the policy says which routes that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The name that tokens and the audit log have for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Admin => "admin",
        }
    }
}

/// On whose behalf a request is made; authentication puts it into the request's extensions, unless nobody is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) role: Role,
    /// Who: a user's id, an account's address, a service's name.
    pub(crate) subject: Arc<str>,
    /// The user that all is confined to, of a principal with that role.
    pub(crate) user: Option<UserId>,
    /// The ids by which it can be revoked: the token's own, that of its family.
    pub(crate) ids: Vec<Arc<str>>,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}
