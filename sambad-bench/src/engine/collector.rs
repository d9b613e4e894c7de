//! Adds up what the threads hand over, second by second.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::recorder::Recorder;
use crate::report::{Interval, LatencyKind};

/// What the live line shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Since the load began.
    pub(crate) elapsed: Duration,
    pub(crate) latest: Interval,
    /// Deliveries missing at this moment.
    pub(crate) missing: i64,
    pub(crate) faults: u64,
    pub(crate) sessions: i64,
}

/// Everything recorded so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) total: Recorder,
    pub(super) intervals: Vec<Interval>,
    /// Seconds for which not all threads have reported.
    open: BTreeMap<u32, Recorder>,
    sessions: i64,
    missing: i64,
}

impl Collector {
    /// Adds what one thread recorded in `second`.
    pub(super) fn add(&mut self, second: u32, recorder: Recorder) {
        // A thread is at most a second behind another, or it is overloaded and its samples count for a later second.
        const BEHIND_MAX: u32 = 1;
        let earliest = self.intervals.last().map_or(0, |interval| interval.at_s + 1);
        self.open.entry(second.max(earliest)).or_default().add(recorder);
        while let Some(entry) = self.open.first_entry() {
            if *entry.key() + BEHIND_MAX >= second {
                break;
            }
            let (at_s, recorder) = entry.remove_entry();
            self.close(at_s, recorder);
        }
    }

    /// Closes all seconds.
    pub(super) fn finish(&mut self) {
        for (at_s, recorder) in std::mem::take(&mut self.open) {
            self.close(at_s, recorder);
        }
    }

    pub(super) fn snapshot(&self, elapsed: Duration) -> Snapshot {
        let audit = &self.total.tally.audit;
        Snapshot {
            elapsed,
            latest: self.intervals.last().cloned().unwrap_or_default(),
            missing: self.missing,
            faults: audit.duplicate + audit.reordered + audit.unexplained + audit.lost,
            sessions: self.sessions,
        }
    }

    fn close(&mut self, at_s: u32, recorder: Recorder) {
        let tally = &recorder.tally;
        self.sessions += tally.sessions_delta;
        self.missing += tally.missing_delta;
        let at = |kind: LatencyKind, quantile: f64| recorder.latency(kind).map_or(0, |h| h.value_at_quantile(quantile));
        self.intervals.push(Interval {
            at_s,
            acknowledged: tally.acknowledged_all,
            deliveries: tally.deliveries,
            sessions: self.sessions.try_into().unwrap_or(0),
            response_p50_us: at(LatencyKind::Response, 0.5),
            response_p99_us: at(LatencyKind::Response, 0.99),
            delivery_p50_us: at(LatencyKind::Delivery, 0.5),
            delivery_p99_us: at(LatencyKind::Delivery, 0.99),
            delivery_max_us: recorder.latency(LatencyKind::Delivery).map_or(0, Histogram::max),
        });
        self.total.add(recorder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(deliveries: u64, us: u64) -> Recorder {
        let mut recorder = Recorder::default();
        recorder.tally.deliveries = deliveries;
        recorder.record_us(LatencyKind::Delivery, us);
        recorder
    }

    /// Goal: seconds add up over threads, and nothing is counted twice or dropped. Method: two threads, one of them late.
    #[test]
    fn seconds_add_up() {
        let mut collector = Collector::default();
        for (second, deliveries) in [(0, 1), (0, 2), (1, 4), (2, 8), (1, 16), (3, 32), (0, 64), (2, 128)] {
            collector.add(second, sample(deliveries, 1000));
        }
        collector.add(3, sample(256, 1000));
        collector.finish();
        let counted: u64 = collector.intervals.iter().map(|interval| interval.deliveries).sum();
        assert_eq!(counted, 511);
        assert_eq!(collector.total.tally.deliveries, 511);
        assert_eq!(collector.total.latency(LatencyKind::Delivery).unwrap().len(), 9);
        let seconds: Vec<u32> = collector.intervals.iter().map(|interval| interval.at_s).collect();
        assert_eq!(seconds, [0, 1, 2, 3]);
        assert_eq!(collector.intervals[0].deliveries, 3);
    }
}
