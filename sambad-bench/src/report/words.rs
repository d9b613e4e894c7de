//! What a report says in words: shared by the terminal's table and the page.

use super::fmt::{count, harmless, many, rate, seconds, size};
use super::latency_kind::LatencyKind;
use super::model::{Latency, Mode, Report, TargetKind};

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Neither good nor bad.
    Plain,
    /// As it should be.
    Good,
    /// Deserves a look.
    Warn,
    /// Broken.
    Bad,
}

/// The judgement in words.
#[derive(Debug)]
pub(super) struct Verdict {
    /// How bad it is.
    pub(super) tone: Tone,
    /// One or two words.
    pub(super) word: &'static str,
    /// What they stand for.
    pub(super) sentence: String,
}

/// What the exit code, the audit and the objectives come to.
pub(super) fn verdict(report: &Report) -> Verdict {
    let (tone, word) = match report.judgement.exit_code {
        0 => (Tone::Good, "ok"),
        1 => (Tone::Warn, "missed"),
        3 => (Tone::Bad, "audit failed"),
        4 => (Tone::Bad, "invalid"),
        _ => (Tone::Bad, "failed"),
    };
    let met = report.objectives.iter().filter(|objective| objective.met).count();
    let mut parts = vec![delivered(report)];
    if report.judgement.exit_code == 4 {
        parts.insert(0, "the figures are not valid".into());
    }
    if !report.objectives.is_empty() {
        parts.push(format!("{met} of {} met", many(report.objectives.len() as u64, "objective")));
    }
    Verdict { tone, word, sentence: parts.join("; ") }
}

fn delivered(report: &Report) -> String {
    let audit = &report.audit;
    if !audit.is_clean() {
        "not every event arrived once and in order".into()
    } else if audit.checked == 0 {
        "there were no deliveries to check".into()
    } else {
        format!("all of {} arrived once and in order", many(audit.checked, "delivery"))
    }
}

/// The run in a few words, for a title.
pub(super) fn title(report: &Report) -> String {
    let scenario = &report.scenario;
    let load = match scenario.mode {
        Mode::Open { rate: writes, .. } => format!("{} writes/s", rate(writes)),
        Mode::Closed { writers } => many(writers.into(), "writer"),
    };
    let listeners: Vec<_> = [(scenario.dashboards, "dashboard"), (scenario.app_sessions, "app session")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, thing)| many(number.into(), thing))
        .take(1)
        .collect();
    if listeners.is_empty() { load } else { format!("{load} to {}", listeners.join(" and ")) }
}

/// The scenario in one sentence.
pub(crate) fn scenario(report: &Report) -> String {
    let scenario = &report.scenario;
    let load = match scenario.mode {
        Mode::Open { rate: writes, poisson: true } => format!("{} writes/s (open loop, random gaps)", rate(writes)),
        Mode::Open { rate: writes, poisson: false } => format!("{} writes/s (open loop, equal gaps)", rate(writes)),
        Mode::Closed { writers } => format!("{} (closed loop)", many(writers.into(), "writer")),
    };
    let users = many(scenario.users.into(), "user");
    let sessions = [
        (scenario.dashboards, "dashboard"),
        (scenario.slow_dashboards, "slow dashboard"),
        (scenario.app_sessions, "app session"),
    ];
    let sessions: Vec<_> =
        sessions.into_iter().filter(|(number, _)| *number > 0).map(|(number, thing)| many(number.into(), thing)).collect();
    let to = if sessions.is_empty() { String::new() } else { format!(" to {}", list(&sessions)) };
    let chaos = scenario.chaos.as_deref().map_or_else(String::new, |chaos| format!(", with {}", harmless(chaos)));
    format!("{load} by {users}{to}, for {}{chaos}", seconds(scenario.duration_s))
}

/// What was measured, and where it ran.
pub(crate) fn target(report: &Report) -> String {
    let target = &report.target;
    let name = harmless(if target.description.is_empty() { &target.url } else { &target.description });
    let cores: Vec<_> = target.cores.iter().map(ToString::to_string).collect();
    match (target.kind, cores.len()) {
        (TargetKind::SelfHosted, 0) => format!("{name}, started for this run"),
        (TargetKind::SelfHosted, 1) => format!("{name}, started for this run on core {}", cores[0]),
        (TargetKind::SelfHosted, _) => format!("{name}, started for this run on cores {}", cores.join(", ")),
        (TargetKind::Remote, _) if target.description.is_empty() => name,
        (TargetKind::Remote, _) => format!("{name} at {}", harmless(&target.url)),
    }
}

/// The load generator's machine.
pub(crate) fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let cores = many(machine.cores as u64, "core");
    format!("{cores} of {}, {}, {}", harmless(&machine.processor), size(machine.memory_bytes), harmless(&machine.system))
}

