//! A comparison for the terminal: sides, warnings, figures side by side, audits.

use anstyle::{AnsiColor, Style};

use super::bootstrap::{Estimate, RUNS_ENOUGH, RUNS_MIN};
use super::differences::distinct;
use super::figure::Unit;
use super::{Comparison, Row, Side, Verdict};
use crate::report::fmt::{NONE, count, duration, harmless, many, micros, rate};
use crate::report::words;

/// Columns that everything fits into, other than single words that are longer.
const WIDTH: usize = 100;
/// Columns of a paragraph's name, and of a side's label behind it.
const NAME: usize = 12;
/// Columns of what a figure belongs to, of its part, and of each side, the ratio and the interval.
const FIGURE: (usize, usize, usize, usize, usize) = (24, 5, 11, 10, 17);
/// Longest label that leaves its column a gap.
pub(crate) const LABEL_CHARS_MAX: usize = 10;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();
const GOOD: Style = AnsiColor::Green.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes the comparison for a terminal of 100 columns, with ANSI styles if asked for.
#[must_use]
pub(crate) fn render(comparison: &Comparison, styled: bool) -> String {
    let mut page = Page { text: String::new(), styled };
    let sides = [&comparison.base, &comparison.new];
    for (i, side) in sides.into_iter().enumerate() {
        page.labelled(if i == 0 { "sides" } else { "" }, &side.label, &told(side), PLAIN);
    }
    if let Some(run) = comparison.base.runs.first() {
        page.paragraph("load", &words::scenario(&run.report), PLAIN);
    }
    for (i, warning) in comparison.warnings.iter().enumerate() {
        page.paragraph(if i == 0 { "warnings" } else { "" }, warning, WARN);
    }
    page.end_line();
    page.figures(comparison);
    page.end_line();
    for (i, side) in sides.into_iter().enumerate() {
        let (text, clean) = audit(side);
        page.labelled(if i == 0 { "audit" } else { "" }, &side.label, &text, if clean { PLAIN } else { BAD });
    }
    page.text
}

/// How many runs, of what, measured by what.
fn told(side: &Side) -> String {
    let targets = distinct(side, words::target).join(" and ");
    let tools = distinct(side, words::tool).join(" and ");
    format!("{} of {targets}, with {tools}", many(side.runs.len() as u64, "run"))
}

/// The counts over all runs, and whether all of them are as they should be.
fn audit(side: &Side) -> (String, bool) {
    let audits: Vec<_> = side.runs.iter().map(|run| words::audit(&run.report)).collect();
    let sum = |i: usize| audits.iter().map(|audit| audit[i].1).fold(0, u64::saturating_add);
    let mut parts: Vec<String> = words::audit(&side.runs[0].report)
        .iter()
        .enumerate()
        .map(|(i, (word, ..))| format!("{word} {}", count(sum(i))))
        .collect();
    let checked = side.runs.iter().map(|run| run.report.audit.checked).fold(0, u64::saturating_add);
    parts.push(format!("{} checked", count(checked)));
    (parts.join(" · "), (0..4).all(|i| sum(i) == 0))
}

struct Page {
    text: String,
    styled: bool,
}

impl Page {
    fn figures(&mut self, comparison: &Comparison) {
        let labels = [&comparison.base, &comparison.new].map(|side| harmless(&side.label));
        let ratio = ["ratio".into(), "95 % interval".into()];
        self.columns(("figure", ""), &labels, &ratio, [DIM; 3]);
        self.paint("verdict", DIM);
        self.end_line();
        let mut group = "";
        for row in &comparison.rows {
            let (name, part) = row.figure.name;
            self.row((if name == group { "" } else { name }, part), row);
            group = name;
        }
        self.wrapped(0, 0, &note(comparison), DIM);
    }

    fn row(&mut self, name: (&str, &str), row: &Row) {
        let medians = row.medians();
        let show = |figure: f64| match row.figure.unit {
            _ if figure.is_nan() => NONE.into(),
            Unit::Latency => duration(figure.round() as u64),
            Unit::Cpu => micros(figure),
            Unit::Rate => rate(figure),
        };
        let [base, new] = medians;
        let whole = factor(row.estimate.map_or(new / base, |estimate| estimate.ratio));
        let interval = row.estimate.map_or_else(|| NONE.into(), interval);
        self.columns(name, &medians.map(show), &[whole, interval], [PLAIN, BOLD, PLAIN]);
        let (word, style) = match row.verdict {
            Verdict::Faster => ("faster", GOOD),
            Verdict::Slower => ("slower", WARN),
            Verdict::NotShown => ("no difference shown", DIM),
        };
        self.paint(word, style);
        self.end_line();
    }

