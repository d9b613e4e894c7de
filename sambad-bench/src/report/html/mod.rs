//! The report as one page that needs nothing else: no network, no script, plain SVG.

use std::fmt::{self, Write};

mod charts;
mod sections;

use super::escape::Escaped;
use super::fmt::{count, duration, instant, rate, things};
use super::model::Report;
use super::svg::Frame;
use super::words::{self, Tone};
use charts::Drawn;

/// Forbids whatever the page does not need, should text of a report ever become markup.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// Writes the page.
#[must_use]
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::with_capacity(128 << 10);
    page(&mut out, report).expect("a String takes every write");
    out
}

fn page(out: &mut String, report: &Report) -> fmt::Result {
    let title = words::title(report);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{} – {}</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        Escaped(&title),
        Escaped(words::verdict(report).word),
        include_str!("page.css")
    )?;
    header(out, report, &title)?;
    out.write_str("<main>\n")?;
    figures(out, report)?;
    latency(out, report)?;
    rates(out, report)?;
    sections::audit(out, report)?;
    sections::objectives(out, report)?;
    sections::costs(out, report)?;
    sections::remarks(out, report)?;
    sections::repeat(out, report)?;
    out.write_str("</main>\n")?;
    let (tool, at) = (words::tool(report), instant(&report.started_at));
    writeln!(out, "<footer>{} · {}</footer>\n</body>\n</html>", Escaped(&tool), Escaped(&at))
}

fn header(out: &mut String, report: &Report, title: &str) -> fmt::Result {
    let verdict = words::verdict(report);
    let tone = tone_class(verdict.tone);
    write!(out, "<header>\n<p class=\"kind\">Load test</p>\n<h1>{}</h1>\n", Escaped(title))?;
    writeln!(
        out,
        "<p class=\"verdict {tone}\"><strong>{}</strong> <span>{}</span></p>",
        Escaped(&sections::sentence(verdict.word)),
        Escaped(&sections::sentence(&verdict.sentence))
    )?;
    if !report.judgement.reasons.is_empty() {
        sections::list(out, "reasons", &report.judgement.reasons)?;
    }
    out.write_str("<dl class=\"run\">\n")?;
    let facts = [
        ("Run", words::scenario(report)),
        ("Target", words::target(report)),
        ("Machine", words::machine(report)),
        ("When", instant(&report.started_at)),
    ];
    for (name, text) in facts {
        writeln!(out, "<dt>{name}</dt><dd>{}</dd>", Escaped(&text))?;
    }
    out.write_str("<dt>Command</dt><dd><code>")?;
    sections::command(out, report)?;
    out.write_str("</code></dd>\n</dl>\n</header>\n")
}

/// The figures that a reader takes away.
fn figures(out: &mut String, report: &Report) -> fmt::Result {
    out.write_str("<section class=\"figures\" aria-label=\"Headline figures\">\n")?;
    if let Some(latency) = words::headline(report).filter(|latency| latency.summary.count > 0) {
        let (summary, label) = (&latency.summary, words::alone(latency.kind));
        for (name, us) in [("p50", summary.p50_us), ("p99", summary.p99_us), ("p99.9", summary.p999_us)] {
            figure(out, &duration(us), name, label, Tone::Plain)?;
        }
    }
    let publishes = format!("from {} writes/s", rate(report.counts.publishes_per_s()));
    figure(out, &rate(report.counts.deliveries_per_s()), "deliveries/s", &publishes, Tone::Plain)?;
    let faults: u64 = words::audit(report).iter().map(|(_, number, _)| number).sum();
    let tone = if faults > 0 { Tone::Bad } else { Tone::Good };
    let checked = format!("in {} checked", count(report.audit.checked));
    let what = format!("delivery {}", things(faults, "fault"));
    figure(out, &count(faults), &what, &checked, if report.audit.checked > 0 { tone } else { Tone::Plain })?;
    out.write_str("</section>\n")
}

fn figure(out: &mut String, value: &str, name: &str, label: &str, tone: Tone) -> fmt::Result {
    let (number, unit) = value.split_once(' ').unwrap_or((value, ""));
    writeln!(
        out,
        "<p class=\"figure {}\"><b>{}<small> {}</small></b> <span>{}</span> <em>{}</em></p>",
        tone_class(tone),
        Escaped(number),
        Escaped(unit),
        Escaped(name),
        Escaped(label)
    )
}

fn latency(out: &mut String, report: &Report) -> fmt::Result {
    if report.latencies.is_empty() {
        return Ok(());
    }
    out.write_str("<section aria-labelledby=\"latency\">\n<h2 id=\"latency\">Latency</h2>\n")?;
    if let Some(sentence) = words::two_times(report) {
        writeln!(out, "<p>{}</p>", Escaped(sentence))?;
    }
    if let Some(drawn) = charts::percentiles(report) {
        let note =
            "Each grid line to the right covers a tenth of the samples of the previous one. A line ends with its last sample.";
        chart(out, &drawn, "Latency by percentile", note, [Frame::wide(380.0, 186.0), Frame::narrow(320.0)])?;
    }
    if let Some(drawn) = charts::latency_over_time(report) {
        let note = format!("{}.", each(&drawn, "the worst of"));
        chart(out, &drawn, "Latency over time", &note, [Frame::wide(300.0, 112.0), Frame::narrow(270.0)])?;
    }
    sections::latencies(out, report)?;
    out.write_str("</section>\n")
}

