//! The core's figures as the exporter writes them.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use sambad_core::stats::{Count, Distribution};

const MICROS_A_SECOND: f64 = 1e6;

/// A distribution of durations in microseconds, shown in seconds.
#[derive(Debug, Clone)]
pub(super) struct Seconds(pub(super) Arc<Distribution>);

impl Seconds {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self(Arc::new(Distribution::of_durations()))
    }
}

/// A distribution of numbers.
#[derive(Debug, Clone)]
pub(super) struct Numbers(pub(super) Arc<Distribution>);

/// A number that grows.
#[derive(Debug, Clone)]
pub(super) struct Total(pub(super) Arc<Count>);

#[expect(clippy::cast_precision_loss, reason = "what is shown has fifteen digits")]
fn encode_histogram(mut encoder: MetricEncoder<'_>, of: &Distribution, unit: f64) -> fmt::Result {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / unit);
    let buckets: Vec<(f64, u64)> = of.buckets().map(|(upper, count)| (bound(upper), count)).collect();
    // From the buckets themselves: a count of its own could be ahead of them.
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(of.sum() as f64 / unit, count, &buckets, None)
}

impl EncodeMetric for Seconds {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        encode_histogram(encoder, &self.0, MICROS_A_SECOND)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl prometheus_client::metrics::TypedMetric for Seconds {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Numbers {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        encode_histogram(encoder, &self.0, 1.0)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl EncodeMetric for Total {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter::<NoLabelSet, _, f64>(&self.0.get(), None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
