//! What the core counts of its own work, for a host that reports on it: atomics that are added to, and nothing else.
//!
//! **Invariant:** nothing is decided by these figures. All orderings are relaxed: a reader may see one figure a moment before
//! another, which a report of every few seconds does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of durations, in microseconds: 50 µs to 10 s.
pub const DURATION_BOUNDS_US: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];
/// Upper bounds of the buckets of a batch's commands: up to the default bound of a batch, and beyond.
const BATCH_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// How values are distributed: counts by bucket, and their sum.
#[derive(Debug)]
pub struct Distribution {
    bounds: &'static [u64],
    /// One more than `bounds`: the last is for what exceeds them all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Distribution {
    /// An empty distribution with buckets up to and including each of `bounds`, which ascend.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// An empty distribution of durations, in microseconds.
    #[must_use]
    pub fn of_durations() -> Self {
        Self::new(DURATION_BOUNDS_US)
    }

    /// Adds `value`, `times` times.
    pub fn add(&self, value: u64, times: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(times, Ordering::Relaxed);
        self.sum.fetch_add(value.saturating_mul(times), Ordering::Relaxed);
    }

    /// Adds a duration in whole microseconds, `times` times.
    pub fn add_duration(&self, duration: Duration, times: u64) {
        self.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), times);
    }

    /// The count of each bucket with its upper bound, in ascending order; the last has none.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.buckets.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How much there is.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a core has done since it was opened; clones share the figures.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Time of a transaction that wrote, its fsync included, in microseconds.
    pub commit_us: Arc<Distribution>,
    /// Commands in a batch that was carried out.
    pub batch_commands: Arc<Distribution>,
    /// Batches of which none, or nobody knows whether any, was stored.
    pub commits_failed: Arc<Count>,
    /// Events announced to readers.
    pub events: Arc<Count>,
    /// Time of writing the WAL back, in microseconds; batches wait meanwhile.
    pub write_back_us: Arc<Distribution>,
    /// Events that were trimmed.
    pub trimmed: Arc<Count>,
    /// Phones that were counted as new to whoever asked for them.
    pub new_phones: Arc<Count>,
    /// What came and went between servers.
    pub broker: Arc<BrokerStats>,
}

/// What a server has told others and heard from them.
#[derive(Debug)]
pub struct BrokerStats {
    /// Messages sent, heartbeats included.
    pub sent: Arc<Count>,
    /// Messages of other servers; with PostgreSQL as the broker, its own as well.
    pub received: Arc<Count>,
    /// Messages that were rejected: no server of this log made them.
    pub foreign: Arc<Count>,
    /// Events that were not sent: the broker was away, or too slow.
    pub dropped: Arc<Count>,
    /// Events of other servers that were read from the log, since no message had brought them.
    pub filled: Arc<Count>,
    /// Time from sending to receiving a message with events, by the clocks of two servers, in microseconds.
    pub lag_us: Arc<Distribution>,
}

impl Default for BrokerStats {
    fn default() -> Self {
        Self {
            sent: Arc::default(),
            received: Arc::default(),
            foreign: Arc::default(),
            dropped: Arc::default(),
            filled: Arc::default(),
            lag_us: Arc::new(Distribution::of_durations()),
        }
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            commit_us: Arc::new(Distribution::of_durations()),
            batch_commands: Arc::new(Distribution::new(BATCH_BOUNDS)),
            commits_failed: Arc::default(),
            events: Arc::default(),
            write_back_us: Arc::new(Distribution::of_durations()),
            trimmed: Arc::default(),
            new_phones: Arc::default(),
            broker: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a value falls into the bucket whose bound it does not exceed. Method: values around bounds, and beyond the last.
    #[test]
    fn bounds_are_inclusive() {
        static BOUNDS: [u64; 2] = [10, 20];
        let distribution = Distribution::new(&BOUNDS);
        for (value, times) in [(0, 1), (10, 2), (11, 1), (20, 1), (21, 3), (1_000, 1)] {
            distribution.add(value, times);
        }
        assert_eq!(distribution.buckets().collect::<Vec<_>>(), [(Some(10), 3), (Some(20), 2), (None, 4)]);
        assert_eq!(distribution.sum(), 20 + 11 + 20 + 63 + 1_000);
        distribution.add_duration(Duration::from_micros(15), 1);
        assert_eq!(distribution.buckets().nth(1), Some((Some(20), 3)));
    }
}
