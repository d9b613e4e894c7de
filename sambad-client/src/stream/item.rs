//! What a stream tells its reader.

use std::time::Duration;

use sambad_core::{Cursor, Seq, Timestamp};

use super::transport::Transport;
use crate::error::Error;
use crate::event::Event;

/// One thing that a stream has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item {
    /// Something happened.
    Event(Event),
    /// The connection changed.
    State(State),
    /// Events before `cursor` cannot be had: reload state; the stream continues after it.
    Resync(Resync),
}

/// Where the stream goes on, and why not where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resync {
    /// Why.
    pub reason: ResyncReason,
    /// The head of the log as it is now; after a loss, the last position of the hole.
    pub cursor: Cursor,
}

/// Why a stream does not continue where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResyncReason {
    /// The server no longer stores the events right after the cursor.
    CursorExpired,
    /// The cursor belongs to another life of the log.
    EpochChanged,
    /// The cursor lies beyond the head.
    CursorAhead,
    /// Events of an unfiltered stream are missing, also after a reconnect: no server that keeps the contract causes this.
    Loss,
}

impl ResyncReason {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CursorExpired => "cursor_expired",
            Self::EpochChanged => "epoch_changed",
            Self::CursorAhead => "cursor_ahead",
            Self::Loss => "loss",
        }
    }
}

impl From<sambad_core::ResyncReason> for ResyncReason {
    fn from(reason: sambad_core::ResyncReason) -> Self {
        match reason {
            sambad_core::ResyncReason::CursorExpired => Self::CursorExpired,
            sambad_core::ResyncReason::EpochChanged => Self::EpochChanged,
            sambad_core::ResyncReason::CursorAhead => Self::CursorAhead,
        }
    }
}

/// How far the connection is: connecting → replaying → live → reconnecting → connecting …, at last closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum State {
    /// An attempt begins.
    Connecting {
        /// Attempts since the last connection, this one included.
        attempt: u32,
        /// By which way; here and below never `Auto`.
        transport: Transport,
    },
    /// Connected, and events from before now are coming.
    Replaying {
        /// Where the server begins.
        cursor: Cursor,
        /// How far it has to go.
        head: Seq,
        /// By which way.
        transport: Transport,
    },
    /// Connected, and every event comes as it happens.
    Live {
        /// Everything up to here was passed on.
        cursor: Cursor,
        /// By which way.
        transport: Transport,
    },
    /// The connection is gone, or did not come about; another attempt follows.
    Reconnecting {
        /// How soon; zero when only the transport did not get through, and the next one is tried.
        delay: Duration,
        /// What happened.
        why: Error,
    },
    /// The token of the connection is about to end, and there is no other. Events go on until then; then the stream ends with
    /// [`Error::Unauthorized`], unless there is a token by that time. Only a WebSocket is told.
    TokenExpiring {
        /// When it ends.
        at: Option<Timestamp>,
        /// Why there is no other.
        why: Error,
    },
    /// The server is done with this stream.
    Closed,
}
