//! The end of a session, as its shard sees it.
//!
//! Either half may end first: the shard when the socket is gone or the last frame is written, the reading half when its task
//! ends. What the session came to waits for whoever is second, so that a session needs no channel for it while it lives.

use std::sync::atomic::Ordering;

use sambad_core::{Filter, Seq};

use super::audience::SessionKey;
use super::outbound::Phase;
use super::socket::Socket;
use super::turn::{Shard, leave_live};

/// What a session came to, as its shard knows it.
#[derive(Debug, Clone, Copy)]
pub(in crate::ws) struct Farewell {
    /// What it asked for last.
    pub(in crate::ws) filter: Filter,
    /// Where it stood.
    pub(in crate::ws) cursor: Seq,
    /// Events that were handed to its socket.
    pub(in crate::ws) events: u64,
}

impl<S: Socket> Shard<S> {
    /// Ends a session whose reading half has yet to say that it is gone: what it came to is kept until then.
    pub(super) fn depart(&mut self, key: SessionKey) {
        if let Some(farewell) = self.remove(key) {
            self.departed.insert(key, farewell);
        }
    }

    /// Ends a session; what it came to, if there is one.
    pub(super) fn remove(&mut self, key: SessionKey) -> Option<Farewell> {
        let session = self.sessions.remove(key)?;
        self.audience.remove(key, session.filter);
        if let Some(waiting) = session.waiting {
            waiting.abort();
        }
        if session.phase.is_open() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.leaving.remove(&key);
        let cursor = if session.phase == Phase::Live { self.position } else { session.cursor };
        Some(Farewell { filter: session.filter, cursor, events: session.events })
    }

    /// Sends a session no more events: what is left of it is its goodbye.
    pub(super) fn stop(&mut self, key: SessionKey, phase: Phase) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        leave_live(session, self.position);
        if session.phase.is_open() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        session.phase = phase;
    }
}
