//! Whether a run says anything, and whether it is good: from the figures alone.

use crate::exit::Exit;
use crate::report::{Judgement, LatencyKind, Report};

/// Late sends that a run may have, as a share of all: below it the 99th percentile is the server's.
const LATE_SHARE_MAX: f64 = 0.01;
/// Late sends that a run may have in any case: of few operations, one is a large share.
const LATE_SENDS_MAX: u64 = 3;
/// ... or else its 99th percentile is at most one of so many parts of the latency that it went into.
const LATENESS_PARTS: u64 = 5;
/// How busy a thread of the generator may be: above it, arrivals wait in the generator and count as the server's latency.
const BUSY_SHARE_MAX: f64 = 0.95;
/// Writes that the server may refuse or leave without an answer, as a share of all: beyond it, the latencies of the rest
/// tell of another load than the one asked for.
const FAILED_SHARE_MAX: f64 = 0.1;

/// Judges a report whose other parts are complete. An audit that failed outweighs everything else; a run in which the
/// generator was the limit says nothing about objectives.
pub(crate) fn judge(report: &Report) -> Judgement {
    let mut reasons = Vec::new();
    let mut remarks = Vec::new();
    let audit = &report.audit;
    let mut exit = Exit::Fine;
    if !audit.is_clean() {
        exit = Exit::AuditFailed;
        let counts = [
            (audit.lost, "lost"),
            (audit.duplicate, "duplicate"),
            (audit.reordered, "reordered"),
            (audit.unexplained, "unexplained"),
        ];
        let found: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        reasons.push(format!("the audit failed: {}", found.join(", ")));
    }
    let invalid: Vec<String> = generator_limits(report).into_iter().chain(target_limits(report)).collect();
    if exit == Exit::Fine && !invalid.is_empty() {
        exit = Exit::Invalid;
    }
    reasons.extend(invalid);
    let missed: Vec<&str> =
        report.objectives.iter().filter(|objective| !objective.met).map(|objective| &*objective.text).collect();
    if !missed.is_empty() {
        if exit == Exit::Fine {
            exit = Exit::Missed;
        }
        reasons.push(format!("missed: {}", missed.join(", ")));
    }
    remark(report, &mut remarks);
    Judgement { exit_code: exit as u8, reasons, remarks }
}

/// Why the figures are the generator's, and not the target's.
pub(crate) fn generator_limits(report: &Report) -> Vec<String> {
    let (counts, generator) = (&report.counts, &report.generator);
    let mut limits = Vec::new();
    let late = share(generator.late_sends, counts.planned);
    let p99 = |kind| report.latency(kind).map_or(0, |latency| latency.summary.p99_us);
    let lateness = p99(LatencyKind::Lateness);
    let headline = p99(LatencyKind::Delivery).max(p99(LatencyKind::Response));
    if generator.late_sends > LATE_SENDS_MAX && late > LATE_SHARE_MAX && lateness * LATENESS_PARTS > headline {
        limits.push(format!(
            "the generator fell behind: {:.1} % of requests left more than {} ms late (p99 {:.1} ms); lower the load, or give the generator more cores",
            late * 100.0,
            generator.late_after_us / 1000,
            to_f64(lateness) / 1000.0
        ));
    }
    if generator.busiest_share > BUSY_SHARE_MAX {
        let busy = generator.busiest_share * 100.0;
        limits.push(format!(
            "the generator was busy: one of its threads for {busy:.0} % of the time; the latencies may be its own"
        ));
    }
    limits
}

/// Why the figures do not speak for the load that was asked for.
fn target_limits(report: &Report) -> Vec<String> {
    let counts = &report.counts;
    let mut limits = Vec::new();
    if counts.acknowledged == 0 {
        limits.push("no write was acknowledged".to_owned());
    }
    let failed = share(counts.refused + counts.unanswered, counts.planned);
    if failed > FAILED_SHARE_MAX {
        limits.push(format!("{:.0} % of the writes failed: the latencies cover only the others", failed * 100.0));
    }
    limits
}

/// What a reader should know all the same.
fn remark(report: &Report, remarks: &mut Vec<String>) {
    let counts = &report.counts;
    if !report.tool.optimised {
        remarks.push("built without optimisation: the figures are not valid; use cargo run --release".to_owned());
    }
    if counts.refused > 0 {
        let first = counts.first_refusal.as_deref().unwrap_or("no reason given");
        remarks.push(format!("{} writes were rejected, the first with {first}", counts.refused));
    }
    if counts.unanswered > 0 {
        let arrived = report.audit.unanswered_arrived;
        remarks.push(format!(
            "writes without a response: {}; events of these that arrived nevertheless: {arrived} (warm-up included)",
            counts.unanswered
        ));
    }
    if counts.without_event > 0 {
        remarks.push(format!("{} writes changed nothing and caused no event", counts.without_event));
    }
    if counts.untimed > 0 {
        remarks.push(format!("{} deliveries arrived too late for the measurement; the audit counts them", counts.untimed));
    }
    if report.chaos.as_ref().is_some_and(|chaos| chaos.faults() == 0) {
        remarks.push("no fault was injected: the run was too short".to_owned());
    }
    if counts.sessions == 0 {
        remarks.push("there were no sessions: deliveries were not audited".to_owned());
    }
    if report.audit.foreign > 0 {
        remarks.push(format!("{} events of other clients arrived and were not audited", report.audit.foreign));
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { to_f64(part) / to_f64(whole) }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Objective, sample};

    /// Goal: the exit code says the most important thing. Method: a good report, spoiled in one way after another.
    #[test]
    fn the_worst_decides() {
        let mut report = sample::report();
        report.audit = crate::report::Audit { checked: 5, ..Default::default() };
        report.objectives.clear();
        report.generator.busiest_share = 0.5;
        report.generator.late_sends = 0;
        assert_eq!(judge(&report).exit_code, 0, "{:?}", judge(&report));
        report.objectives.push(Objective { text: "p99<1ms".to_owned(), measured: "2 ms".to_owned(), met: false });
        assert_eq!(judge(&report).exit_code, 1);
        // Late sends, but each by less than would show in the latencies: then by as much as they are.
        report.generator.late_sends = report.counts.planned / 50;
        let with_lateness = |report: &mut Report, us: u64| {
            report.latencies.retain(|latency| latency.kind != LatencyKind::Lateness);
            report.latencies.push(sample::latency(LatencyKind::Lateness, [us; 100]));
        };
        let delivery = report.latency(LatencyKind::Delivery).unwrap().summary.p99_us;
        with_lateness(&mut report, delivery / 20);
        assert_eq!(judge(&report).exit_code, 1);
        with_lateness(&mut report, delivery);
        let judgement = judge(&report);
        assert_eq!(judgement.exit_code, 4);
        assert!(judgement.reasons[0].contains("fell behind"), "{judgement:?}");
        report.counts.unanswered = report.counts.planned / 5;
        assert!(judge(&report).reasons[1].contains("20 % of the writes failed"), "{:?}", judge(&report));
        report.counts.unanswered = 0;
        report.audit.duplicate = 1;
        let judgement = judge(&report);
        assert_eq!(judgement.exit_code, 3);
        assert!(judgement.reasons[0].contains("1 duplicate") && judgement.reasons.len() == 3, "{judgement:?}");
    }
}
