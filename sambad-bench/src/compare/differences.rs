//! What makes a comparison unfair or worthless: runs that mean nothing, and what differs besides the target.

use super::Side;
use crate::report::fmt::{count, harmless, rate, seconds};
use crate::report::{Mode, Report, TargetKind, words};

/// Sentences for the reader, the worst first; empty when the sides differ in their targets alone.
pub(super) fn warnings(base: &Side, new: &Side) -> Vec<String> {
    let sides = [base, new];
    let mut warnings: Vec<String> = sides.iter().flat_map(|side| broken(side)).collect();
    for one in &base.runs {
        let same = new.runs.iter().find(|other| other.report == one.report);
        warnings.extend(same.map(|other| format!("{} and {} are the same run", one.name, other.name)));
    }
    for side in sides {
        for (what, values) in [("targets", distinct(side, words::target)), ("builds", distinct(side, words::tool))] {
            if values.len() > 1 {
                warnings.push(format!("{} mixes {what}: {}", side.label, values.join(" and ")));
            }
        }
    }
    for (name, of) in CONDITIONS {
        let [ours, theirs] = sides.map(|side| distinct(side, of));
        if ours != theirs || ours.len() > 1 {
            let (ours, theirs) = (ours.join(" and "), theirs.join(" and "));
            warnings.push(format!("{name} different: {} {ours} · {} {theirs}", base.label, new.label));
        }
    }
    warnings
}

/// What a run says of itself: its name, and why its figures should not be believed.
fn broken(side: &Side) -> impl Iterator<Item = String> {
    side.runs.iter().filter_map(|run| {
        let report = &run.report;
        let reasons: Vec<String> = report.judgement.reasons.iter().map(|reason| harmless(reason)).collect();
        let reasons = reasons.join("; ");
        let failed = report.judgement.exit_code == 3 || !report.audit.is_clean();
        let what = match report.judgement.exit_code {
            _ if failed && reasons.is_empty() => "the audit failed".into(),
            _ if failed => reasons,
            4 if reasons.is_empty() => "the run is invalid".into(),
            4 => format!("the run is invalid: {reasons}"),
            _ if !report.tool.optimised => "measured with a build without optimisation".into(),
            _ => return None,
        };
        Some(format!("{} {}: {what}", side.label, run.name))
    })
}

/// The values that the side's runs have, each once, in the order of the runs.
pub(super) fn distinct(side: &Side, of: fn(&Report) -> String) -> Vec<String> {
    let mut values = Vec::new();
    for run in &side.runs {
        let value = of(&run.report);
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// A condition's name with its verb, and its value in a report.
type Condition = (&'static str, fn(&Report) -> String);

/// What has to be the same in all runs. The seed is not among them: runs should differ in it, or all of them share the luck
/// of one plan. Nor is the dialect, which belongs to the target.
const CONDITIONS: [Condition; 14] = [
    ("the machine is", words::machine),
    ("the mode is", |report| {
        match report.scenario.mode {
            Mode::Open { .. } => "open loop",
            Mode::Closed { .. } => "closed loop",
        }
        .into()
    }),
    ("the load is", |report| match report.scenario.mode {
        Mode::Open { rate: writes, poisson: true } => format!("{} writes/s, random gaps", rate(writes)),
        Mode::Open { rate: writes, poisson: false } => format!("{} writes/s, equal gaps", rate(writes)),
        Mode::Closed { writers } => format!("{} writers", count(writers.into())),
    }),
    ("users are", |report| count(report.scenario.users.into())),
    ("dashboards are", |report| count(report.scenario.dashboards.into())),
    ("slow dashboards are", |report| count(report.scenario.slow_dashboards.into())),
    ("app sessions are", |report| count(report.scenario.app_sessions.into())),
    ("the mix is", |report| harmless(&report.scenario.mix)),
    ("the duration is", |report| seconds(report.scenario.duration_s)),
    ("the warm-up is", |report| seconds(report.scenario.warmup_s)),
    ("the ramp-up is", |report| seconds(report.scenario.ramp_up_s)),
    ("connections are", |report| count(report.scenario.connections.into())),
    ("faults are", |report| report.scenario.chaos.as_deref().map_or_else(|| "none".into(), harmless)),
    ("the server's cores are", |report| {
        let cores: Vec<_> = report.target.cores.iter().map(ToString::to_string).collect();
        match (report.target.kind, cores.is_empty()) {
            (_, false) => cores.join(", "),
            (TargetKind::SelfHosted, true) => "all".into(),
            (TargetKind::Remote, true) => "unknown".into(),
        }
    }),
];

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::*;
    use crate::report::sample;

    fn side(label: &str, reports: [Report; 2]) -> Side {
        let run = |(i, report)| Run { name: format!("{i}.json"), report };
        Side { label: label.into(), runs: reports.into_iter().enumerate().map(run).collect() }
    }

    /// What is warned of when the new side's second run was changed so.
    fn changed(change: impl Fn(&mut Report)) -> Vec<String> {
        let seeded = |seed| {
            let mut report = sample::empty();
            report.scenario.seed = seed;
            report
        };
        let mut new = [seeded(3), seeded(4)];
        change(&mut new[1]);
        warnings(&side("old", [seeded(1), seeded(2)]), &side("new", new))
    }

    /// Goal: what differs is told, and nothing else. Method: one change at a time, and the sentence that it causes.
    #[test]
    fn differences_are_told() {
        type Change = fn(&mut Report);
        assert_eq!(changed(|report| report.scenario.dialect = "broadcast".into()), [""; 0]);
        let mode = changed(|report| report.scenario.mode = Mode::Closed { writers: 8 });
        assert_eq!(mode[0], "the mode is different: old open loop · new open loop and closed loop");
        assert_eq!(mode[1], "the load is different: old 150 writes/s, random gaps · new 150 writes/s, random gaps and 8 writers");
        let cases: [(Change, &str); 6] = [
            (|report| report.scenario.dashboards = 5, "dashboards are different: old 1,000 · new 1,000 and 5"),
            (|report| report.machine.cores = 64, "the machine is different: old 2 cores of AMD EPYC 7B13"),
            (|report| report.scenario.chaos = Some("kill9=5s".into()), "faults are different: old none · new none and kill9=5s"),
            (|report| report.tool.commit = None, "new mixes builds: sambad-bench 0.1.0 (1988042d0c5e) and sambad-bench 0.1.0"),
            (|report| report.judgement.exit_code = 4, "new 1.json: the run is invalid"),
            (|report| report.scenario.seed = 1, "0.json and 1.json are the same run"),
        ];
        for (change, expected) in cases {
            let warnings = changed(change);
            assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{warnings:?}, not {expected}");
        }
    }

    /// Goal: lost events are told whatever the exit code, with reasons that do no harm. Method: counts, a code, an escape.
    #[test]
    fn failed_audits_are_told() {
        assert_eq!(changed(|report| report.audit.lost = 1), ["new 1.json: the audit failed"]);
        let coded = changed(|report| {
            report.judgement.exit_code = 3;
            report.judgement.reasons = vec!["the audit failed: 1 lost".into(), "\u{1b}[2J".into()];
        });
        assert_eq!(coded, ["new 1.json: the audit failed: 1 lost; \\u{1b}[2J"]);
    }
}
