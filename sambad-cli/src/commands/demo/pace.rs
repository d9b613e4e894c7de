//! When the next thing happens.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

/// How far behind its plan a story may be and still catch up: what a busy machine takes away for a moment. What is missed
/// beyond it, as while a server is away, is never made up for.
const LAG_MAX: Duration = Duration::from_millis(250);

/// Instants with exponential gaps, as independent people make them.
#[derive(Debug)]
pub(super) struct Pace {
    random: Rng,
    rate: f64,
    due: Instant,
}

impl Pace {
    pub(super) fn new(seed: u64, rate: f64) -> Self {
        // Apart from the story's own: how long something took must not change what happens.
        Self { random: Rng::with_seed(!seed), rate, due: Instant::now() }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Something happened at `now`; plans the next.
    pub(super) fn happened(&mut self, now: Instant) {
        let gap = -(1.0 - self.random.f64()).ln() / self.rate;
        let planned = self.due + Duration::from_secs_f64(gap);
        self.due = planned.max(now.checked_sub(LAG_MAX).unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the mean is the rate. Method: 20,000 gaps, each awaited to the instant.
    #[test]
    fn the_mean_is_the_rate() {
        let mut pace = Pace::new(1, 3.0);
        let begun = pace.due();
        for _ in 0..20_000 {
            pace.happened(pace.due());
        }
        let rate = 20_000.0 / pace.due().duration_since(begun).as_secs_f64();
        assert!((2.9..3.1).contains(&rate), "{rate}");
    }

    /// Goal: what was missed is not made up for. Method: an hour in which nothing happened.
    #[test]
    fn an_outage_leaves_no_backlog() {
        let mut pace = Pace::new(1, 100.0);
        let late = pace.due() + Duration::from_secs(3600);
        let at_once = (0..1000).take_while(|_| {
            pace.happened(late);
            pace.due() < late
        });
        let at_once = at_once.count();
        assert!((5..60).contains(&at_once), "some 25 of a quarter of a second, not 360,000: {at_once}");
    }
}
