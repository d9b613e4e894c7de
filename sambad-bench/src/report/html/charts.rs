//! The page's charts: which figures of a report become which lines.

use hdrhistogram::Histogram;

use super::super::fmt::{count, duration, exact, rate, whole};
use super::super::latency_kind::LatencyKind;
use super::super::model::{Interval, Report};
use super::super::svg::{Axis, Chart, Series};
use super::super::words::alone;

/// Points of a line over time, at most; a longer run has several seconds in each.
const POINTS_MAX: usize = 600;
/// The last percentile of the axis as 1 / (1 - p): 99.999 %.
const PERCENTILE_END: f64 = 1e5;
/// Points of a percentile line from one power of ten to the next.
const POINTS_PER_DECADE: u32 = 40;

/// The lines of the percentiles: kind, class, words at the line's end.
pub(super) const KINDS: [(LatencyKind, char, &str); 5] = [
    (LatencyKind::Delivery, 'a', "to dashboard"),
    (LatencyKind::DeliveryService, 'b', "to dashboard, service"),
    (LatencyKind::Response, 'c', "acknowledged"),
    (LatencyKind::Service, 'd', "acknowledged, service"),
    (LatencyKind::AppDelivery, 'a', "to app session"),
];

/// A chart and what its lines are called.
pub(super) struct Drawn {
    pub(super) chart: Chart,
    pub(super) legend: Vec<(char, String)>,
    /// Seconds that a point stands for.
    pub(super) seconds: usize,
}

/// How each latency is distributed; `None` without samples.
pub(super) fn percentiles(report: &Report) -> Option<Drawn> {
    let mut series: Vec<Series> = Vec::new();
    let (mut legend, mut told) = (Vec::new(), Vec::new());
    for (kind, class, label) in KINDS {
        let Some(latency) = report.latency(kind).filter(|latency| latency.summary.count > 0) else { continue };
        // App sessions stand in for dashboards, whose line they take, when there are none.
        let Some(histogram) = latency.histogram().ok().filter(|_| series.iter().all(|other| other.class != class)) else {
            continue;
        };
        let summary = &latency.summary;
        let [p50, p99, p999] = [summary.p50_us, summary.p99_us, summary.p999_us].map(duration);
        told.push(format!("{}: {p50} at 50 %, {p99} at 99 %, {p999} at 99.9 %", alone(kind)));
        legend.push((class, alone(kind).to_owned()));
        series.push(Series { class, label: label.into(), runs: vec![quantiles(&histogram)], filled: false });
    }
    let values = || series.iter().flat_map(|series| series.runs.iter().flatten()).map(|(_, us)| *us);
    let y = latency_axis(values())?;
    let ticks = [(2.0, "50 %"), (1e1, "90 %"), (1e2, "99 %"), (1e3, "99.9 %"), (1e4, "99.99 %"), (1e5, "99.999 %")];
    let ticks = ticks.map(|(at, label)| (at, label.to_owned())).into();
    let chart = Chart {
        id: "percentiles",
        title: "Latency by percentile".into(),
        description: told.join("; "),
        x: Axis { logarithmic: true, low: 2.0, high: PERCENTILE_END, ticks },
        y,
        series,
        band: None,
        note: None,
        hints: Vec::new(),
    };
    Some(Drawn { chart, legend, seconds: 1 })
}

/// The distribution from its median to where its samples end.
fn quantiles(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    // One sample in n is beyond 1 - 1/n: there the line ends, with the largest.
    let samples = histogram.len() as f64;
    let steps = (0..).map(|step| 2.0 * 10_f64.powf(f64::from(step) / f64::from(POINTS_PER_DECADE)));
    let at = |reach: f64| {
        let us = if reach >= samples { histogram.max() } else { histogram.value_at_quantile(1.0 - 1.0 / reach) };
        (reach, us as f64)
    };
    let end = PERCENTILE_END.min(samples).max(2.0);
    steps.take_while(|reach| *reach < end).chain([end]).map(at).collect()
}

