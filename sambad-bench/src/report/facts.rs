//! The small figures of a report, each with its words: shared by the terminal's table and the page.

use super::fmt::{count, duration, exact, many, micros, percent, rate, size, things};
use super::model::{ChaosSummary, Counts, FloorComparison, Ratio, Report, ServerUsage, ServiceUsage};
use super::words::Tone;

/// One figure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// What is counted or measured; reads well behind the value and above it.
    pub(super) label: String,
    /// The figure with its unit.
    pub(super) value: String,
    /// Whether it is as it should be.
    pub(super) tone: Tone,
}

/// Figures under a heading.
#[derive(Debug)]
pub(super) struct Group {
    /// One word.
    pub(super) name: &'static str,
    /// At least one.
    pub(super) facts: Vec<Fact>,
}

/// All groups that the report knows something about.
pub(super) fn groups(report: &Report) -> Vec<Group> {
    let mut groups = vec![
        Group { name: "throughput", facts: throughput(&report.counts) },
        Group { name: "writes", facts: writes(&report.counts) },
        Group { name: "sessions", facts: sessions(&report.counts) },
        Group { name: "generator", facts: generator(report) },
    ];
    groups.extend(report.server.as_ref().map(|usage| Group { name: "server", facts: server(usage) }));
    if !report.services.is_empty() {
        groups.push(Group { name: "services", facts: report.services.iter().map(service).collect() });
    }
    groups.extend(report.chaos.as_ref().map(|summary| Group { name: "chaos", facts: chaos(summary) }));
    groups.extend(report.floor.as_ref().map(|comparison| Group { name: "floor", facts: floor(comparison) }));
    groups
}

/// A ratio over the rounds: its median, smallest and largest.
pub(super) fn ratio(ratio: &Ratio) -> String {
    format!("{:.2} × ({:.2}–{:.2})", ratio.ratio, ratio.ratio_min, ratio.ratio_max)
}

fn throughput(counts: &Counts) -> Vec<Fact> {
    vec![
        plain("deliveries/s", rate(counts.deliveries_per_s())),
        plain("publishes/s", rate(counts.publishes_per_s())),
        plain("received", size(counts.bytes_received)),
        plain("sent", size(counts.bytes_sent)),
    ]
}

fn writes(counts: &Counts) -> Vec<Fact> {
    let mut facts = vec![plain("planned", count(counts.planned)), plain("acknowledged", count(counts.acknowledged))];
    if counts.without_event > 0 {
        facts.push(plain("of these without an event", count(counts.without_event)));
    }
    for (label, number) in [("rejected", counts.refused), ("without response", counts.unanswered), ("retried", counts.retried)] {
        if number > 0 {
            facts.push(toned(Tone::Warn, label, count(number)));
        }
    }
    facts
}

fn sessions(counts: &Counts) -> Vec<Fact> {
    let mut facts = vec![plain("opened", count(counts.sessions))];
    if counts.reconnects > 0 {
        facts.push(toned(Tone::Warn, things(counts.reconnects, "reconnect"), count(counts.reconnects)));
    }
    if counts.untimed > 0 {
        facts.push(toned(Tone::Warn, "deliveries too late for the measurement", count(counts.untimed)));
    }
    facts
}

fn generator(report: &Report) -> Vec<Fact> {
    let generator = &report.generator;
    let late = format!("late sends (> {})", exact(generator.late_after_us));
    let tone = if generator.late_sends > 0 { Tone::Warn } else { Tone::Plain };
    vec![
        toned(tone, late, count(generator.late_sends)),
        plain("CPU of its cores", percent(generator.cpu_share)),
        plain(format!("busy (the busiest of {})", many(generator.workers as u64, "thread")), percent(generator.busiest_share)),
        plain("peak resident memory", size(generator.rss_max_bytes)),
    ]
}

