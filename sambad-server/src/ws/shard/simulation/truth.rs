//! What is true: every event that was ever stored, and what writers were told. All else is compared with this.

use std::collections::BTreeSet;

use sambad_core::simulation::SimulatedStore;
use sambad_core::{Event, EventKind, LogBounds, Outcome, Receipt, Seq, UserId};

/// What a writer wanted and what it was told.
#[derive(Debug)]
struct Operation {
    /// A retry of it is safe: it has one effect at most.
    keyed: bool,
    /// It must be refused whenever it is carried out.
    bad: bool,
    /// Attempts of which nothing is known, or not yet.
    open: usize,
    /// First answers: each an effect of its own.
    acknowledged: Vec<Seq>,
    /// Answers given again.
    replayed: Vec<Seq>,
    stored: Vec<Seq>,
}

/// An answer to an attempt.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// Acknowledged, when the log's announced head was this.
    Receipt(&'a Receipt, Seq),
    /// Nothing was stored.
    Refused,
    /// It may have been stored.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    events: Vec<Event>,
    operations: Vec<Operation>,
    linked: BTreeSet<(UserId, UserId)>,
    announced: Option<LogBounds>,
}

impl Truth {
    pub(super) fn head(&self) -> Seq {
        Seq(self.events.len() as u64)
    }

    pub(super) fn event(&self, seq: Seq) -> Option<&Event> {
        self.events.get(usize::try_from(seq.0.checked_sub(1)?).ok()?)
    }

    /// The events after `after` up to `through`.
    pub(super) fn between(&self, after: Seq, through: Seq) -> &[Event] {
        let index = |seq: Seq| usize::try_from(seq.0).unwrap().min(self.events.len());
        self.events.get(index(after)..index(through)).unwrap_or_default()
    }

    /// Begins an operation and gives its number, by which its event is found again.
    pub(super) fn begin(&mut self, keyed: bool, bad: bool) -> usize {
        let operation = Operation { keyed, bad, open: 0, acknowledged: Vec::new(), replayed: Vec::new(), stored: Vec::new() };
        self.operations.push(operation);
        self.operations.len() - 1
    }

    pub(super) fn attempted(&mut self, number: usize) {
        self.operations[number].open += 1;
    }

    /// Takes note of an answer; of one that is unknown nothing is known for good.
    pub(super) fn answered(&mut self, number: usize, answer: &Answer<'_>) {
        let known = self.events.len() as u64;
        let operation = &mut self.operations[number];
        match answer {
            Answer::Unknown => {}
            Answer::Refused => operation.open -= 1,
            Answer::Receipt(receipt, announced) => {
                operation.open -= 1;
                let seq = receipt.seq.unwrap_or(receipt.cursor.seq);
                assert!(!operation.bad, "operation {number} should have been refused");
                assert!(seq.0 <= known, "operation {number} acknowledged as {seq}, stored up to {known}");
                assert!(seq <= *announced, "operation {number} acknowledged as {seq}, announced up to {announced}");
                let Some(seq) = receipt.seq else { return };
                if let Some(kind) = kind_of_contact(&receipt.outcome) {
                    // Its event names no operation: it is held against the pairs that are linked.
                    assert_eq!(self.event(seq).map(|event| event.kind), Some(kind));
                    return;
                }
                let operation = &mut self.operations[number];
                if receipt.replayed { &mut operation.replayed } else { &mut operation.acknowledged }.push(seq);
            }
        }
    }

    /// After each step: what the store has gained continues the log, and no more than that is announced.
    pub(super) fn check(&mut self, store: &SimulatedStore, announced: LogBounds) {
        let stored = store.bounds();
        if stored.head > self.head() {
            for event in store.ever_stored_after(self.head()) {
                self.stored(event);
            }
            assert_eq!(stored.head, self.head(), "the store's head is its last event");
        }
        assert_eq!(announced.epoch, stored.epoch);
        assert!(announced.head <= stored.head, "{} is announced, {} stored", announced.head, stored.head);
        assert!(announced.first <= stored.first, "trimming is announced before it is done");
        if let Some(before) = self.announced.replace(announced) {
            assert!(before.head <= announced.head && before.first <= announced.first, "the log goes backwards");
        }
    }

    fn stored(&mut self, event: Event) {
        assert_eq!(event.seq, self.head().next(), "the log has a hole");
        let pair = event.involved.other.map(|other| (event.involved.user, other));
        match (event.kind, pair) {
            (EventKind::ContactAdded, Some(pair)) => assert!(self.linked.insert(pair), "{} links a pair twice", event.seq),
            (EventKind::ContactRemoved, Some(pair)) => assert!(self.linked.remove(&pair), "{} removes nothing", event.seq),
            _ => {}
        }
        if let Some(number) = operation_of(&event) {
            let operation = &mut self.operations[number];
            operation.stored.push(event.seq);
            let most = if operation.keyed { 1 } else { operation.open + operation.acknowledged.len() };
            let count = operation.stored.len();
            assert!(count <= most && !operation.bad, "operation {number} has {count} events, {most} at most");
        }
        self.events.push(event);
    }

    /// At the end: everything acknowledged is there, once; nothing is there that was refused.
    pub(super) fn check_operations(&self) {
        for (number, operation) in self.operations.iter().enumerate() {
            let Operation { keyed, open, acknowledged, replayed, stored, .. } = operation;
            assert!(acknowledged.iter().all(|seq| stored.contains(seq)), "operation {number} is lost: {operation:?}");
            assert!(stored.len() <= acknowledged.len() + open, "operation {number} has an event too many: {operation:?}");
            assert!(replayed.iter().all(|seq| stored.contains(seq)), "operation {number} is lost: {operation:?}");
            assert!(!keyed || stored.len() <= 1, "operation {number} took effect twice: {operation:?}");
        }
    }

    /// How many events of a kind were ever stored.
    pub(super) fn count(&self, kind: EventKind) -> usize {
        self.events.iter().filter(|event| event.kind == kind).count()
    }
}

fn kind_of_contact(outcome: &Outcome) -> Option<EventKind> {
    match outcome {
        Outcome::ContactAdded { .. } => Some(EventKind::ContactAdded),
        Outcome::ContactRemoved { .. } => Some(EventKind::ContactRemoved),
        Outcome::LoggedIn { .. } | Outcome::MessageSent { .. } => None,
    }
}

/// The operation whose number stands in the event: in a message's text, in a new user's phone.
fn operation_of(event: &Event) -> Option<usize> {
    let mark = match event.kind {
        EventKind::MessageSent => MESSAGE_MARK,
        EventKind::UserCreated => PHONE_MARK,
        EventKind::ContactAdded | EventKind::ContactRemoved => return None,
    };
    let json = event.json();
    let text = std::str::from_utf8(&json).unwrap();
    let digits = &text[text.find(mark)? + mark.len()..];
    digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// Stands before the operation's number in a message.
pub(super) const MESSAGE_MARK: &str = "operation ";
/// Stands before the operation's number in a new user's phone.
pub(super) const PHONE_MARK: &str = "+9177";
