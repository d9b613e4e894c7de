//! Whether two sides differ, each known by the reports of its runs: figures, their ratios and what the noise allows to say.

mod bootstrap;
mod differences;
mod figure;
mod table;

use bootstrap::{Estimate, estimate, median};
use figure::{FIGURES, Figure};
pub(crate) use table::{LABEL_CHARS_MAX, render};

use crate::exit::Exit;
use crate::report::{LatencyKind, Report};

/// One run and what to call it.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The name of its file.
    pub(crate) name: String,
    /// What it found out.
    pub(crate) report: Report,
}

/// The runs of one build, server or setting.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// The name of its column.
    pub(crate) label: String,
    /// At least one.
    pub(crate) runs: Vec<Run>,
}

impl Side {
    /// The figure of each run that has it.
    fn figures(&self, figure: &Figure) -> Vec<f64> {
        let figures = self.runs.iter().filter_map(|run| (figure.of)(&run.report));
        // Of 0 there is no ratio.
        figures.filter(|figure| figure.is_finite() && *figure > 0.0).collect()
    }
}

/// What can be said of the new side's figure against the base's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Better: less time, or a higher rate.
    Faster,
    /// Worse.
    Slower,
    /// The noise between the runs is as large as the difference, or is not known.
    NotShown,
}

/// Two sides, figure by figure.
#[derive(Debug)]
pub(crate) struct Comparison {
    base: Side,
    new: Side,
    rows: Vec<Row>,
    warnings: Vec<String>,
}

/// One figure of both sides.
#[derive(Debug)]
struct Row {
    figure: &'static Figure,
    /// Figures of the base's runs that have it.
    base: Vec<f64>,
    /// Figures of the new side's runs that have it.
    new: Vec<f64>,
    /// `None` when a side has it in fewer than 3 runs.
    estimate: Option<Estimate>,
    verdict: Verdict,
}