/// Latency second by second; `None` when no second has any.
pub(super) fn latency_over_time(report: &Report) -> Option<Drawn> {
    let delivered = report.intervals.iter().any(|interval| interval.delivery_max_us > 0);
    type Figure = fn(&Interval) -> u64;
    let lines: Vec<(char, &str, Figure)> = if delivered {
        vec![('a', "p50", |i| i.delivery_p50_us), ('c', "p99", |i| i.delivery_p99_us), ('d', "max", |i| i.delivery_max_us)]
    } else {
        vec![('a', "p50", |i| i.response_p50_us), ('c', "p99", |i| i.response_p99_us)]
    };
    let what = if delivered { "write → dashboard" } else { "write → acknowledgement" };
    let chunk = chunk(report);
    let worst = |figure: Figure| over_time(report, chunk, |group| group.iter().map(figure).max().filter(|us| *us > 0));
    let series = |(class, label, figure): &(char, &str, Figure)| Series {
        class: *class,
        label: (*label).to_owned(),
        runs: worst(*figure),
        filled: false,
    };
    let series: Vec<_> = lines.iter().map(series).collect();
    let y = latency_axis(series.iter().flat_map(|series| series.runs.iter().flatten()).map(|(_, us)| *us))?;
    let peak = series.last()?.runs.iter().flatten().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let words = format!("{} at {} s", duration(whole(peak.1)), whole(peak.0.floor()));
    let chart = Chart {
        id: "latency",
        title: format!("Latency over time, {what}"),
        description: format!("Worst second: {words}"),
        x: time_axis(report),
        y,
        series,
        band: warm_up(report),
        note: Some((peak.0, peak.1, words)),
        hints: hints(report, chunk, |group| {
            let figures = lines.iter().map(|(_, label, figure)| {
                let us = group.iter().map(figure).max().unwrap_or(0);
                format!("{label} {}", duration(us))
            });
            figures.collect::<Vec<_>>().join(", ")
        }),
    };
    let legend = lines.iter().map(|(class, label, _)| (*class, format!("{what}, {label}"))).collect();
    Some(Drawn { chart, legend, seconds: chunk })
}

/// Deliveries and acknowledged writes second by second, each a chart; none of what never happened.
pub(super) fn rates(report: &Report) -> Vec<Drawn> {
    type Figure = fn(&Interval) -> u64;
    let lines: [(&str, &str, Figure); 2] =
        [("deliveries", "deliveries/s", |i| i.deliveries), ("writes", "writes/s", |i| i.acknowledged)];
    let chunk = chunk(report);
    let drawn = lines.into_iter().filter_map(|(id, label, figure)| {
        let mean = |group: &[Interval]| group.iter().map(figure).sum::<u64>() as f64 / group.len() as f64;
        let runs = over_time(report, chunk, |group| Some(whole(mean(group))));
        let rates = || runs.iter().flatten().map(|(_, rate)| *rate);
        let (least, most) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
        (most > 0.0).then(|| Drawn {
            chart: Chart {
                id,
                title: label.into(),
                description: format!("Between {} and {} per second", rate(least), rate(most)),
                x: time_axis(report),
                y: count_axis(most),
                series: vec![Series { class: 'a', label: label.into(), runs, filled: true }],
                band: warm_up(report),
                note: None,
                hints: hints(report, chunk, |group| format!("{} {label}", count(whole(mean(group))))),
            },
            legend: Vec::new(),
            seconds: chunk,
        })
    });
    drawn.collect()
}

fn chunk(report: &Report) -> usize {
    report.intervals.len().div_ceil(POINTS_MAX).max(1)
}

/// A point in the middle of each group of seconds; a group without figure ends a run.
fn over_time(report: &Report, chunk: usize, figure: impl Fn(&[Interval]) -> Option<u64>) -> Vec<Vec<(f64, f64)>> {
    let mut runs = vec![Vec::new()];
    for group in report.intervals.chunks(chunk) {
        let middle = f64::from(group[0].at_s) + group.len() as f64 / 2.0;
        match (figure(group), runs.last_mut()) {
            (Some(value), Some(run)) => run.push((middle, value as f64)),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            (None, _) | (_, None) => {}
        }
    }
    runs
}

/// What each point says in words.
fn hints(report: &Report, chunk: usize, words: impl Fn(&[Interval]) -> String) -> Vec<(f64, f64, String)> {
    let hint = |group: &[Interval]| {
        let from = f64::from(group[0].at_s);
        (from, from + group.len() as f64, format!("{} s: {}", group[0].at_s, words(group)))
    };
    report.intervals.chunks(chunk).map(hint).collect()
}

fn warm_up(report: &Report) -> Option<(f64, f64, &'static str)> {
    (report.scenario.warmup_s > 0.0).then_some((0.0, report.scenario.warmup_s, "warm-up"))
}

/// Microseconds, from the step of 1, 2 or 5 below the least to the one above the most.
fn latency_axis(values: impl Iterator<Item = f64> + Clone) -> Option<Axis> {
    let least = values.clone().fold(f64::INFINITY, f64::min).max(1.0);
    let most = values.fold(f64::NEG_INFINITY, f64::max).max(least);
    if !least.is_finite() || !most.is_finite() {
        return None;
    }
    let steps: Vec<f64> = (0..20).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power))).collect();
    let first = steps.iter().rposition(|step| *step <= least).unwrap_or(0);
    let last = steps.iter().position(|step| *step >= most).unwrap_or(steps.len() - 1).max(first + 2).min(steps.len() - 1);
    let within = &steps[first..=last];
    let decades_only = within.len() > 8;
    let is_decade = |step: f64| step.log10().fract().abs() < 1e-9;
    let ticks = within.iter().filter(|step| !decades_only || is_decade(**step)).map(|step| (*step, exact(whole(*step))));
    Some(Axis { logarithmic: true, low: steps[first], high: steps[last], ticks: ticks.collect() })
}

