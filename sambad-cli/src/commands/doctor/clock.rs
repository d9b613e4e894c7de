//! The server's clock against ours.

use std::time::Duration;

use super::finding::{Finding, span};
use super::greeting::Greeting;

/// What two clocks may differ before latencies computed from them mislead.
const DIFFERENCE_MAX: Duration = Duration::from_secs(1);
const ADVICE: &str = "\
synchronise both clocks with NTP: until then, `watch --latency` is wrong by that much (the order of events is right: it
follows seq)";

/// The best comparison so far.
#[derive(Debug, Default)]
pub(super) struct Clock {
    best: Option<Greeting>,
}

impl Clock {
    /// Takes note of a comparison; the one whose way was shortest is the most exact.
    pub(super) fn compare(&mut self, greeting: Greeting) {
        if self.best.is_none_or(|best| greeting.took < best.took) {
            self.best = Some(greeting);
        }
    }

    /// What came of it; `None` if the server never told its time.
    pub(super) fn finding(&self) -> Option<Finding> {
        let Greeting { took, ahead_us, .. } = self.best?;
        let (uncertainty, apart) = (took / 2, Duration::from_micros(ahead_us.unsigned_abs()));
        let detail = if apart <= uncertainty {
            format!("same as this machine's, ± {}", span(uncertainty))
        } else {
            let side = if ahead_us < 0 { "behind" } else { "ahead of" };
            format!("{} {side} this machine's, ± {}", span(apart), span(uncertainty))
        };
        let finding = if apart > uncertainty + DIFFERENCE_MAX {
            Finding::warning("clock", detail, ADVICE)
        } else {
            Finding::fine("clock", detail)
        };
        let signed_ms = (ahead_us as f64 / 10.0).round() / 100.0;
        Some(finding.fact("ahead_ms", signed_ms).time("uncertainty_ms", uncertainty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Severity;

    fn greeting(took_ms: u64, ahead_ms: i64) -> Greeting {
        Greeting { heartbeat: Duration::ZERO, took: Duration::from_millis(took_ms), ahead_us: ahead_ms * 1000 }
    }

    /// Goal: a difference counts only beyond what the way can explain. Method: a table around both bounds.
    #[test]
    fn a_long_way_excuses_a_difference() {
        for (took, ahead, severity, text) in [
            (2, 0, Severity::Fine, "same as this machine's, ± 1.0 ms"),
            (2, 500, Severity::Fine, "500.0 ms ahead of this machine's, ± 1.0 ms"),
            (2, -1001, Severity::Fine, "1.0 s behind this machine's, ± 1.0 ms"),
            (2, -1002, Severity::Warning, "1.0 s behind this machine's, ± 1.0 ms"),
            (2000, 1999, Severity::Fine, "2.0 s ahead of this machine's, ± 1.0 s"),
            (2000, 2100, Severity::Warning, "2.1 s ahead of this machine's, ± 1.0 s"),
        ] {
            let mut clock = Clock::default();
            clock.compare(greeting(took, ahead));
            let finding = clock.finding().unwrap();
            assert_eq!((finding.severity, &*finding.detail), (severity, text), "{took} {ahead}");
        }
        assert!(Clock::default().finding().is_none());
    }

    /// Goal: the most exact comparison counts. Method: a worse one before and after.
    #[test]
    fn the_shortest_way_counts() {
        let mut clock = Clock::default();
        for (took, ahead) in [(90, 9000), (4, 30), (80, 8000)] {
            clock.compare(greeting(took, ahead));
        }
        assert_eq!(clock.finding().unwrap().detail, "30.0 ms ahead of this machine's, ± 2.0 ms");
    }
}
