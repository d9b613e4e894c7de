//! What a stream tells its reader.

use std::time::Duration;

use sambad_core::{Cursor, ResyncReason, Seq, Timestamp};

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
    /// The position asked for cannot be served: reload state; the stream goes on after `cursor`.
    Resync(Resync),
}

/// Where the stream goes on, and why not where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resync {
    /// Why.
    pub reason: ResyncReason,
    /// The head of the log as it is now.
    pub cursor: Cursor,
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
