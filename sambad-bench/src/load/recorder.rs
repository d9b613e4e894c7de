//! Latencies and counts: each thread records into its own, hands them over once a second, and one place adds them up.
//!
//! Source: latte `exec/mod.rs` (threads own their recorder and send samples, a collector merges).

use hdrhistogram::Histogram;

use crate::report::{Audit, LatencyKind};

/// Latencies from 1 µs to an hour; what is longer counts as an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
/// Faults that are told in words.
pub(crate) const FINDINGS_MAX: usize = 10;

/// A histogram for latencies in microseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS).expect("the bounds are constants that hold")
}

/// What one thread counted; plain sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Operations whose instant came, warm-up excluded; likewise the next five.
    pub(crate) planned: u64,
    pub(crate) acknowledged: u64,
    pub(crate) without_event: u64,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
    pub(crate) late: u64,
    /// Requests sent again, the warm-up's as well.
    pub(crate) retried: u64,
    pub(crate) first_refusal: Option<String>,
    /// All acknowledgements, the warm-up's as well; likewise the rest.
    pub(crate) acknowledged_all: u64,
    pub(crate) deliveries: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) opened: u64,
    pub(crate) reconnects: u64,
    pub(crate) untimed: u64,
    /// Sessions opened, less those lost.
    pub(crate) sessions_delta: i64,
    /// Events missing at some session, less those that came after all; `audit.lost` is what is missing in the end.
    pub(crate) missing_delta: i64,
    pub(crate) audit: Audit,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.planned += other.planned;
        self.acknowledged += other.acknowledged;
        self.without_event += other.without_event;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.late += other.late;
        self.retried += other.retried;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.acknowledged_all += other.acknowledged_all;
        self.deliveries += other.deliveries;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.opened += other.opened;
        self.reconnects += other.reconnects;
        self.untimed += other.untimed;
        self.sessions_delta += other.sessions_delta;
        self.missing_delta += other.missing_delta;
        let (audit, more) = (&mut self.audit, other.audit);
        audit.checked += more.checked;
        audit.lost += more.lost;
        audit.duplicate += more.duplicate;
        audit.reordered += more.reordered;
        audit.unexplained += more.unexplained;
        audit.foreign += more.foreign;
        audit.unanswered_arrived += more.unanswered_arrived;
        audit.findings.extend(more.findings);
        audit.findings.truncate(FINDINGS_MAX);
    }

    /// Puts a fault into words, if it is one of the first.
    pub(crate) fn finding(&mut self, text: impl FnOnce() -> String) {
        if self.audit.findings.len() < FINDINGS_MAX {
            self.audit.findings.push(text());
        }
    }
}

/// What one thread recorded since it last handed over.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// By the kind's place in [`LatencyKind::ALL`].
    latencies: [Option<Histogram<u64>>; LatencyKind::ALL.len()],
    pub(crate) tally: Tally,
}

impl Recorder {
    pub(crate) fn record_ns(&mut self, kind: LatencyKind, ns: u64) {
        self.record_us(kind, ns / 1000);
    }

    pub(crate) fn record_us(&mut self, kind: LatencyKind, us: u64) {
        self.latencies[kind as usize].get_or_insert_with(histogram).saturating_record(us);
    }

    /// Hands over everything recorded so far.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (sum, more) in self.latencies.iter_mut().zip(other.latencies) {
            match (sum, more) {
                (Some(sum), Some(more)) => sum.add(more).expect("all histograms have the same bounds"),
                (sum @ None, more) => *sum = more,
                (Some(_), None) => {}
            }
        }
        self.tally.add(other.tally);
    }

    pub(crate) fn latency(&self, kind: LatencyKind) -> Option<&Histogram<u64>> {
        self.latencies[kind as usize].as_ref()
    }

    pub(crate) fn latencies(&self) -> impl Iterator<Item = (LatencyKind, &Histogram<u64>)> {
        LatencyKind::ALL.into_iter().filter_map(|kind| Some((kind, self.latency(kind)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: merging loses nothing. Method: 10,000 values dealt out to three recorders against one that got all.
    #[test]
    fn merged_recorders_equal_one() {
        let mut one = Recorder::default();
        let mut many = [Recorder::default(), Recorder::default(), Recorder::default()];
        for i in 0..10_000_u64 {
            let us = i * i % 7_919 + 1;
            one.record_us(LatencyKind::Delivery, us);
            many[(i % 3) as usize].record_us(LatencyKind::Delivery, us);
            many[(i % 2) as usize].tally.deliveries += 1;
        }
        many[2].record_ns(LatencyKind::Connect, 5_000_999);
        let mut merged = Recorder::default();
        for recorder in &mut many {
            merged.add(recorder.take());
            assert!(recorder.latency(LatencyKind::Delivery).is_none(), "handed over");
        }
        assert_eq!(merged.latency(LatencyKind::Delivery), one.latency(LatencyKind::Delivery));
        assert_eq!(merged.tally.deliveries, 10_000);
        assert_eq!(merged.latency(LatencyKind::Connect).unwrap().max(), 5_003, "the bucket's upper end");
    }

    /// Goal: known values come out at known percentiles. Method: 1 to 1,000 ms, one each, and one beyond the bounds.
    #[test]
    fn percentiles_are_right() {
        let mut recorder = Recorder::default();
        for ms in 1..=1000 {
            recorder.record_us(LatencyKind::Response, ms * 1000);
        }
        let response = recorder.latency(LatencyKind::Response).unwrap();
        for (percentile, us) in [(50.0, 500_000), (99.0, 990_000), (99.9, 999_000), (100.0, 1_000_000)] {
            let measured = response.value_at_percentile(percentile);
            // Three digits, and one value more where the rank is not exact in binary.
            assert!(measured.abs_diff(us) * 1000 <= 2 * us, "p{percentile}: {measured} µs, not {us}");
        }
        recorder.record_us(LatencyKind::Response, u64::MAX);
        assert!(recorder.latency(LatencyKind::Response).unwrap().max() >= LATENCY_MAX_US);
    }

    /// Goal: memory stays bounded whatever is found. Method: more findings than are kept.
    #[test]
    fn findings_are_bounded() {
        let mut tally = Tally::default();
        for _ in 0..3 {
            let mut other = Tally::default();
            for i in 0..100 {
                other.audit.lost += 1;
                other.finding(|| format!("{i}"));
            }
            tally.add(other);
        }
        assert_eq!((tally.audit.lost, tally.audit.findings.len()), (300, FINDINGS_MAX));
    }
}
