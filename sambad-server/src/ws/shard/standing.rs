//! Where a shard's sessions stand, for those who watch the server.

use sambad_core::{Filter, Seq, Timestamp};
use uuid::Uuid;

use super::outbound::Phase;
use super::socket::Socket;
use super::turn::Shard;
use crate::sessions::About;

/// Where one session stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) about: About,
    pub(crate) filter: Filter,
    /// Everything up to here was handed to its socket.
    pub(crate) cursor: Seq,
    /// Whether it has not caught up since it came.
    pub(crate) replaying: bool,
}

impl Standing {
    /// Furthest behind, then there longest; the id makes it the same each time.
    pub(crate) fn order(&self) -> (Seq, Timestamp, Uuid) {
        (self.cursor, self.about.since, self.about.id)
    }

    /// Those furthest behind first, then those that are there longest.
    pub(crate) fn furthest_behind(mut standings: Vec<Self>, limit: usize) -> Vec<Self> {
        if standings.len() > limit {
            // So that ten thousand need not be sorted for a hundred.
            standings.select_nth_unstable_by_key(limit, Self::order);
            standings.truncate(limit);
        }
        standings.sort_unstable_by_key(Self::order);
        standings
    }
}

impl<S: Socket> Shard<S> {
    /// The sessions furthest behind, at most `limit`; none that is closing.
    pub(super) fn standings(&self, limit: usize) -> Vec<Standing> {
        let standings = self.sessions.values().filter(|session| session.phase.is_open()).map(|session| Standing {
            about: session.about,
            filter: session.filter,
            cursor: if session.phase == Phase::Live { self.position } else { session.cursor },
            replaying: session.replaying,
        });
        Standing::furthest_behind(standings.collect(), limit)
    }
}
