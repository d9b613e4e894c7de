//! What a command or query can fail with.

use std::time::Duration;

use crate::cursor::ResyncReason;
use crate::id::ContactId;
use crate::phone::InvalidPhone;

/// Any failure of the core; clients see [`Error::code`] and, but for internal ones, the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is no phone number.
    #[error("invalid phone number in {field}: {reason}")]
    InvalidPhone {
        /// The field that holds it.
        field: &'static str,
        /// What is wrong with it.
        reason: InvalidPhone,
    },
    /// A text is no id.
    #[error("invalid id in {field}: expected a UUID")]
    InvalidId {
        /// The field that holds it.
        field: &'static str,
    },
    /// A field is missing, of the wrong type or out of bounds.
    #[error("invalid field {field}: {reason}")]
    InvalidField {
        /// The field.
        field: String,
        /// What is expected of it.
        reason: String,
    },
    /// Somebody wants to be their own contact.
    #[error("users cannot add themselves as a contact")]
    SelfContact,
    /// No such user.
    #[error("{role} not found")]
    UserNotFound {
        /// What the user would have been in the command, for example "contact user".
        role: &'static str,
    },
    /// No such contact.
    #[error("contact not found")]
    ContactNotFound {
        /// The id asked for.
        id: ContactId,
    },
    /// An idempotency key came again with another request.
    #[error("idempotency key was used before with another request")]
    IdempotencyKeyReused,
    /// The position asked for cannot be read any more, or not yet.
    #[error("cursor cannot be served: {}", reason.as_str())]
    CursorGone {
        /// Why.
        reason: ResyncReason,
    },
    /// Somebody has asked for more new phones than they may in a day.
    #[error("too many new phone numbers today")]
    TooManyNewPhones {
        /// How long it is until the next day.
        retry_after: Duration,
    },
    /// More commands are waiting than the bound allows.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The store did not answer, or is shutting down; nothing was changed.
    #[error("database is unavailable")]
    Unavailable(#[source] Option<Source>),
    /// COMMIT failed: the command may or may not have been stored. A retry with an idempotency key is safe.
    #[error("outcome unknown")]
    OutcomeUnknown(#[source] Option<Source>),
    /// The store holds what it should not, or the schema cannot be brought up to date.
    #[error("{what}")]
    Internal {
        /// What is wrong.
        what: String,
        /// What the store said.
        #[source]
        source: Option<Source>,
    },
}

/// An underlying failure; its type is not part of the interface.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is wrong.
    Invalid,
    /// What it refers to does not exist.
    NotFound,
    /// It contradicts what is stored.
    Conflict,
    /// It existed, and cannot be had any more.
    Gone,
    /// More than one caller may ask for: try again when the error says.
    RateLimited,
    /// Too much at once: try again soon.
    Overloaded,
    /// The store does not answer: try again later.
    Unavailable,
    /// A defect or a damaged store.
    Internal,
}

impl Error {
    /// Makes an [`Error::InvalidField`].
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidField { field: field.into(), reason: reason.into() }
    }

    /// What the failure means for the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidPhone { .. } | Self::InvalidId { .. } | Self::InvalidField { .. } | Self::SelfContact => {
                ErrorKind::Invalid
            }
            Self::UserNotFound { .. } | Self::ContactNotFound { .. } => ErrorKind::NotFound,
            Self::IdempotencyKeyReused => ErrorKind::Conflict,
            Self::CursorGone { .. } => ErrorKind::Gone,
            Self::TooManyNewPhones { .. } => ErrorKind::RateLimited,
            Self::Overloaded => ErrorKind::Overloaded,
            Self::Unavailable(_) | Self::OutcomeUnknown(_) => ErrorKind::Unavailable,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// The stable name by which programs tell failures apart.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidPhone { .. } => "invalid_phone",
            Self::InvalidId { .. } => "invalid_id",
            Self::InvalidField { .. } => "invalid_field",
            Self::SelfContact => "self_contact",
            Self::UserNotFound { .. } => "user_not_found",
            Self::ContactNotFound { .. } => "contact_not_found",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::CursorGone { .. } => "cursor_gone",
            Self::TooManyNewPhones { .. } => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable(_) | Self::OutcomeUnknown(_) => "unavailable",
            Self::Internal { .. } => "internal",
        }
    }
}
