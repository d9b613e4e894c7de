//! The page's lists and tables.

use std::fmt::{self, Write};

use super::super::escape::Escaped;
use super::super::facts::{self, Fact};
use super::super::fmt::{NONE, count, duration, many, micros, seconds};
use super::super::model::{FloorComparison, Ratio, Report};
use super::super::words;
use super::tone_class;

/// The counts of the audit, what each means, and the faults found.
pub(super) fn audit(out: &mut String, report: &Report) -> fmt::Result {
    out.write_str("<section aria-labelledby=\"audit\">\n<h2 id=\"audit\">Audit</h2>\n")?;
    let asides = words::audit_asides(report).join(", ");
    writeln!(out, "<p>The audit compares every delivery to every session with the operations: {}.</p>", Escaped(&asides))?;
    out.write_str("<dl class=\"audit\">\n")?;
    for (word, number, meaning) in words::audit(report) {
        let class = match number {
            0 if report.audit.checked == 0 => "plain",
            0 => "good",
            _ => "bad",
        };
        let number = count(number);
        writeln!(out, "<div class=\"{class}\"><dt>{word}</dt><dd><b>{number}</b> {}</dd></div>", Escaped(meaning))?;
    }
    out.write_str("</dl>\n")?;
    if !report.audit.findings.is_empty() {
        out.write_str("<h3>The first faults</h3>\n")?;
        list(out, "findings", &report.audit.findings)?;
    }
    out.write_str("</section>\n")
}

/// Every latency with its usual figures.
pub(super) fn latencies(out: &mut String, report: &Report) -> fmt::Result {
    let heads = ["p50", "p90", "p99", "p99.9", "max", "mean", "min", "count"];
    table_begin(out, "All latencies", "latency", &heads)?;
    for latency in &report.latencies {
        let (summary, label) = (&latency.summary, latency.kind.label());
        // A label that is indented for a terminal belongs to the row above.
        let class = if label.starts_with(' ') { " class=\"part\"" } else { "" };
        write!(out, "<tr{class}><th scope=\"row\">{}</th>", Escaped(label.trim_start()))?;
        let [min, p50, p90, p99, p999, max] =
            [summary.min_us, summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us].map(duration);
        for figure in [p50, p90, p99, p999, max, micros(summary.mean_us), min] {
            write!(out, "<td>{}</td>", if summary.count == 0 { NONE } else { &figure })?;
        }
        writeln!(out, "<td>{}</td></tr>", count(summary.count))?;
    }
    out.write_str("</tbody></table></div>\n")
}

/// Objectives and whether they were met.
pub(super) fn objectives(out: &mut String, report: &Report) -> fmt::Result {
    if report.objectives.is_empty() {
        return Ok(());
    }
    out.write_str("<section aria-labelledby=\"objectives\">\n<h2 id=\"objectives\">Objectives</h2>\n")?;
    table_begin(out, "Objectives", "objective", &["measured", "verdict"])?;
    for objective in &report.objectives {
        let (class, word) = if objective.met { ("good", "met") } else { ("warn", "missed") };
        let (text, measured) = (Escaped(&objective.text), Escaped(&objective.measured));
        writeln!(
            out,
            "<tr><th scope=\"row\"><code>{text}</code></th><td>{measured}</td><td class=\"{class}\"><b>{word}</b></td></tr>"
        )?;
    }
    out.write_str("</tbody></table></div>\n</section>\n")
}

/// What the run, the generator and the server came to, and the floor.
pub(super) fn costs(out: &mut String, report: &Report) -> fmt::Result {
    out.write_str("<section aria-labelledby=\"costs\">\n<h2 id=\"costs\">Work and its cost</h2>\n<div class=\"groups\">\n")?;
    for group in facts::groups(report).iter().filter(|group| group.name != "floor") {
        writeln!(out, "<div><h3>{}</h3>\n<dl>", Escaped(&sentence(group.name)))?;
        for Fact { label, value, tone } in &group.facts {
            let (label, value) = (Escaped(label), Escaped(value));
            writeln!(out, "<div class=\"{}\"><dt>{label}</dt><dd>{value}</dd></div>", tone_class(*tone))?;
        }
        out.write_str("</dl></div>\n")?;
    }
    out.write_str("</div>\n")?;
    if let Some(refusal) = &report.counts.first_refusal {
        writeln!(out, "<p class=\"warn\">The first rejected write: <code>{}</code></p>", Escaped(refusal))?;
    }
    if let Some(chaos) = report.chaos.as_ref().filter(|chaos| !chaos.downtimes_us.is_empty()) {
        let times: Vec<_> = chaos.downtimes_us.iter().map(|us| duration(*us)).collect();
        writeln!(out, "<p>From each kill until the server accepted connections again: {}.</p>", times.join(", "))?;
    }
    if let Some(comparison) = &report.floor {
        floor(out, comparison)?;
    }
    out.write_str("</section>\n")
}

