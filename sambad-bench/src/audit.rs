//! The rules by which a run is audited; where they are applied is up to writers and watchers.
//!
//! Every acknowledged write must arrive at every session that should see it, once, in the order of the log. A refused one
//! must not arrive; one without an answer may, once.
//!
//! Dashboards are judged by seq alone: an unfiltered stream is dense, so that what is missing, repeated or late shows in
//! the numbers, however many sessions and events there are (see `watcher`). Here is what numbers cannot show: whether the
//! events are those that were asked for, and whether the filtered streams of app sessions got theirs.

use crate::load::ledger::{Entry, state};
use crate::load::plan::Shared;
use crate::load::recorder::Tally;
use crate::load::workload::OpId;

/// Judges an operation that leaves the ledger, or is still there at the end: nothing more will become of it.
pub(crate) fn settle(shared: &Shared, entry: Entry, tally: &mut Tally) {
    if !entry.is_owed() {
        return;
    }
    let plan = &shared.plan;
    let name = named(entry);
    let dashboards = u64::from(plan.dashboards + plan.slow_dashboards);
    if !entry.has(state::SEEN) && dashboards > 0 {
        // With a log, each session that lacks it shows a hole; but where the seq was given away again, as by a server that
        // forgot a commit in a crash, the hole is filled by another's event.
        if !plan.dialect.has_log() {
            tally.audit.lost += dashboards;
            tally.finding(|| format!("lost: {name} was acknowledged, but reached no dashboard"));
        } else if entry.seq.is_some_and(|seq| shared.ledger.is_seen(seq)) {
            tally.audit.lost += dashboards;
            tally.finding(|| {
                format!("lost: {name} was acknowledged for operation {}, but arrived as the event of another operation", entry.k)
            });
        }
    }
    for (place, user) in shared.workload.op(entry.k).involved().into_iter().enumerate() {
        let Some(user) = user.filter(|user| *user < u64::from(plan.app_sessions)) else { continue };
        if !entry.has(state::AT_APP << place) {
            tally.audit.lost += 1;
            tally.finding(|| format!("lost: {name} never reached app session {user}"));
        }
    }
}

/// Judges everything that is still in the ledger.
pub(crate) fn settle_rest(shared: &Shared, tally: &mut Tally) {
    for entry in shared.ledger.entries() {
        settle(shared, entry, tally);
    }
}

/// Whether some session still waits for this operation's event.
pub(crate) fn is_outstanding(shared: &Shared, entry: Entry) -> bool {
    let mut tally = Tally::default();
    settle(shared, entry, &mut tally);
    tally.audit.lost > 0
}

/// Notes a refusal; its event may have been seen before the answer was.
pub(crate) fn refused(shared: &Shared, k: OpId, tally: &mut Tally) {
    let before = shared.ledger.mark(k, state::REFUSED).unwrap_or_default();
    if before & state::SEEN != 0 {
        refused_arrived(k, tally);
    }
}

/// A write was acknowledged and, says its answer, changed nothing; but every operation is new.
pub(crate) fn no_event(k: OpId, tally: &mut Tally) {
    tally.audit.unexplained += 1;
    tally.finding(|| format!("unexplained: operation {k} was acknowledged without an event"));
}

/// A refused write's event arrived.
pub(crate) fn refused_arrived(k: OpId, tally: &mut Tally) {
    tally.audit.unexplained += 1;
    tally.finding(|| format!("unexplained: operation {k} was rejected, but its event arrived"));
}

/// An operation was acknowledged as one seq and arrived as another.
pub(crate) fn disagreement(k: OpId, acknowledged: u64, seen: u64, tally: &mut Tally) {
    tally.audit.unexplained += 1;
    tally.finding(|| format!("unexplained: operation {k} was acknowledged as seq {acknowledged}, but its event has seq {seen}"));
}

fn named(entry: Entry) -> String {
    entry.seq.map_or_else(|| format!("operation {}", entry.k), |seq| format!("seq {seq}"))
}
