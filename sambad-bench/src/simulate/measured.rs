//! Figures that were measured on one machine, and what the simulation makes of the same load.

use serde::Serialize;

use super::cluster::play;
use super::costs::Costs;
use super::{Scene, us};

/// How far the simulation may be from a measured CPU time: single runs differ by as much (docs/explanation/performance.md, "How").
pub(crate) const CPU_TOLERANCE: f64 = 0.15;
/// ... from a measured median of a latency, which hangs on the disk and on how threads are woken, too.
pub(crate) const MEDIAN_TOLERANCE: f64 = 0.30;
/// Figures of the tail are shown and not judged: what makes them, stalls of a disk and of a shared machine, is not simulated.
const TAIL_TOLERANCE: f64 = f64::INFINITY;

/// A figure that was measured.
#[derive(Debug, Clone, Copy)]
struct Figure {
    what: What,
    value: f64,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    CpuADelivery,
    CpuAWrite,
    DeliveryMedian,
    DeliveryTail,
    ResponseMedian,
}

/// A load that was measured, and where its figures stand.
#[derive(Debug)]
struct Measured {
    load: &'static str,
    dashboards: u32,
    rate: f64,
    source: &'static str,
    figures: &'static [Figure],
}

const fn cpu_a_delivery(value: f64) -> Figure {
    Figure { what: What::CpuADelivery, value }
}

const fn cpu_a_write(value: f64) -> Figure {
    Figure { what: What::CpuAWrite, value }
}

const fn figure(what: What, value: f64) -> Figure {
    Figure { what, value }
}

/// All on one core with SQLite. Of the runs that are kept, the median of five.
const MEASURED: [Measured; 9] = [
    Measured {
        load: "1,000 dashboards × 20/s",
        dashboards: 1000,
        rate: 20.0,
        source: "docs/explanation/performance.md, Delivery",
        figures: &[cpu_a_delivery(7.57)],
    },
    Measured {
        load: "1,000 dashboards × 150/s",
        dashboards: 1000,
        rate: 150.0,
        source: "docs/explanation/performance.md, Delivery",
        figures: &[cpu_a_delivery(5.74)],
    },
    Measured {
        load: "8,000 dashboards × 5/s",
        dashboards: 8000,
        rate: 5.0,
        source: "docs/explanation/performance.md, Delivery",
        figures: &[cpu_a_delivery(8.11)],
    },
    Measured {
        load: "1,000 dashboards × 1,000/s",
        dashboards: 1000,
        rate: 1000.0,
        source: "docs/explanation/performance.md, Delivery",
        figures: &[cpu_a_delivery(0.98), figure(What::DeliveryMedian, 10_600.0), figure(What::DeliveryTail, 22_600.0)],
    },
    Measured {
        load: "no dashboards, 1,000/s",
        dashboards: 0,
        rate: 1000.0,
        source: "docs/explanation/performance.md, Sessions that should cost nothing",
        figures: &[cpu_a_write(370.0)],
    },
    Measured {
        load: "no dashboards, 20,000/s",
        dashboards: 0,
        rate: 20_000.0,
        source: "docs/explanation/performance.md, Writes",
        figures: &[cpu_a_write(44.0), figure(What::ResponseMedian, 1500.0)],
    },
    Measured {
        load: "100 dashboards × 500/s",
        dashboards: 100,
        rate: 500.0,
        source: "sambad-bench/runs/2026-11-23/default-sambad-*.json",
        figures: &[
            cpu_a_write(943.0),
            figure(What::ResponseMedian, 606.0),
            figure(What::DeliveryMedian, 905.0),
            figure(What::DeliveryTail, 2369.0),
        ],
    },
    Measured {
        load: "1,000 dashboards × 20/s",
        dashboards: 1000,
        rate: 20.0,
        source: "sambad-bench/runs/2026-11-23/fan-out-sambad-*.json",
        figures: &[
            cpu_a_write(6333.0),
            figure(What::ResponseMedian, 1336.0),
            figure(What::DeliveryMedian, 4615.0),
            figure(What::DeliveryTail, 9207.0),
        ],
    },
    Measured {
        load: "10 dashboards × 1,000/s",
        dashboards: 10,
        rate: 1000.0,
        source: "sambad-bench/runs/2026-11-23/writes-sambad-*.json",
        figures: &[
            cpu_a_write(443.0),
            figure(What::ResponseMedian, 621.0),
            figure(What::DeliveryMedian, 656.0),
            figure(What::DeliveryTail, 2763.0),
        ],
    },
];

/// A measured figure beside the simulated one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) load: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) source: &'static str,
    pub(crate) measured_us: f64,
    pub(crate) simulated_us: f64,
    /// (simulated - measured) / measured.
    pub(crate) deviation: f64,
    /// What the deviation may be, either way; `None` for a figure that is not judged.
    pub(crate) tolerance: Option<f64>,
}

impl Row {
    pub(crate) fn holds(&self) -> bool {
        self.tolerance.is_none_or(|tolerance| self.deviation.abs() <= tolerance)
    }
}

/// Plays everything that was measured.
pub(crate) fn reproduce(costs: &Costs, seed: u64) -> Vec<Row> {
    MEASURED.iter().flat_map(|measured| rows(measured, costs, seed)).collect()
}

fn rows(measured: &'static Measured, costs: &Costs, seed: u64) -> Vec<Row> {
    let scene = Scene { dashboards: measured.dashboards, rate: measured.rate, seed, ..Scene::default() };
    let played = play(&scene, costs);
    let row = |figure: &Figure| {
        let micros = |histogram: &hdrhistogram::Histogram<u64>, quantile| us(histogram.value_at_quantile(quantile) * 1000);
        let cpu_us = played.server_cores * 1e6;
        let (name, tolerance, simulated_us) = match figure.what {
            What::CpuADelivery => ("CPU a delivery", CPU_TOLERANCE, cpu_us / played.deliveries_per_s),
            What::CpuAWrite => ("CPU a write", CPU_TOLERANCE, cpu_us / played.writes_per_s),
            What::DeliveryMedian => ("write → dashboard p50", MEDIAN_TOLERANCE, micros(&played.delivery, 0.5)),
            What::DeliveryTail => ("write → dashboard p99", TAIL_TOLERANCE, micros(&played.delivery, 0.99)),
            What::ResponseMedian => ("write → answer p50", MEDIAN_TOLERANCE, micros(&played.response, 0.5)),
        };
        Row {
            load: measured.load,
            figure: name,
            source: measured.source,
            measured_us: figure.value,
            simulated_us,
            deviation: simulated_us / figure.value - 1.0,
            tolerance: Some(tolerance).filter(|tolerance| tolerance.is_finite()),
        }
    };
    measured.figures.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nothing follows from a simulation that does not come to what was measured. Method: each figure within its
    /// tolerance, whatever the seed; and that they are not with costs that are half as high again.
    #[test]
    fn comes_to_what_was_measured() {
        let costs = Costs::as_given();
        for seed in [1, 2] {
            for row in reproduce(&costs, seed) {
                assert!(row.holds(), "{row:?}");
            }
        }
        let dear = [
            Costs { flush_us: costs.flush_us * 1.5, ..costs },
            Costs { batch_us: costs.batch_us * 1.5, ..costs },
            Costs { write_us: costs.write_us * 1.5, http_us: costs.http_us * 1.5, ..costs },
            Costs { event_us: costs.event_us + 0.5, ..costs },
        ];
        for costs in dear {
            assert!(!reproduce(&costs, 1).iter().all(Row::holds), "{costs:?}");
        }
    }
}