fn server(usage: &ServerUsage) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(usage.cpu_us_per_delivery.map(|us| plain("CPU per delivery", micros(us))));
    facts.extend(usage.cpu_us_per_write.map(|us| plain("CPU per write", micros(us))));
    facts.extend(usage.rss_bytes_per_session.map(|bytes| plain("memory per session", super::fmt::bytes(bytes))));
    facts.push(plain("resident before", size(usage.rss_before_bytes)));
    facts.push(plain("idle", size(usage.rss_idle_bytes)));
    facts.push(plain("at the end", size(usage.rss_end_bytes)));
    facts
}

fn service(usage: &ServiceUsage) -> Fact {
    match usage.cpu_us_per_write {
        Some(us) => plain(format!("CPU per write in {}", usage.name), micros(us)),
        None => plain(format!("CPU in {}", usage.name), duration(usage.cpu_us)),
    }
}

fn chaos(summary: &ChaosSummary) -> Vec<Fact> {
    let mut facts = vec![
        plain(things(summary.kills, "kill"), count(summary.kills)),
        plain(things(summary.pauses, "pause"), count(summary.pauses)),
    ];
    let around = [
        (summary.redis_restarts, "restart of Redis", "restarts of Redis"),
        (summary.redis_cuts, "cut from Redis", "cuts from Redis"),
        (summary.postgres_restarts, "restart of PostgreSQL", "restarts of PostgreSQL"),
    ];
    for (number, one, more) in around.into_iter().filter(|(number, ..)| *number > 0) {
        facts.push(plain(if number == 1 { one } else { more }, count(number)));
    }
    if let Some(longest) = summary.downtimes_us.iter().max() {
        facts.push(plain("longest downtime", duration(*longest)));
    }
    facts
}

fn floor(comparison: &FloorComparison) -> Vec<Fact> {
    vec![
        plain(things(comparison.rounds.into(), "round"), comparison.rounds.to_string()),
        plain("CPU per delivery", ratio(&comparison.cpu_us_per_delivery)),
        plain("p50", ratio(&comparison.delivery_p50_us)),
        plain("p99", ratio(&comparison.delivery_p99_us)),
    ]
}

fn plain(label: impl Into<String>, value: String) -> Fact {
    toned(Tone::Plain, label, value)
}

fn toned(tone: Tone, label: impl Into<String>, value: String) -> Fact {
    Fact { label: label.into(), value, tone }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn shown(report: &Report) -> Vec<String> {
        let line = |group: Group| {
            let facts: Vec<_> = group.facts.iter().map(|fact| format!("{} {}", fact.value, fact.label)).collect();
            format!("{}: {}", group.name, facts.join(", "))
        };
        groups(report).into_iter().map(line).collect()
    }

    /// Goal: every figure has its words. Method: a full report's lines, word by word.
    #[test]
    fn a_full_report_has_every_group() {
        assert_eq!(
            shown(&sample::report()),
            [
                "throughput: 149,533 deliveries/s, 150 publishes/s, 1.26 GB received, 612 KB sent",
                "writes: 4,500 planned, 4,498 acknowledged, 12 of these without an event, 2 without response",
                "sessions: 1,060 opened, 2,120 reconnects",
                "generator: 0 late sends (> 1 ms), 43 % CPU of its cores, 61 % busy (the busiest of 1 thread), 85.0 MB peak resident memory",
                "server: 5.94 µs CPU per delivery, 891 µs CPU per write, 3.59 KB memory per session, 9.10 MB resident before, \
                 12.9 MB idle, 24.4 MB at the end",
                "chaos: 2 kills, 1 pause, 312 ms longest downtime",
                "floor: 5 rounds, 1.06 × (0.99–1.19) CPU per delivery, 1.05 × (0.97–1.12) p50, 0.82 × (0.61–1.40) p99",
            ]
        );
    }

    /// Goal: what is not known is not shown. Method: an empty report.
    #[test]
    fn an_empty_report_has_few() {
        let names: Vec<_> = groups(&sample::empty()).iter().map(|group| group.name).collect();
        assert_eq!(names, ["throughput", "writes", "sessions", "generator"]);
    }
}
