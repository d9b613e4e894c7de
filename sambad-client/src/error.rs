//! What a request or a stream can fail with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::verifier::Anomaly;

/// An underlying failure; its type is not part of the interface.
type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Any failure of this crate.
///
/// The same type says why a stream ended and, in [`State::Reconnecting`](crate::State), why it lost its connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the server cannot be used.
    #[error("server address {url:?}: {reason}")]
    InvalidUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An idempotency key is empty, too long or not visible ASCII.
    #[error("idempotency key must be 1 to 255 visible ASCII characters")]
    InvalidIdempotencyKey,
    /// A token is empty, too long or not visible ASCII.
    #[error("token must be 1 to 8192 visible ASCII characters")]
    InvalidToken,
    /// Certificates that were to be trusted cannot be read, or the system trusts none.
    #[error("certificates: {reason}")]
    Certificates {
        /// What is wrong with them.
        reason: String,
    },
    /// There is no token to go on with: it was given once and cannot be renewed, or the source of tokens failed for good.
    #[error("no valid token: {reason}")]
    NoToken {
        /// Why there is none.
        reason: String,
    },
    /// Nobody answers at the address, or over TLS somebody who is not the server; nothing was changed.
    #[error("cannot connect to {url}: {}", root_cause(source))]
    Connect {
        /// The server's address.
        url: String,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// No complete answer came in time. Whether a write was stored is unknown: a retry with an idempotency key is safe.
    #[error("no response from {url} within {} s", after.as_secs_f32())]
    Timeout {
        /// The server's address.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke while it was used. Whether a write was stored is unknown, as with `Timeout`.
    #[error("connection to {url} broke: {}", root_cause(source))]
    Transport {
        /// The server's address.
        url: String,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// The server refused; a refused request changed nothing.
    #[error("{message} ({status}{}{code})", if code.is_empty() { "" } else { " " })]
    Api {
        /// HTTP status.
        status: u16,
        /// Stable name by which programs tell failures apart; empty when a proxy answered instead.
        code: String,
        /// Text for people.
        message: String,
        /// By which the server's log knows the request.
        request_id: Option<String>,
        /// How long to wait before another attempt, if the server said.
        retry_after: Option<Duration>,
    },
    /// The server does not know who asks: there was no token, or it has ended, was revoked or is not one of its own. A stream
    /// whose token ended is closed with 4501. A client that can renew its token has tried that already.
    ///
    /// Trying again takes another token; the refused request changed nothing.
    #[error("{0}")]
    Unauthorized(Refusal),
    /// Whoever asks may not do that: another role or another user could. A stream is closed with 4503 when an admin ends it.
    ///
    /// Trying again is no use; the refused request changed nothing.
    #[error("{0}")]
    Forbidden(Refusal),
    /// Too much was asked in too short a time. A stream is closed with 4029 when its client says too much.
    ///
    /// It may be tried again after [`retry_after`](Refusal::retry_after); the refused request changed nothing.
    #[error("{0}")]
    RateLimited(Refusal),
    /// The server ended the event stream with a close frame.
    #[error("closed by the server: {code}{}{reason}", if reason.is_empty() { "" } else { " " })]
    Closed {
        /// WebSocket close code.
        code: u16,
        /// `key` or `key key=value`.
        reason: String,
    },
    /// An event is missing, was repeated or came out of order. A stream that reports this reconnects from its cursor.
    #[error("{0}")]
    Anomaly(Anomaly),
    /// Neither an event nor a heartbeat came for too long.
    #[error("no data from the server for {} s", after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// The server said something that the contract does not allow.
    #[error("unexpected response from {url}: {what}")]
    Protocol {
        /// The server's address.
        url: String,
        /// What was wrong.
        what: String,
    },
}

/// What whoever refuses says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// HTTP status, or close code of a WebSocket.
    pub status: u16,
    /// Stable name of the reason; empty when a proxy answered instead of the server.
    pub code: String,
    /// Text for people.
    pub message: String,
    /// By which the server's log knows the request.
    pub request_id: Option<String>,
    /// How long to wait before another attempt, if the server said.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, message, .. } = self;
        write!(f, "{message} ({status}{}{code})", if code.is_empty() { "" } else { " " })
    }
}

impl From<Refusal> for Error {
    /// Gives the statuses that say the same to everybody a variant of their own.
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            401 => Self::Unauthorized(refusal),
            403 => Self::Forbidden(refusal),
            429 => Self::RateLimited(refusal),
            _ => {
                let Refusal { status, code, message, request_id, retry_after } = refusal;
                Self::Api { status, code, message, request_id, retry_after }
            }
        }
    }
}

impl Error {
    /// What a close frame of the server means.
    pub(crate) fn closed(code: u16, reason: String) -> Self {
        let variant = match code {
            4029 => Self::RateLimited,
            4501 => Self::Unauthorized,
            4503 => Self::Forbidden,
            _ => return Self::Closed { code, reason },
        };
        let message = "closed by the server".into();
        variant(Refusal { status: code, code: reason, message, request_id: None, retry_after: None })
    }

    /// The `code` of a refusal by the server.
    #[must_use]
    pub fn api_code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            Self::Unauthorized(refusal) | Self::Forbidden(refusal) | Self::RateLimited(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// How long the server asks to wait before another attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api { retry_after, .. } => *retry_after,
            Self::RateLimited(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the trouble is who asks: another token may help, trying again will not.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::NoToken { .. } | Self::Unauthorized(_) | Self::Forbidden(_))
    }

    /// Whether the failure may pass by itself, so that trying again makes sense.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::Silent { .. }
            | Self::RateLimited(_)
            | Self::Anomaly(_) => true,
            Self::Api { status, .. } => matches!(status, 408 | 500..),
            Self::InvalidUrl { .. }
            | Self::InvalidIdempotencyKey
            | Self::InvalidToken
            | Self::Certificates { .. }
            | Self::NoToken { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::Closed { .. }
            | Self::Protocol { .. } => false,
        }
    }
}

/// The innermost message of a chain: "connection refused" tells more than "error sending request".
fn root_cause(source: &Source) -> String {
    let mut cause: &dyn std::error::Error = source.as_ref();
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