fn rates(out: &mut String, report: &Report) -> fmt::Result {
    let drawn = charts::rates(report);
    if drawn.is_empty() {
        return Ok(());
    }
    out.write_str("<section aria-labelledby=\"rates\">\n<h2 id=\"rates\">Throughput</h2>\n")?;
    for drawn in drawn {
        let caption = match drawn.chart.id {
            "deliveries" => "Events received by all sessions",
            _ => "Writes acknowledged",
        };
        let note = format!("{}.", each(&drawn, "the mean of"));
        chart(out, &drawn, caption, &note, [Frame::wide(180.0, 112.0), Frame::narrow(180.0)])?;
    }
    out.write_str("</section>\n")
}

/// What a point of a chart stands for.
fn each(drawn: &Drawn, how: &str) -> String {
    if drawn.seconds == 1 { "Each second".into() } else { format!("Each point {how} {} s", drawn.seconds) }
}

/// A chart for wide and for narrow pages, of which the style sheet shows one.
fn chart(out: &mut String, drawn: &Drawn, caption: &str, note: &str, frames: [Frame; 2]) -> fmt::Result {
    writeln!(out, "<figure>\n<figcaption><b>{}</b> {}</figcaption>", Escaped(caption), Escaped(note))?;
    if !drawn.legend.is_empty() {
        out.write_str("<ul class=\"legend\">")?;
        for (class, label) in &drawn.legend {
            let line =
                format!("<svg viewBox=\"0 0 34 8\" aria-hidden=\"true\"><path class=\"line {class}\" d=\"M2 4H32\"/></svg>");
            write!(out, "<li>{line}{}</li>", Escaped(label))?;
        }
        out.write_str("</ul>\n")?;
    }
    for frame in frames {
        drawn.chart.draw(out, &frame)?;
    }
    out.write_str("</figure>\n")
}

const fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

#[cfg(test)]
mod tests {
    use super::super::latency_kind::LatencyKind;
    use super::super::model::Mode;
    use super::super::sample;
    use super::*;

    /// Fails unless every element that is opened is closed, in turn.
    fn well_formed(page: &str) {
        let mut open = Vec::new();
        for tag in page.split('<').skip(1).filter(|tag| !tag.starts_with('!')) {
            let name = tag.split([' ', '>', '/']).find(|part| !part.is_empty()).unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{}", &tag[..tag.len().min(80)]);
            } else if !["meta", "link"].contains(&name) && !tag.contains("/>") {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    /// Goal: the page is whole and stands alone. Method: a full report, an empty one and a closed loop; no address to load from.
    #[test]
    fn pages_stand_alone() {
        let mut closed = sample::report();
        closed.scenario.mode = Mode::Closed { writers: 64 };
        closed.latencies.retain(|latency| latency.kind == LatencyKind::Response);
        for report in [sample::report(), sample::empty(), closed] {
            let page = render(&report);
            well_formed(&page);
            for bad in ["<script", "src=\"", "url(", "@import", "href=\"http", "NaN", "inf\""] {
                assert!(!page.contains(bad), "{bad}");
            }
            let ids: Vec<_> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
            assert!((1..ids.len()).all(|i| !ids[..i].contains(&ids[i])), "{ids:?}");
        }
    }

    /// Goal: text of a report stays text, wherever it is shown. Method: markup in every field that takes text.
    #[test]
    fn text_stays_text() {
        let mut report = sample::report();
        let evil = || "<img src=x onerror='x'>\u{202e}\"&".to_owned();
        report.command.push(evil());
        report.started_at = evil();
        report.tool.version = evil();
        report.tool.commit = Some(evil());
        (report.machine.processor, report.machine.system) = (evil(), evil());
        (report.target.description, report.target.url) = (evil(), evil());
        (report.scenario.mix, report.scenario.dialect, report.scenario.chaos) = (evil(), evil(), Some(evil()));
        report.counts.first_refusal = Some(evil());
        report.counts.refused = 1;
        report.audit.findings = vec![evil()];
        (report.objectives[0].text, report.objectives[0].measured) = (evil(), evil());
        (report.judgement.reasons, report.judgement.remarks) = (vec![evil()], vec![evil()]);
        let page = render(&report);
        well_formed(&page);
        assert!(!page.contains("<img") && !page.contains('\u{202e}'));
        assert!(page.matches("&lt;img src=x onerror=&#39;x&#39;&gt;\\u{202e}&quot;&amp;").count() >= 10);
    }

    /// Goal: the headline shows what matters. Method: the sample's figures, then a fault.
    #[test]
    fn headline_figures() {
        let mut report = sample::report();
        let page = render(&report);
        assert!(page.contains("<b>149,533<small> </small></b> <span>deliveries/s</span> <em>from 150 writes/s</em>"));
        assert!(page.contains("<b>0<small> </small></b> <span>delivery faults</span> <em>in 5,250,000 checked</em>"));
        report.audit.lost = 1;
        assert!(render(&report).contains("<p class=\"figure bad\"><b>1<small> </small></b> <span>delivery fault</span>"));
    }
}
