//! How the server takes leave: readiness fails first, every session is told when to come back, and only then nobody is let in.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Time between two sessions that come back: a thousand a second, of which a server opens ten times as many.
const RETURN_INTERVAL: Duration = Duration::from_millis(1);

/// The server's leave, as everything that serves sees it.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Cancelled when sessions are to end.
    begun: CancellationToken,
    /// Cancelled earlier, when readiness is to fail.
    announced: CancellationToken,
    /// Sessions come back within this time.
    window: Duration,
    /// Sessions there were when the drain began.
    sessions: AtomicU32,
    /// Those that were told when to come back.
    told: AtomicU32,
}

impl Drain {
    pub(crate) fn new(window: Duration) -> Self {
        let begun = CancellationToken::new();
        let announced = CancellationToken::new();
        Self { begun, announced, window, sessions: AtomicU32::new(0), told: AtomicU32::new(0) }
    }

    /// Makes readiness fail, so that a load balancer looks elsewhere; everything is served still.
    pub(crate) fn announce(&self) {
        self.announced.cancel();
    }

    /// Ends all sessions, of which there are `sessions`.
    pub(crate) fn begin(&self, sessions: usize) {
        // Relaxed: cancelling the token makes it visible to whoever sees the token cancelled.
        self.sessions.store(u32::try_from(sessions).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.announced.cancel();
        self.begun.cancel();
    }

    /// Whether readiness fails.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Whether sessions are ended, and no new ones opened.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Resolves when sessions are to end.
    pub(crate) async fn begins(&self) {
        self.begun.cancelled().await;
    }

    /// When the next session is to come back: each has its own place in the window, evenly one after the other.
    ///
    /// A few sessions come back at once instead of waiting for a window that was made for thousands.
    pub(crate) fn reconnect_after(&self) -> Duration {
        // Relaxed: any order of places is even.
        let place = self.told.fetch_add(1, Ordering::Relaxed);
        let sessions = self.sessions.load(Ordering::Relaxed).max(1);
        let interval = RETURN_INTERVAL.min(self.window / sessions);
        // One that opened while the drain began may be one too many: its place is that of another.
        interval * (place % sessions)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn delays(window: Duration, sessions: u32, told: u32) -> Vec<Duration> {
        let drain = Drain::new(window);
        drain.begin(usize::try_from(sessions).unwrap());
        (0..told).map(|_| drain.reconnect_after()).collect()
    }

    /// Goal: every session has a place of its own within the window, evenly. Method: fewer and more sessions than fit a
    /// thousand a second.
    #[test]
    fn places_are_even_and_within_the_window() {
        for (sessions, last_ms) in [(1, 0), (100, 99), (10_000, 9_999), (40_000, 9_999)] {
            let delays = delays(Duration::from_secs(10), sessions, sessions);
            assert_eq!(delays.iter().collect::<BTreeSet<_>>().len(), delays.len(), "{sessions}");
            assert_eq!(delays.last().unwrap().as_millis(), last_ms, "{sessions}");
            let steps: BTreeSet<_> = delays.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(steps.len() <= 1, "{sessions}: {steps:?}");
        }
    }

    /// Goal: whoever was not counted is told a time as well. Method: more sessions than were there, and none.
    #[test]
    fn the_uncounted_have_a_place() {
        let delays_of_more = delays(Duration::from_secs(1), 2, 5);
        assert!(delays_of_more.iter().all(|delay| *delay < Duration::from_secs(1)), "{delays_of_more:?}");
        assert_eq!(delays(Duration::ZERO, 0, 2), [Duration::ZERO; 2]);
    }
}
