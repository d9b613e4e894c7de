//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential delays with jitter and a cap.
///
/// Source: linkerd `exp-backoff`; "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    /// Delays handed out since the last success.
    failures: u32,
}

impl Backoff {
    /// A cap below `initial` counts as `initial`.
    #[must_use]
    pub fn new(initial: Duration, cap: Duration) -> Self {
        Self { initial, cap: cap.max(initial), failures: 0 }
    }

    /// The delay after one more failure; `random` from 0 to 1 places it between half and all of the step.
    ///
    /// Half is kept: a full-jitter delay can be next to nothing, and a reader that was just cut off gains little by it.
    #[must_use]
    pub fn next(&mut self, random: f64) -> Duration {
        let step = self.initial.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The longest delay.
    #[must_use]
    pub fn cap(&self) -> Duration {
        self.cap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: delays double up to the cap and start over. Method: without luck (random = 1), far beyond overflow.
    #[test]
    fn doubles_up_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<_> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        for _ in 0..100 {
            assert_eq!(backoff.next(1.0), Duration::from_secs(1));
        }
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::from_millis(100));
    }

    /// Goal: jitter keeps within half and all of a step. Method: both ends, and values outside.
    #[test]
    fn jitter_is_bounded() {
        for (random, millis) in [(0.0, 50), (0.5, 75), (1.0, 100), (-3.0, 50), (7.0, 100)] {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
            assert_eq!(backoff.next(random).as_millis(), millis, "{random}");
        }
    }
}