/// Compares the runs of `new` with those of `base`.
///
/// A difference is shown when the 95 % confidence interval of the ratio of the medians excludes 1 by more than a figure can
/// be read to; with fewer than 3 runs of a side there is none. Each figure is judged by itself.
#[must_use]
pub(crate) fn compare(base: Side, new: Side) -> Comparison {
    let rows: Vec<Row> = FIGURES.iter().filter_map(|figure| Row::new(figure, &base, &new)).collect();
    let mut warnings = differences::warnings(&base, &new);
    for row in &rows {
        for (side, figures) in [(&base, &row.base), (&new, &row.new)] {
            let (have, all, name) = (figures.len(), side.runs.len(), row.figure.name.0);
            let warning = format!("{have} of {all} runs of {} have figures for {name}", side.label);
            // Once for all percentiles of a latency.
            if have < all && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    Comparison { base, new, rows, warnings }
}

impl Comparison {
    /// The verdicts on the headline: p50 and p99 of write → dashboard; of the response, when a side has no deliveries.
    ///
    /// `None` when there is no verdict: neither kind on both sides, or in fewer than 3 runs of one.
    pub(crate) fn headline(&self) -> Option<Vec<Verdict>> {
        [LatencyKind::Delivery, LatencyKind::Response].into_iter().find_map(|kind| {
            let rows = self.rows.iter().filter(|row| row.figure.headline == Some(kind));
            let rows: Vec<&Row> = rows.filter(|row| !row.base.is_empty() && !row.new.is_empty()).collect();
            (!rows.is_empty()).then(|| rows.into_iter().map(|row| row.estimate.and(Some(row.verdict))).collect())
        })?
    }

    /// What the runs themselves ended with, as far as it forbids to rely on the verdicts: an audit of the new side that
    /// failed, since what was lost was not late; or a run of either side whose figures mean nothing.
    pub(crate) fn spoiled(&self) -> Option<Exit> {
        let exit = |run: &Run| Exit::from_code(run.report.judgement.exit_code);
        let failed = |run: &Run| exit(run) == Exit::AuditFailed || !run.report.audit.is_clean();
        let invalid = |run: &Run| exit(run) == Exit::Invalid;
        if self.new.runs.iter().any(failed) {
            Some(Exit::AuditFailed)
        } else {
            self.base.runs.iter().chain(&self.new.runs).any(invalid).then_some(Exit::Invalid)
        }
    }

    /// Runs of the side that has fewer.
    fn runs(&self) -> usize {
        self.base.runs.len().min(self.new.runs.len())
    }
}

impl Row {
    /// `None` when no run has the figure.
    fn new(figure: &'static Figure, base: &Side, new: &Side) -> Option<Self> {
        let (base, new) = (base.figures(figure), new.figures(figure));
        let estimate = estimate(&base, &new);
        let smallest = base.iter().chain(&new).copied().min_by(f64::total_cmp)?;
        let verdict = estimate.map_or(Verdict::NotShown, |estimate| figure.verdict(estimate, smallest));
        Some(Self { figure, base, new, estimate, verdict })
    }

    fn medians(&self) -> [f64; 2] {
        [&self.base, &self.new].map(|figures| median(&mut figures.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// A side whose runs have `latencies` around these medians, deliveries at `rate`, and nothing else.
    fn side(label: &str, kind: LatencyKind, medians: &[u64], rate: u64) -> Side {
        let run = |(i, median): (usize, &u64)| {
            let mut report = sample::empty();
            report.latencies = vec![sample::latency(kind, (1..=1000).map(|i| median * i / 500))];
            report.counts.window_us = 1_000_000;
            report.counts.window_deliveries = rate;
            Run { name: format!("{label}{i}.json"), report }
        };
        Side { label: label.into(), runs: medians.iter().enumerate().map(run).collect() }
    }

    fn delivery(medians: &[u64], rate: u64) -> Side {
        side("side", LatencyKind::Delivery, medians, rate)
    }

    fn verdicts(base: Side, new: Side) -> Vec<Verdict> {
        compare(base, new).rows.iter().map(|row| row.verdict).collect()
    }

    /// Goal: less time and more deliveries are faster. Method: two clearly different sides, both ways round.
    #[test]
    fn different_sides() {
        let (slow, fast) = (delivery(&[5000, 5100, 5200], 100), delivery(&[2000, 2100, 2200], 200));
        assert_eq!(verdicts(slow.clone(), fast.clone()), [Verdict::Faster; 5]);
        assert_eq!(verdicts(fast, slow), [Verdict::Slower; 5]);
    }

    /// Goal: without repetition nothing is said. Method: the same two sides with two runs each.
    #[test]
    fn single_runs_show_nothing() {
        let comparison = compare(delivery(&[5000, 5100], 100), delivery(&[2000, 2100], 200));
        assert!(comparison.rows.iter().all(|row| row.verdict == Verdict::NotShown && row.estimate.is_none()));
        assert_eq!(comparison.headline(), None);
    }

    /// Goal: a step of the clock or of the histogram is no difference. Method: constant sides one step apart, and two.
    #[test]
    fn steps_are_no_difference() {
        for (base, new, verdict) in [
            (40, 41, Verdict::NotShown),
            (40, 42, Verdict::Slower),
            (1_000_000, 1_000_900, Verdict::NotShown),
            (1_000_000, 1_003_000, Verdict::Slower),
        ] {
            let comparison = compare(delivery(&[base; 5], 100), delivery(&[new; 5], 100));
            assert_eq!(comparison.rows[0].verdict, verdict, "{base} and {new}");
        }
    }

    /// Goal: the headline is what people see. Method: with deliveries, with answers only, and with neither.
    #[test]
    fn headlines() {
        let response = |medians| side("side", LatencyKind::Response, medians, 0);
        let cases = [
            (delivery(&[100; 3], 1), delivery(&[200; 3], 1), Some(vec![Verdict::Slower; 2])),
            (response(&[100; 3]), response(&[50; 3]), Some(vec![Verdict::Faster; 2])),
            (delivery(&[100; 3], 1), response(&[100; 3]), None),
        ];
        for (base, new, headline) in cases {
            assert_eq!(compare(base, new).headline(), headline);
        }
    }

    /// Goal: runs that mean nothing spoil a comparison. Method: one such run on either side, and lost events.
    #[test]
    fn broken_runs_spoil() {
        let spoiled = |old: u8, new: u8, lost: u64| {
            let (mut base, mut other) = (delivery(&[100; 3], 1), delivery(&[200; 3], 1));
            base.runs[0].report.judgement.exit_code = old;
            other.runs[2].report.judgement.exit_code = new;
            other.runs[2].report.audit.lost = lost;
            compare(base, other).spoiled()
        };
        let [fine, failed, invalid] = [None, Some(Exit::AuditFailed), Some(Exit::Invalid)];
        // An objective that was missed says nothing against the figures, and the base may lose what it likes.
        assert_eq!([spoiled(1, 1, 0), spoiled(3, 0, 0)], [fine; 2]);
        assert_eq!([spoiled(0, 3, 0), spoiled(4, 0, 1)], [failed; 2]);
        assert_eq!([spoiled(4, 0, 0), spoiled(0, 4, 0)], [invalid; 2]);
    }

    /// Goal: figures that only some runs have are used and told. Method: a run without deliveries among three.
    #[test]
    fn missing_figures_are_told() {
        let mut base = delivery(&[100, 101, 102], 10);
        base.runs[1].report.latencies.clear();
        let comparison = compare(base, delivery(&[300, 301, 302], 10));
        assert_eq!(comparison.rows[0].verdict, Verdict::NotShown);
        assert_eq!(comparison.rows[0].medians()[0], 101.0);
        assert!(comparison.warnings.contains(&"2 of 3 runs of side have figures for write → dashboard".to_owned()));
    }

    /// Goal: two samples of one distribution are not told apart, as far as 95 % goes. Method: 20 seeds, from 3 to 7 runs a
    /// side, latencies that vary by 5 % between runs; measured: 97 % of the verdicts on the headline's p99.
    #[test]
    fn one_distribution_has_no_difference() {
        let (mut quiet, mut all) = (0, 0);
        for runs in 3..=7 {
            for seed in 0..20 {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut medians =
                    || -> Vec<u64> { (0..runs).map(|_| 5000 + (0..12).map(|_| rng.u64(0..250)).sum::<u64>() - 1500).collect() };
                let (base, new) = (delivery(&medians(), 100), delivery(&medians(), 100));
                quiet += u32::from(compare(base, new).headline().unwrap()[1] == Verdict::NotShown);
                all += 1;
            }
        }
        assert!(f64::from(quiet) >= 0.9 * f64::from(all), "{quiet} of {all}");
    }
}
