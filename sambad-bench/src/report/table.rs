//! The table that ends a run on the terminal.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use super::facts::groups;
use super::fmt::{NONE, count, duration, harmless};
use super::latency_kind::LatencyKind;
use super::model::{Latency, Report};
use super::words::{self, Tone};

/// Columns that everything fits into, other than single words that are longer.
const WIDTH: usize = 100;
/// Columns of a row's name.
const NAME: usize = 12;
/// Columns of the latencies' names and of each of their figures.
const LATENCY: (usize, usize) = (29, 11);

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();

/// Writes the report for a terminal of 100 columns, with ANSI styles if asked for.
#[must_use]
pub(crate) fn render(report: &Report, styled: bool) -> String {
    let mut page = Page { text: String::new(), styled };
    page.head(report);
    page.latencies(report);
    for group in groups(report) {
        let items = group.facts.iter().map(|fact| {
            let style = if fact.tone == Tone::Plain { BOLD } else { style(fact.tone) };
            vec![(Cow::from(&fact.value), style), (format!(" {}", fact.label).into(), PLAIN)]
        });
        page.row(group.name, " · ", items);
    }
    page.end_line();
    page.audit(report);
    page.judged(report);
    page.text
}

/// Pieces of text that stay on one line.
type Item<'a> = Vec<(Cow<'a, str>, Style)>;

struct Page {
    text: String,
    styled: bool,
}

impl Page {
    fn head(&mut self, report: &Report) {
        self.sentence("run", &words::scenario(report), PLAIN);
        self.sentence("target", &words::target(report), PLAIN);
        let verdict = words::verdict(report);
        let strong = style(verdict.tone).bold();
        let rest = verdict.sentence.split(' ').map(|word| vec![(Cow::from(word), PLAIN)]);
        let first = vec![(Cow::from(verdict.word), strong), (" —".into(), DIM)];
        self.row("verdict", " ", std::iter::once(first).chain(rest));
        for reason in &report.judgement.reasons {
            self.sentence("", &harmless(reason), style(verdict.tone));
        }
        self.end_line();
    }

    fn latencies(&mut self, report: &Report) {
        if report.latencies.is_empty() {
            return;
        }
        let figures = ["p50", "p90", "p99", "p99.9", "max", "count"].map(String::from);
        self.latency("latency", figures, DIM, DIM);
        for latency in &report.latencies {
            let aside = matches!(latency.kind, LatencyKind::DeliveryService | LatencyKind::Service | LatencyKind::Lateness);
            let styles = if aside { (DIM, DIM) } else { (PLAIN, PLAIN) };
            self.latency(latency.kind.label(), figures_of(latency), styles.0, styles.1);
        }
        if let Some(sentence) = words::two_times(report) {
            self.words(0, sentence, DIM);
        }
        self.end_line();
    }

    fn latency(&mut self, name: &str, figures: [String; 6], name_style: Style, style: Style) {
        let (name_columns, columns) = LATENCY;
        self.paint(&format!("{name:name_columns$}"), name_style);
        for (i, figure) in figures.iter().enumerate() {
            let style = if i == 2 && style == PLAIN { BOLD } else { style };
            self.paint(&format!("{figure:>columns$}"), style);
        }
        self.end_line();
    }

    fn audit(&mut self, report: &Report) {
        let counts = words::audit(report).map(|(word, number, _)| {
            let style = if number > 0 { style(Tone::Bad) } else { PLAIN };
            vec![(format!("{word} {}", count(number)).into(), style)]
        });
        let asides = words::audit_asides(report).into_iter().map(|aside| vec![(aside.into(), DIM)]);
        self.row("audit", " · ", counts.into_iter().chain(asides));
        for finding in &report.audit.findings {
            self.sentence("", &harmless(finding), style(Tone::Bad));
        }
    }

    fn judged(&mut self, report: &Report) {
        let width = report.objectives.iter().map(|objective| objective.text.chars().count()).max().unwrap_or(0);
        for (i, objective) in report.objectives.iter().enumerate() {
            let (word, tone) = if objective.met { ("met   ", Tone::Good) } else { ("missed", Tone::Warn) };
            let text = format!("  {:width$}  {}", harmless(&objective.text), harmless(&objective.measured));
            let name = if i == 0 { "objectives" } else { "" };
            self.row(name, "", [vec![(word.into(), style(tone)), (text.into(), PLAIN)]]);
        }
        for (i, remark) in report.judgement.remarks.iter().enumerate() {
            self.sentence(if i == 0 { "remarks" } else { "" }, &harmless(remark), PLAIN);
        }
    }

