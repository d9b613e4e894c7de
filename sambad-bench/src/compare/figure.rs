//! What is compared: figures of one run, and which way is better.

use super::Verdict;
use super::bootstrap::Estimate;
use crate::report::{Latency, LatencyKind, Report};

/// Steps between neighbouring values of a histogram of 3 significant digits, relative to the value: the ratio of two such
/// values is no closer.
const STEP: f64 = 1e-3;

/// Rates of two servers that both keep up with one plan differ by where the ends of the window fall, and by no more
/// than a hundredth.
const RATE_STEP: f64 = 1e-2;

/// Something that is measured in each run.
#[derive(Debug)]
pub(super) struct Figure {
    /// What it belongs to, and which part of that it is.
    pub(super) name: (&'static str, &'static str),
    /// How it is shown, and whether more of it is better.
    pub(super) unit: Unit,
    /// The kind of latency whose headline it is part of.
    pub(super) headline: Option<LatencyKind>,
    /// Its value in one run.
    pub(super) of: fn(&Report) -> Option<f64>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Whole microseconds out of a histogram: less is better.
    Latency,
    /// Microseconds of CPU: less is better.
    Cpu,
    /// So many a second: more is better.
    Rate,
}

impl Figure {
    /// What the interval allows to say; `smallest` is the smallest of all runs' figures.
    pub(super) fn verdict(&self, estimate: Estimate, smallest: f64) -> Verdict {
        // Latencies are whole microseconds; the other figures are counted finer.
        let step = match self.unit {
            Unit::Latency => STEP.max(1.0 / smallest),
            Unit::Cpu => STEP,
            Unit::Rate => RATE_STEP,
        };
        let (more, less) = match self.unit {
            Unit::Rate => (Verdict::Faster, Verdict::Slower),
            Unit::Latency | Unit::Cpu => (Verdict::Slower, Verdict::Faster),
        };
        if estimate.low > 1.0 + step {
            more
        } else if estimate.high < 1.0 - step {
            less
        } else {
            Verdict::NotShown
        }
    }
}

/// What is compared, in the order in which it is shown.
pub(super) static FIGURES: [Figure; 9] = {
    use LatencyKind::{Delivery, Response};
    let delivery = Delivery.label();
    let response = Response.label();
    [
        latency((delivery, "p50"), Some(Delivery), |report| at(report, Delivery, |latency| latency.summary.p50_us)),
        latency((delivery, "p90"), None, |report| at(report, Delivery, |latency| latency.summary.p90_us)),
        latency((delivery, "p99"), Some(Delivery), |report| at(report, Delivery, |latency| latency.summary.p99_us)),
        latency((delivery, "p99.9"), None, |report| at(report, Delivery, |latency| latency.summary.p999_us)),
        latency((response, "p50"), Some(Response), |report| at(report, Response, |latency| latency.summary.p50_us)),
        latency((response, "p99"), Some(Response), |report| at(report, Response, |latency| latency.summary.p99_us)),
        Figure {
            name: ("server CPU per delivery", ""),
            unit: Unit::Cpu,
            headline: None,
            of: |report| report.server.as_ref().and_then(|usage| usage.cpu_us_per_delivery),
        },
        Figure {
            name: ("server CPU per write", ""),
            unit: Unit::Cpu,
            headline: None,
            of: |report| report.server.as_ref().and_then(|usage| usage.cpu_us_per_write),
        },
        Figure {
            name: ("deliveries/s", ""),
            unit: Unit::Rate,
            headline: None,
            of: |report| (report.counts.window_deliveries > 0).then(|| report.counts.deliveries_per_s()),
        },
    ]
};

const fn latency(name: (&'static str, &'static str), headline: Option<LatencyKind>, of: fn(&Report) -> Option<f64>) -> Figure {
    Figure { name, unit: Unit::Latency, headline, of }
}

fn at(report: &Report, kind: LatencyKind, of: fn(&Latency) -> u64) -> Option<f64> {
    report.latency(kind).filter(|latency| latency.summary.count > 0).map(|latency| of(latency) as f64)
}