fn time_axis(report: &Report) -> Axis {
    const STEPS: [u32; 15] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600];
    let end = report.intervals.last().map_or(1, |interval| interval.at_s.saturating_add(1));
    let step = STEPS.into_iter().find(|step| end / step <= 7).unwrap_or(end / 7);
    let label = |at: u32| if step % 60 == 0 { format!("{} min", count((at / 60).into())) } else { format!("{at} s") };
    let ticks = (0..=end / step).map(|i| (f64::from(i * step), label(i * step))).collect();
    Axis { logarithmic: false, low: 0.0, high: f64::from(end), ticks }
}

/// From 0 to the step of 1, 2 or 5 above the most.
fn count_axis(most: f64) -> Axis {
    let magnitude = 10_f64.powf((most / 4.0).max(1.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * magnitude).into_iter().find(|step| most / step <= 4.0);
    let step = step.unwrap_or(magnitude * 10.0);
    let high = (most / step).ceil().max(1.0) * step;
    let ticks = (0..=5).map(|i| f64::from(i) * step).filter(|tick| *tick <= high);
    Axis { logarithmic: false, low: 0.0, high, ticks: ticks.map(|tick| (tick, short(tick))).collect() }
}

fn short(number: f64) -> String {
    if number >= 1e6 {
        format!("{} M", number / 1e6)
    } else if number >= 1e4 {
        format!("{} k", number / 1e3)
    } else {
        count(whole(number))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    /// Goal: axes have round ends and a few ticks at any size. Method: values from 0 to 1,000 s, equal ones, none.
    #[test]
    fn latency_axes() {
        let check = |values: &[f64], ends: (f64, f64), ticks: &[&str]| {
            let axis = latency_axis(values.iter().copied()).unwrap();
            assert_eq!((axis.low, axis.high), ends);
            assert_eq!(labels(&axis), ticks);
        };
        check(&[0.0], (1.0, 5.0), &["1 µs", "2 µs", "5 µs"]);
        check(&[1000.0, 1000.0], (1000.0, 5000.0), &["1 ms", "2 ms", "5 ms"]);
        check(&[2100.0, 19_000.0], (2000.0, 20_000.0), &["2 ms", "5 ms", "10 ms", "20 ms"]);
        check(
            &[0.0, 1e9],
            (1.0, 1e9),
            &["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s", "1,000 s"],
        );
        assert!(latency_axis([].into_iter()).is_none());
    }

    /// Goal: rates and times have round ticks. Method: known answers for small and large runs.
    #[test]
    fn other_axes() {
        assert_eq!(labels(&count_axis(163_000.0)), ["0", "50 k", "100 k", "150 k", "200 k"]);
        assert_eq!(labels(&count_axis(1.0)), ["0", "1"]);
        assert_eq!(labels(&count_axis(3.2e6)), ["0", "1 M", "2 M", "3 M", "4 M"]);
        let mut report = sample::report();
        assert_eq!(labels(&time_axis(&report)), ["0 s", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s", "35 s"]);
        report.intervals.last_mut().unwrap().at_s = 3599;
        assert_eq!(labels(&time_axis(&report)), ["0 min", "10 min", "20 min", "30 min", "40 min", "50 min", "60 min"]);
        report.intervals.last_mut().unwrap().at_s = u32::MAX;
        assert!(time_axis(&report).ticks.len() < 10);
    }

    /// Goal: lines end where samples end, and warm-up leaves a gap. Method: ten samples; the sample run's seconds.
    #[test]
    fn lines_claim_nothing() {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=10).for_each(|value| histogram.record(value).unwrap());
        let line = quantiles(&histogram);
        assert_eq!((line[0], line[line.len() - 1]), ((2.0, 5.0), (10.0, 10.0)));
        let drawn = latency_over_time(&sample::report()).unwrap();
        assert_eq!(drawn.chart.series[0].runs.len(), 1);
        assert_eq!(drawn.chart.series[0].runs[0][0].0, 5.5);
        assert!(drawn.chart.note.unwrap().2.ends_with(" at 21 s"));
        assert!(latency_over_time(&sample::empty()).is_none() && percentiles(&sample::empty()).is_none());
        assert!(rates(&sample::empty()).is_empty());
    }

    /// Goal: a day fits a page, its worst second included. Method: 86,400 intervals, one of them slow.
    #[test]
    fn long_runs_are_condensed() {
        let mut report = sample::report();
        let second = |at_s| Interval { at_s, deliveries: 1, delivery_max_us: 1000, ..Interval::default() };
        report.intervals = (0..86_400).map(second).collect();
        report.intervals[50_000].delivery_max_us = 9000;
        let drawn = latency_over_time(&report).unwrap();
        assert_eq!(drawn.seconds, 144);
        assert!(drawn.chart.series[2].runs[0].len() <= POINTS_MAX);
        assert!(drawn.chart.note.unwrap().2.starts_with("9.00 ms"));
    }
}