fn floor(out: &mut String, comparison: &FloorComparison) -> fmt::Result {
    let heads = ["target", "floor", "ratio", "smallest to largest"];
    out.write_str("<h3>Against the floor</h3>\n")?;
    writeln!(
        out,
        "<p>The floor is a bare server that makes the same deliveries and stores nothing. The floor and the target ran in turn, \
         {} each; figures and ratios are medians of these.</p>",
        many(comparison.rounds.into(), "round")
    )?;
    table_begin(out, "Against the floor", "figure", &heads)?;
    let rows = [
        ("CPU per delivery", &comparison.cpu_us_per_delivery),
        ("write → dashboard, p50", &comparison.delivery_p50_us),
        ("write → dashboard, p99", &comparison.delivery_p99_us),
    ];
    for (name, Ratio { target, floor, ratio, ratio_min, ratio_max }) in rows {
        let (target, floor) = (micros(*target), micros(*floor));
        writeln!(
            out,
            "<tr><th scope=\"row\">{name}</th><td>{target}</td><td>{floor}</td><td><b>{ratio:.2} ×</b></td>\
             <td>{ratio_min:.2} to {ratio_max:.2}</td></tr>"
        )?;
    }
    out.write_str("</tbody></table></div>\n")
}

/// What a reader should know besides.
pub(super) fn remarks(out: &mut String, report: &Report) -> fmt::Result {
    if report.judgement.remarks.is_empty() {
        return Ok(());
    }
    out.write_str("<section aria-labelledby=\"remarks\">\n<h2 id=\"remarks\">Remarks</h2>\n")?;
    list(out, "remarks", &report.judgement.remarks)?;
    out.write_str("</section>\n")
}

/// The command, and what else decides whether a second run is the same.
pub(super) fn repeat(out: &mut String, report: &Report) -> fmt::Result {
    let scenario = &report.scenario;
    out.write_str("<section aria-labelledby=\"repeat\">\n<h2 id=\"repeat\">How to repeat this run</h2>\n")?;
    out.write_str("<pre><code>")?;
    command(out, report)?;
    out.write_str("</code></pre>\n<dl class=\"run\">\n")?;
    let facts = [
        ("Tool", words::tool(report)),
        ("Seed", scenario.seed.to_string()),
        ("Mix", scenario.mix.clone()),
        ("Time", format!("{} of warm-up, then {} measured", seconds(scenario.warmup_s), seconds(scenario.duration_s))),
        (
            "Sessions",
            format!("opened within {}, up to {} connections for writes", seconds(scenario.ramp_up_s), scenario.connections),
        ),
        ("Dialect", scenario.dialect.clone()),
        ("Address", report.target.url.clone()),
    ];
    for (name, text) in facts {
        writeln!(out, "<dt>{name}</dt><dd>{}</dd>", Escaped(&text))?;
    }
    out.write_str("</dl>\n</section>\n")
}

/// The command line, each word of it kept together: browsers break lines behind hyphens.
pub(super) fn command(out: &mut String, report: &Report) -> fmt::Result {
    for (i, word) in report.command.iter().enumerate() {
        let word = super::super::fmt::command(std::slice::from_ref(word));
        write!(out, "{}<span>{}</span>", if i > 0 { " " } else { "" }, Escaped(&word))?;
    }
    Ok(())
}

/// Texts of the report, one an item.
pub(super) fn list(out: &mut String, class: &str, texts: &[String]) -> fmt::Result {
    writeln!(out, "<ul class=\"{class}\">")?;
    for text in texts {
        writeln!(out, "<li>{}</li>", Escaped(&sentence(text)))?;
    }
    out.write_str("</ul>\n")
}

/// With a capital, as a page begins its sentences; not so a name such as seq or `p99<20ms`.
pub(super) fn sentence(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    let is_word = first_word != "seq" && first_word.chars().all(|c| c.is_alphabetic() || c == ',');
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if is_word => first.to_uppercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

fn table_begin(out: &mut String, name: &str, first: &str, heads: &[&str]) -> fmt::Result {
    // Wide tables scroll by themselves, which is for keyboards too.
    write!(out, "<div class=\"scroll\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\"><table>\n<thead><tr>")?;
    write!(out, "<th scope=\"col\">{first}</th>")?;
    for head in heads {
        write!(out, "<th scope=\"col\">{head}</th>")?;
    }
    out.write_str("</tr></thead>\n<tbody>\n")
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    /// Goal: sentences begin as sentences do. Method: words, figures and expressions.
    #[test]
    fn sentences() {
        for (text, shown) in [
            ("all of it", "All of it"),
            ("p99<20ms is missed", "p99<20ms is missed"),
            ("2 kills", "2 kills"),
            ("seq 7 is lost", "seq 7 is lost"),
            ("", ""),
        ] {
            assert_eq!(sentence(text), shown);
        }
    }

    /// Goal: what is not known takes no room. Method: an empty report has no optional section, a full one has each.
    #[test]
    fn optional_sections() {
        let all = |report: &Report| {
            let mut out = String::new();
            for section in [audit, objectives, costs, remarks, repeat] {
                section(&mut out, report).unwrap();
            }
            out
        };
        let (full, empty) = (all(&sample::report()), all(&sample::empty()));
        for text in
            ["id=\"objectives\"", "id=\"remarks\"", "<h3>Server</h3>", "<h3>Chaos</h3>", "Against the floor", "312 ms, 287 ms"]
        {
            assert!(full.contains(text) && !empty.contains(text), "{text}");
        }
        assert!(full.contains("<div class=\"good\"><dt>lost</dt><dd><b>0</b> a session did"));
        assert!(!full.contains("The first faults"));
    }
}