    /// All columns but the verdict's, and the gap before that; styles of the sides, the ratio and the interval.
    fn columns(&mut self, name: (&str, &str), sides: &[String; 2], ratio: &[String; 2], styles: [Style; 3]) {
        let (group, part, side, whole, interval) = FIGURE;
        self.paint(&format!("{:group$}{:part$}", name.0, name.1), styles[0]);
        for figure in sides {
            self.paint(&format!("{figure:>side$}"), styles[0]);
        }
        self.paint(&format!("{:>whole$}", ratio[0]), styles[1]);
        self.paint(&format!("{:>interval$}", ratio[1]), styles[2]);
        self.text.push_str("  ");
    }

    fn paragraph(&mut self, name: &str, text: &str, style: Style) {
        self.paint(&format!("{name:NAME$}"), DIM);
        self.wrapped(NAME, NAME, text, style);
    }

    fn labelled(&mut self, name: &str, label: &str, text: &str, style: Style) {
        self.paint(&format!("{name:NAME$}"), DIM);
        self.paint(&format!("{:NAME$}", harmless(label)), BOLD);
        self.wrapped(2 * NAME, 2 * NAME, text, style);
    }

    /// Words from column `at` on, and from `indent` on in further lines.
    fn wrapped(&mut self, at: usize, indent: usize, text: &str, style: Style) {
        let mut column = at;
        for word in text.split(' ') {
            let width = word.chars().count();
            if column > at.max(indent) {
                if column + 1 + width > WIDTH {
                    self.end_line();
                    self.text.push_str(&" ".repeat(indent));
                    column = indent;
                } else {
                    self.text.push(' ');
                    column += 1;
                }
            }
            self.paint(word, style);
            column += width;
        }
        self.end_line();
    }

    fn paint(&mut self, text: &str, style: Style) {
        if self.styled && style != PLAIN && !text.trim().is_empty() {
            self.text.push_str(&format!("{style}{text}{style:#}"));
        } else {
            self.text.push_str(text);
        }
    }

    fn end_line(&mut self) {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        self.text.push('\n');
    }
}

/// What the reader has to know to read the figures.
fn note(comparison: &Comparison) -> String {
    let (base, new) = (harmless(&comparison.base.label), harmless(&comparison.new.label));
    let each = "Each figure has its own verdict: of 20 figures without a real difference, about 1 shows one by chance.";
    let (how, each) = match comparison.runs() {
        ..RUNS_MIN => {
            let why = "There are no verdicts: with fewer than 3 runs of a side, the noise between runs is unknown. Measure each side at \
                 least 3 times, better 5 times, in turn.";
            (why, "")
        }
        RUNS_MIN..RUNS_ENOUGH => {
            let how = "With 3 or 4 runs of a side, the interval covers every pair of runs, so only a clear difference is shown; \
                 5 runs of each side give a narrower interval.";
            (how, each)
        }
        _ => ("The interval comes from 10,000 resamples of the runs.", each),
    };
    format!("Figures are medians over the runs; the ratio is {new} / {base}. {how} {each}").trim_end().to_owned()
}

fn interval(estimate: Estimate) -> String {
    format!("{}–{}", factor(estimate.low), factor(estimate.high))
}

/// A ratio, to three places or digits.
fn factor(ratio: f64) -> String {
    if !ratio.is_finite() {
        return NONE.into();
    }
    let places = if ratio < 0.1 {
        4
    } else if ratio < 10.0 {
        3
    } else {
        usize::from(ratio < 1000.0)
    };
    format!("{ratio:.places$}")
}

#[cfg(test)]
mod tests {
    use super::super::{Run, compare};
    use super::*;
    use crate::report::sample::{self, latency};
    use crate::report::{Judgement, LatencyKind};

