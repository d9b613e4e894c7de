//! Percentiles as HdrHistogram's plotter reads them.
//!
//! Source: HdrHistogram's `outputPercentileDistribution`; wrk2 prints the same, in milliseconds too.

use std::fmt::{self, Write};

use anyhow::Context;
use hdrhistogram::Histogram;

use super::latency_kind::LatencyKind;
use super::model::Report;
use super::words::headline;

/// Steps from one halving of the distance to 100 % to the next, as HdrHistogram's own tools take.
const STEPS_PER_HALVING: u32 = 5;
/// Microseconds in the unit of the values.
const UNIT: f64 = 1000.0;

/// Writes the latency that stands for the run: to the dashboards, else to the app sessions, else to the acknowledgement.
///
/// # Errors
/// The report has none of them, or its histogram is damaged.
pub(crate) fn render(report: &Report) -> anyhow::Result<String> {
    render_kind(report, headline(report).context("the report has no latencies")?.kind)
}

/// Writes one kind of latency.
///
/// # Errors
/// The report has no samples of that kind, or its histogram is damaged.
pub(crate) fn render_kind(report: &Report, kind: LatencyKind) -> anyhow::Result<String> {
    let latency = report.latency(kind).with_context(|| format!("the report has no latencies of kind {}", kind.name()))?;
    let mut text = String::new();
    percentiles(&mut text, &latency.histogram()?).expect("a String takes every write");
    Ok(text)
}

fn percentiles(out: &mut String, histogram: &Histogram<u64>) -> fmt::Result {
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS_PER_HALVING) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / UNIT, step.quantile_iterated_to());
        write!(out, "{value:12.3} {quantile:14.12} {total:10} ")?;
        if quantile < 1.0 { writeln!(out, "{:14.2}", 1.0 / (1.0 - quantile))? } else { writeln!(out, "{:>14}", "inf")? }
    }
    let (mean, deviation) = (histogram.mean() / UNIT, histogram.stdev() / UNIT);
    let max = if histogram.is_empty() { 0.0 } else { histogram.max() as f64 / UNIT };
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", histogram.len())?;
    writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", histogram.buckets(), sub_buckets(histogram))
}

/// Values that a bucket tells apart: the power of two above twice what the digits ask for.
fn sub_buckets(histogram: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(histogram.sigfig().into())).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// Goal: the plotter reads it. Method: four values, the whole text.
    #[test]
    fn a_small_distribution() {
        let mut report = sample::empty();
        report.latencies.push(sample::latency(LatencyKind::Delivery, [1000, 2000, 3000, 1_000_000]));
        let expected = "
       Value     Percentile TotalCount 1/(1-Percentile)

       1.000 0.000000000000          1           1.00
       1.000 0.100000000000          1           1.11
       1.000 0.200000000000          1           1.25
       2.000 0.300000000000          2           1.43
       2.000 0.400000000000          2           1.67
       2.000 0.500000000000          2           2.00
       3.001 0.550000000000          3           2.22
       3.001 0.600000000000          3           2.50
       3.001 0.650000000000          3           2.86
       3.001 0.700000000000          3           3.33
    1000.447 0.750000000000          4           4.00
    1000.447 1.000000000000          4            inf
#[Mean    =      251.548, StdDeviation   =      432.230]
#[Max     =     1000.447, Total count    =            4]
#[Buckets =           10, SubBuckets     =         2048]
";
        assert_eq!(format!("\n{}", render(&report).unwrap()), expected);
    }

    /// Goal: the file is of the latency that matters. Method: reports with ever fewer kinds, then none, then one asked for.
    #[test]
    fn the_headline_is_chosen() {
        let mut report = sample::empty();
        assert!(render(&report).unwrap_err().to_string().contains("no latencies"));
        report.latencies.push(sample::latency(LatencyKind::Response, [7000]));
        assert!(render(&report).unwrap().contains("\n       7.003 0.0"));
        report.latencies.push(sample::latency(LatencyKind::Delivery, []));
        assert!(
            render(&report)
                .unwrap()
                .ends_with("Total count    =            0]\n#[Buckets =            1, SubBuckets     =         2048]\n")
        );
        assert!(render_kind(&report, LatencyKind::Response).unwrap().contains("7.003"));
        assert!(render_kind(&report, LatencyKind::Connect).unwrap_err().to_string().contains("connect"));
    }
}