/// What measured.
pub(crate) fn tool(report: &Report) -> String {
    let tool = &report.tool;
    let commit = tool.commit.as_deref().map_or_else(String::new, |commit| {
        let (hash, dirty) = commit.strip_suffix("-dirty").map_or((commit, ""), |hash| (hash, "-dirty"));
        format!(" ({}{dirty})", harmless(&hash.chars().take(12).collect::<String>()))
    });
    let unoptimised = if tool.optimised { "" } else { ", not optimised" };
    format!("sambad-bench {}{commit}{unoptimised}", harmless(&tool.version))
}

/// What tells response time from service time, if the report has both.
pub(super) fn two_times(report: &Report) -> Option<&'static str> {
    let both = |whole, part| report.latency(whole).is_some() && report.latency(part).is_some();
    let shown = both(LatencyKind::Delivery, LatencyKind::DeliveryService) || both(LatencyKind::Response, LatencyKind::Service);
    shown.then_some(match report.scenario.mode {
        Mode::Open { .. } => {
            "Response time starts at a write's planned time. Service time starts at the actual send, and so hides the wait \
             before it."
        }
        Mode::Closed { .. } => {
            "In a closed loop, writers wait for responses, so a stall also slows the load: response and service time look better \
             than under a planned load."
        }
    })
}

/// The latency that stands for the run: to the dashboards, else to the app sessions, else to the acknowledgement.
pub(super) fn headline(report: &Report) -> Option<&Latency> {
    [LatencyKind::Delivery, LatencyKind::AppDelivery, LatencyKind::Response].into_iter().find_map(|kind| report.latency(kind))
}

/// The kind with its words, also where it stands alone.
pub(super) const fn alone(kind: LatencyKind) -> &'static str {
    match kind {
        LatencyKind::DeliveryService => "write → dashboard, service time",
        LatencyKind::Service => "write → acknowledgement, service time",
        _ => kind.label(),
    }
}

/// The four counts of the audit, each with what it means.
pub(crate) fn audit(report: &Report) -> [(&'static str, u64, &'static str); 4] {
    let audit = &report.audit;
    [
        ("lost", audit.lost, "a session did not receive an event that it should have received"),
        ("duplicate", audit.duplicate, "a session received the event again"),
        ("reordered", audit.reordered, "a session received the event after one with a higher seq"),
        (
            "unexplained",
            audit.unexplained,
            "no operation caused the event, or it differs from the operation or from another session's copy",
        ),
    ]
}

/// What else the audit counted, which is no fault.
pub(super) fn audit_asides(report: &Report) -> Vec<String> {
    let audit = &report.audit;
    let mut asides = vec![format!("{} checked", count(audit.checked))];
    if audit.foreign > 0 {
        asides.push(format!("{} of other clients, not audited", count(audit.foreign)));
    }
    if audit.unanswered_arrived > 0 {
        asides.push(format!("{} without a response arrived nevertheless", many(audit.unanswered_arrived, "write")));
    }
    asides
}

fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// Goal: a scenario reads as a sentence. Method: open and closed loop, with and without sessions.
    #[test]
    fn scenarios_in_words() {
        let mut report = sample::empty();
        assert_eq!(title(&report), "150 writes/s to 1,000 dashboards");
        assert_eq!(
            scenario(&report),
            "150 writes/s (open loop, random gaps) by 200 users to 1,000 dashboards, 10 slow dashboards and 50 app sessions, \
             for 30 s"
        );
        report.scenario.mode = Mode::Closed { writers: 1 };
        (report.scenario.dashboards, report.scenario.slow_dashboards, report.scenario.app_sessions) = (0, 0, 0);
        report.scenario.chaos = Some("kill9=5s".into());
        assert_eq!(title(&report), "1 writer");
        assert_eq!(scenario(&report), "1 writer (closed loop) by 200 users, for 30 s, with kill9=5s");
    }

    /// Goal: no verdict sounds better than the run was. Method: each exit code, and an audit with faults.
    #[test]
    fn verdicts() {
        let mut report = sample::report();
        let expected = "all of 5,250,000 deliveries arrived once and in order; 1 of 2 objectives met";
        assert_eq!(verdict(&report).sentence, expected);
        for (code, word) in [(0, "ok"), (1, "missed"), (3, "audit failed"), (4, "invalid"), (9, "failed")] {
            report.judgement.exit_code = code;
            assert_eq!(verdict(&report).word, word);
            assert_eq!(verdict(&report).tone == Tone::Good, code == 0);
        }
        report.audit.lost = 1;
        assert!(verdict(&report).sentence.starts_with("not every event"));
        report.judgement.exit_code = 4;
        assert!(verdict(&report).sentence.starts_with("the figures are not valid"));
        assert_eq!(verdict(&sample::empty()).sentence, "there were no deliveries to check");
    }
}
