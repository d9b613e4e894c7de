//! How often one session may speak.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket that holds a second's worth, in one instant.
///
/// Source: the generic cell rate algorithm (ITU-T I.371), as governor has it for many keys: here there is a session for each.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time between two at the steady rate; zero when there is no bound.
    interval: Duration,
    /// When the bucket will be full.
    full_at: Instant,
}

impl Pace {
    /// 0: there is no bound.
    pub(crate) fn per_second(n: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(n).unwrap_or(Duration::ZERO);
        Self { interval, full_at: Instant::now() }
    }

    /// Takes one; `false` when the bucket is empty.
    pub(crate) fn take(&mut self) -> bool {
        let now = Instant::now();
        let full_at = self.full_at.max(now) + self.interval;
        let in_time = full_at <= now + Duration::from_secs(1);
        if in_time {
            self.full_at = full_at;
        }
        in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a second's worth at once, then the steady rate. Method: paused time.
    #[tokio::test(start_paused = true)]
    async fn a_second_at_once_then_one_by_one() {
        let mut pace = Pace::per_second(10);
        assert_eq!((0..20).filter(|_| pace.take()).count(), 10);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!((0..20).filter(|_| pace.take()).count(), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..20).filter(|_| pace.take()).count(), 10);
        let mut pace = Pace::per_second(0);
        assert!((0..100_000).all(|_| pace.take()));
    }
}
