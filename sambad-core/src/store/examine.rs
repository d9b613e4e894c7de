//! What an examination says of what it read, whatever the database.

use std::time::Duration;

use crate::check::{CLOCK, COUNTERS, Finding};
use crate::clock::AHEAD_MAX;
use crate::cursor::LogBounds;
use crate::store::admission::AuditState;
use crate::time::{Day, Timestamp};

/// Days with wrong counters, told one by one.
const TOLD_DAYS_MAX: usize = 5;

const REPAIR: &str = "Stop all servers and run `sambad-server check --repair`: it recounts the rows.";

const RESET: &str = "Correct the clock first. Then stop all servers and run `sambad-server check --repair`: it resets the \
    log's last timestamp to the current time. Later events may then have earlier timestamps than the events before them.";

/// What the log says of itself.
pub(super) struct Extent {
    pub(super) bounds: LogBounds,
    /// Stored events, and the lowest and highest seq among them; of none, as if the head had just been trimmed.
    pub(super) count: u64,
    pub(super) lowest: u64,
    pub(super) last: u64,
}

impl Extent {
    pub(super) fn is_trimmed(&self) -> bool {
        self.bounds.first.0 > 1
    }

    /// The seq from which on rows must have their event: those of before may have lost theirs to trimming.
    pub(super) fn since(&self) -> i64 {
        if self.is_trimmed() { self.bounds.first.0.cast_signed() } else { i64::MIN }
    }

    /// Whether as many events are stored as there are seqs.
    pub(super) fn is_dense(&self) -> bool {
        self.count == (self.last + 1).saturating_sub(self.lowest)
    }
}

/// One day's counters as they are stored, and as they should be.
pub(super) struct DayCounters {
    pub(super) day: i64,
    pub(super) stored: [i64; 4],
    pub(super) truth: [i64; 4],
}

/// Names of a day's counters, in their order.
const DAY_COUNTERS: [&str; 4] = ["users", "contacts", "messages", "last active"];

pub(super) fn schema(stored: i64, known: i64) -> Finding {
    let subject = "schema is current";
    match stored.cmp(&known) {
        std::cmp::Ordering::Equal => Finding::fine(subject, format!("migration {stored}")),
        std::cmp::Ordering::Less => {
            let detail = format!("migration {stored}; this version knows {known}");
            Finding::warning(subject, detail, "The next start of this version updates the schema. Check it again after that.")
        }
        std::cmp::Ordering::Greater => {
            let detail = format!("migration {stored}; this version knows only {known}");
            Finding::fault(subject, detail, "Use the version of Sambad that wrote it, or a newer one.")
        }
    }
}

pub(super) fn audit(AuditState { faults, entries, pending }: AuditState) -> Finding {
    let advice = "Another program changed the database: compare the entries with the server's logs, which have the hash of \
        each entry.";
    let pending = if pending > 0 { format!("; {pending} repetitions are counted for later entries") } else { String::new() };
    Finding::unless("audit chain holds", faults, format!("{entries} entries, none changed or missing{pending}"), advice)
}

/// `first_hole` is asked for where the log is not dense.
pub(super) fn dense(extent: &Extent, first_hole: Option<i64>, advice: &'static str) -> Finding {
    let Extent { bounds, count, lowest, last } = extent;
    let (first, head) = (bounds.first, bounds.head);
    let mut faults = Vec::new();
    if *last != head.0 {
        faults.push(format!("the head is {head}, the last event {last}"));
    }
    if *lowest != first.0 {
        faults.push(format!("the log begins with {first}, the first event is {lowest}"));
    }
    if !extent.is_dense() {
        faults.push(format!("{count} events from {lowest} to {last}: {} is missing", first_hole.unwrap_or_default()));
    }
    let fine = format!("{count} events, {first} to {head}, none missing; epoch {}", bounds.epoch);
    Finding::unless("log is dense", faults, fine, advice)
}

/// Events that are older than the one before.
pub(super) struct Backwards {
    pub(super) count: i64,
    /// The first of them.
    pub(super) first: i64,
    /// By how much at most, in microseconds.
    pub(super) most_us: i64,
}

/// Whatever is found, the order of the log is that of seq. Where `several` servers may write, a batch that was stamped first may be
/// stored second.
pub(super) fn time(found: &Backwards, several: bool) -> Finding {
    const SUBJECT: &str = "time runs forward";
    if found.count == 0 {
        return Finding::fine(SUBJECT, "no event is older than the one before it");
    }
    let most = Duration::from_micros(found.most_us.unsigned_abs());
    let detail = format!("{} events are older than the one before, from {} on, by {most:?} at most", found.count, found.first);
    if several {
        return Finding::fine(SUBJECT, format!("{detail}: batches of several servers overlap, and the order is that of seq"));
    }
    let advice = "No event is lost, and the order is that of seq. This is normal only for a log that was copied from \
        PostgreSQL.";
    Finding::warning(SUBJECT, detail, advice)
}

/// The log's last instant beside the clock's: events get the later of the two.
pub(super) fn clock(last_at: Timestamp, now: Timestamp) -> Finding {
    let ahead = last_at.since(now);
    if ahead <= AHEAD_MAX {
        return Finding::fine(CLOCK, format!("the last event has the timestamp {last_at}"));
    }
    let detail = format!("the log's last timestamp is {last_at}, {} s ahead of the clock: all events get it", ahead.as_secs());
    Finding::fault(CLOCK, detail, RESET)
}

/// What one side says and the other does not show, each with how many there are.
pub(super) fn rows_and_events(found: &[(&str, i64)], extent: &Extent, advice: &'static str) -> Finding {
    let faults = found.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    let fine = if extent.is_trimmed() {
        "each event has its row and each row its event, since the first stored event"
    } else {
        "each \
        event has its row and each row its event"
    };
    Finding::unless("rows = events", faults, fine, advice)
}

/// Totals, each as it is stored and as it should be, and the days that are wrong.
pub(super) fn counters(totals: &[(String, i64, i64)], wrong_days: &[DayCounters]) -> Finding {
    let wrong = totals.iter().filter(|(_, stored, truth)| stored != truth);
    let mut faults: Vec<String> =
        wrong.map(|(name, stored, truth)| format!("{name} is {stored}, but there are {truth}")).collect();
    for DayCounters { day, stored, truth } in wrong_days.iter().take(TOLD_DAYS_MAX) {
        let day = Day::from_number(*day);
        for ((name, stored), truth) in DAY_COUNTERS.into_iter().zip(stored).zip(truth) {
            faults.extend((stored != truth).then(|| format!("{day}: {name} is {stored}, but there are {truth}")));
        }
    }
    Finding::unless(COUNTERS, faults, "totals and days", REPAIR)
}
