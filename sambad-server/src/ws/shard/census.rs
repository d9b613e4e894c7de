//! How many sessions a shard has, and how far they are behind: counts, for those who watch many servers.

use sambad_core::Seq;

use super::outbound::Phase;
use super::socket::Socket;
use super::turn::Shard;

/// Sessions by state, and their lag in events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Has caught up.
    pub(crate) live: u64,
    /// Reads on as fast as its turn comes.
    pub(crate) replaying: u64,
    /// Waits for its socket to take more.
    pub(crate) parked: u64,
    /// Gets no more events.
    pub(crate) closing: u64,
    /// Of the session furthest behind.
    pub(crate) lag_max: u64,
    /// Of all sessions together.
    pub(crate) lag_sum: u64,
}

impl Census {
    /// Takes note of how far a session at `cursor` is behind.
    pub(crate) fn lags(&mut self, head: Seq, cursor: Seq) {
        let lag = head.0.saturating_sub(cursor.0);
        self.lag_max = self.lag_max.max(lag);
        self.lag_sum += lag;
    }

    /// Both together.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            live: self.live + other.live,
            replaying: self.replaying + other.replaying,
            parked: self.parked + other.parked,
            closing: self.closing + other.closing,
            lag_max: self.lag_max.max(other.lag_max),
            lag_sum: self.lag_sum + other.lag_sum,
        }
    }
}

impl<S: Socket> Shard<S> {
    /// Looks at each session once: some ten nanoseconds.
    pub(super) fn census(&self) -> Census {
        let (mut census, head) = (Census::default(), self.log.bounds().head);
        for session in self.sessions.values() {
            let count = match session.phase {
                Phase::Silent | Phase::Closing | Phase::Leaving => {
                    census.closing += 1;
                    continue;
                }
                _ if session.socket.is_none() => &mut census.parked,
                Phase::Live | Phase::Ahead => &mut census.live,
                Phase::Behind | Phase::Reading => &mut census.replaying,
            };
            *count += 1;
            census.lags(head, if session.phase == Phase::Live { self.position } else { session.cursor });
        }
        census
    }
}
