//! What a watch has seen: the part of it that decides how the program ends.

use std::time::Duration;

use super::expect::Expectation;
use super::field::Shown;

/// Counts and expectations.
#[derive(Debug)]
pub(super) struct Progress {
    count: u64,
    count_max: Option<u64>,
    expected: Vec<Expectation>,
    expects: bool,
    latency: Latency,
}

/// Response times of events seen live.
#[derive(Debug, Default)]
pub(super) struct Latency {
    count: u32,
    sum: Duration,
    min: Duration,
    max: Duration,
}

impl Progress {
    pub(super) fn new(count_max: Option<u64>, expected: Vec<Expectation>) -> Self {
        let expects = !expected.is_empty();
        Self { count: 0, count_max, expected, expects, latency: Latency::default() }
    }

    /// Takes note of an event.
    pub(super) fn saw(&mut self, shown: &Shown<'_>, live: bool) {
        self.count += 1;
        self.expected.retain(|expectation| !expectation.is_met_by(shown));
        if live {
            self.latency.add(shown.latency);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Whether there is nothing more to wait for.
    pub(super) fn is_complete(&self) -> bool {
        self.count_max.is_some_and(|max| self.count >= max) || (self.expects && self.expected.is_empty())
    }

    /// Expectations that no event has met.
    pub(super) fn unmet(&self) -> &[Expectation] {
        &self.expected
    }
}

impl Latency {
    fn add(&mut self, latency: Duration) {
        self.min = if self.count == 0 { latency } else { self.min.min(latency) };
        self.max = self.max.max(latency);
        self.sum += latency;
        self.count += 1;
    }

    /// One line, once there was an event.
    pub(super) fn summary(&self) -> Option<String> {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let mean = self.sum.checked_div(self.count)?;
        Some(format!(
            "latency of {} live events: {:.1} ms min, {:.1} ms mean, {:.1} ms max",
            self.count,
            ms(self.min),
            ms(mean),
            ms(self.max)
        ))
    }
}