    fn sentence(&mut self, name: &str, text: &str, style: Style) {
        self.row(name, " ", text.split(' ').map(|word| vec![(Cow::from(word), style)]));
    }

    fn words(&mut self, indent: usize, text: &str, style: Style) {
        self.items(indent, indent, " ", text.split(' ').map(|word| vec![(Cow::from(word), style)]));
    }

    /// A name, then items that wrap beneath each other.
    fn row<'a>(&mut self, name: &str, separator: &str, items: impl IntoIterator<Item = Item<'a>>) {
        self.paint(&format!("{name:NAME$}"), DIM);
        self.items(NAME, NAME, separator, items);
    }

    fn items<'a>(&mut self, at: usize, indent: usize, separator: &str, items: impl IntoIterator<Item = Item<'a>>) {
        let mut column = at;
        for item in items {
            let width: usize = item.iter().map(|(text, _)| text.chars().count()).sum();
            let gap = separator.chars().count();
            if column > indent && column + gap + width > WIDTH {
                self.end_line();
                self.text.push_str(&" ".repeat(indent));
                column = indent;
            } else if column > at.min(indent) {
                self.paint(separator, DIM);
                column += gap;
            }
            for (text, style) in &item {
                self.paint(text, *style);
            }
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

const fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => PLAIN,
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Warn => AnsiColor::Yellow.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
    }
}

fn figures_of(latency: &Latency) -> [String; 6] {
    let summary = &latency.summary;
    let figures = [summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us];
    let [p50, p90, p99, p999, max] = figures.map(|us| if summary.count == 0 { NONE.to_owned() } else { duration(us) });
    [p50, p90, p99, p999, max, count(summary.count)]
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// Goal: the table fits a terminal and has every part. Method: a full report, its widths and its lines' first words.
    #[test]
    fn a_full_table_fits() {
        let mut report = sample::report();
        report.audit.lost = 2;
        report.audit.findings = vec!["seq 1043 never came to dashboard 17 \u{1b}[2J".into(); 2];
        let text = render(&report, false);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && !line.ends_with(' ')), "\n{text}");
        assert!(!text.contains('\u{1b}'), "\n{text}");
        for name in [
            "run ",
            "target ",
            "verdict ",
            "latency ",
            "write → dashboard ",
            "Response time ",
            "throughput ",
            "writes ",
            "generator ",
            "server ",
            "chaos ",
            "floor ",
            "objectives ",
            "remarks ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(name)), "no {name} in\n{text}");
        }
        assert!(
            text.contains("audit       lost 2 · duplicate 0 · reordered 0 · unexplained 0 · 5,250,000 checked\n"),
            "\n{text}"
        );
        assert!(text.contains("            seq 1043 never came to dashboard 17 \\u{1b}[2J\n"), "\n{text}");
    }

    /// Goal: styles change the looks and nothing else. Method: with them and with them taken away again.
    #[test]
    fn styles_are_only_styles() {
        let (plain, styled) = (render(&sample::report(), false), render(&sample::report(), true));
        assert!(styled.contains("\u{1b}[1m"));
        assert_eq!(anstream::adapter::strip_str(&styled).to_string(), plain);
    }

    /// Goal: a run in which nothing happened has a table too. Method: the whole of it.
    #[test]
    fn an_empty_table() {
        let text = render(&sample::empty(), false);
        let expected = "\
run         150 writes/s (open loop, random gaps) by 200 users to 1,000 dashboards, 10 slow
            dashboards and 50 app sessions, for 30 s
target      sambad-server 0.1.0, started for this run on core 0
verdict     ok — there were no deliveries to check

throughput  0 deliveries/s · 0 publishes/s · 0 B received · 0 B sent
writes      0 planned · 0 acknowledged
sessions    0 opened
generator   0 late sends (> 1 ms) · 43 % CPU of its cores · 61 % busy (the busiest of 1 thread)
            85.0 MB peak resident memory

audit       lost 0 · duplicate 0 · reordered 0 · unexplained 0 · 0 checked
";
        assert_eq!(text, expected);
    }
}
