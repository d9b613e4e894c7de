//! What a request or a stream can fail with.

use std::time::Duration;

/// An underlying failure; its type is not part of the interface.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Any failure of this crate.
///
/// The same type says why a stream ended and, in [`State::Reconnecting`](crate::State), why it lost its connection.
#[derive(Debug, thiserror::Error)]
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
    /// Nobody answers at the address; nothing was changed.
    #[error("connect to {url}: {}", root_cause(source))]
    Connect {
        /// The server's address.
        url: String,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// No complete answer came in time. Whether a write was stored is unknown: a retry with an idempotency key is safe.
    #[error("no answer from {url} within {} s", after.as_secs_f32())]
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
    /// The server ended the event stream with a close frame.
    #[error("closed by the server: {code}{}{reason}", if reason.is_empty() { "" } else { " " })]
    Closed {
        /// WebSocket close code.
        code: u16,
        /// `key` or `key key=value`.
        reason: String,
    },
    /// Neither an event nor a heartbeat came for too long.
    #[error("nothing heard from the server for {} s", after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// The server said something that the contract does not allow.
    #[error("unexpected answer from {url}: {what}")]
    Protocol {
        /// The server's address.
        url: String,
        /// What was wrong.
        what: String,
    },
}

impl Error {
    /// The `code` of a refusal by the server.
    #[must_use]
    pub fn api_code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            _ => None,
        }
    }

    /// How long the server asks to wait before another attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the failure may pass by itself, so that trying again makes sense.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Transport { .. } | Self::Silent { .. } => true,
            Self::Api { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::InvalidUrl { .. } | Self::InvalidIdempotencyKey | Self::Closed { .. } | Self::Protocol { .. } => false,
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