    fn comparison(runs: usize) -> Comparison {
        let sample = sample::report();
        let side = |label: &str, medians: [u64; 5]| {
            let run = |(i, median): (usize, u64)| {
                let mut report = sample.clone();
                report.latencies = vec![
                    latency(LatencyKind::Delivery, (1..=1000).map(|i| median * i / 500)),
                    latency(LatencyKind::Response, (1..=1000).map(|i| 900 + i + i * (median % 7) / 2)),
                ];
                report.scenario.seed = median;
                report.judgement = Judgement { exit_code: if median == 2280 { 4 } else { 0 }, ..Judgement::default() };
                Run { name: format!("{label}-{i}.json"), report }
            };
            Side { label: label.into(), runs: medians.into_iter().enumerate().take(runs).map(run).collect() }
        };
        compare(side("express", [8200, 7900, 8450, 8120, 8011]), side("sambad", [2310, 2280, 2405, 2290, 2333]))
    }

    /// Goal: the table is calm, aligned and complete. Method: the whole of one, with known medians and a warning.
    #[test]
    fn a_whole_table() {
        let text = render(&comparison(5), false);
        let expected = "\
sides       express     5 runs of sambad-server 0.1.0, started for this run on core 0, with
                        sambad-bench 0.1.0 (1988042d0c5e)
            sambad      5 runs of sambad-server 0.1.0, started for this run on core 0, with
                        sambad-bench 0.1.0 (1988042d0c5e)
load        150 writes/s (open loop, random gaps) by 200 users to 1,000 dashboards, 10 slow
            dashboards and 50 app sessions, for 30 s
warnings    sambad sambad-1.json: the run is invalid

figure                           express     sambad     ratio    95 % interval  verdict
write → dashboard       p50      8.12 ms    2.31 ms     0.285      0.273–0.296  faster
                        p90      14.6 ms    4.16 ms     0.284      0.273–0.296  faster
                        p99      16.1 ms    4.58 ms     0.285      0.273–0.296  faster
                        p99.9    16.2 ms    4.62 ms     0.284      0.273–0.296  faster
write → acknowledgement p50      2.15 ms    1.90 ms     0.883      0.651–1.607  no difference shown
                        p99      3.38 ms    2.88 ms     0.854      0.560–1.831  no difference shown
server CPU per delivery          5.94 µs    5.94 µs     1.000      1.000–1.000  no difference shown
server CPU per write              891 µs     891 µs     1.000      1.000–1.000  no difference shown
deliveries/s                     149,533    149,533     1.000      1.000–1.000  no difference shown
Figures are medians over the runs; the ratio is sambad / express. The interval comes from 10,000
resamples of the runs. Each figure has its own verdict: of 20 figures without a real difference,
about 1 shows one by chance.

audit       express     lost 0 · duplicate 0 · reordered 0 · unexplained 0 · 26,250,000 checked
            sambad      lost 0 · duplicate 0 · reordered 0 · unexplained 0 · 26,250,000 checked
";
        assert_eq!(text, expected, "\n{text}");
    }

    /// Goal: everything fits a terminal. Method: long labels and warnings, and the longest figures; widths of all lines.
    #[test]
    fn everything_fits() {
        for runs in [1, 3, 5] {
            let mut comparison = comparison(runs);
            comparison.base.label = "x".repeat(LABEL_CHARS_MAX);
            comparison.new.label = "\u{1b}".into();
            comparison.warnings = vec!["the machine is not the same ".repeat(9).trim_end().into()];
            comparison.rows[0].estimate = Some(Estimate { ratio: 1e5, low: 12_345.6, high: 1_234_567.8 });
            let text = render(&comparison, false);
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH && !line.ends_with(' ')), "\n{text}");
            assert!(!text.contains('\u{1b}'), "\n{text}");
            assert_eq!(text.contains("fewer than 3 runs"), runs < 3, "\n{text}");
        }
    }

    /// Goal: styles change the looks and nothing else. Method: with them and with them taken away again.
    #[test]
    fn styles_are_only_styles() {
        let comparison = comparison(3);
        let (plain, styled) = (render(&comparison, false), render(&comparison, true));
        assert!(styled.contains("\u{1b}[32mfaster"));
        assert_eq!(anstream::adapter::strip_str(&styled).to_string(), plain);
    }
}
