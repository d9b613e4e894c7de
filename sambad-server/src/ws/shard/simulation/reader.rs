//! What a reader must see: every matching event after its position, in order, each once, or a resync with a true reason.

use sambad_core::{After, Cursor, Event, Filter, LogBounds, ResyncReason, Seq};

use super::truth::Truth;

/// A reader of any kind, as the promise sees it.
#[derive(Debug)]
pub(super) struct Reader {
    /// Everything that the filter asks for up to here was seen.
    pub(super) position: Seq,
    pub(super) filter: Filter,
}

impl Reader {
    /// Sees an event.
    pub(super) fn sees(&mut self, truth: &Truth, seq: Seq, frame: &[u8]) {
        assert!(seq > self.position, "event {seq} came again, or late: the reader was at {}", self.position);
        let event = truth.event(seq).unwrap_or_else(|| panic!("event {seq} is not stored"));
        assert!(event.matches(&self.filter), "event {seq} was not asked for");
        assert!(event.frame() == frame, "event {seq} is not what is stored");
        self.passes(truth, seq.prev());
        self.position = seq;
    }

    /// Is told, or concludes, that it has seen everything up to `through`.
    pub(super) fn passes(&mut self, truth: &Truth, through: Seq) {
        assert!(through >= self.position, "the reader goes back from {} to {through}", self.position);
        assert!(through <= truth.head(), "{through} lies beyond what is stored");
        if let Some(missed) = self.missing(truth, through) {
            panic!("event {missed} is missing before {through}: the reader was at {}", self.position);
        }
        self.position = through;
    }

    /// The first event up to `through` that it should have seen and has not.
    pub(super) fn missing(&self, truth: &Truth, through: Seq) -> Option<Seq> {
        let mut events = truth.between(self.position, through).iter();
        events.find(|event: &&Event| event.matches(&self.filter)).map(|event| event.seq)
    }

    /// Begins where it asked, at `start`: neither in another life of the log nor beyond what is stored.
    pub(super) fn begins(after: After, start: Seq, stored: LogBounds) {
        let epoch_holds = !matches!(after, After::Cursor(cursor) if cursor.epoch != stored.epoch);
        let asked = seq_of(after);
        // 0 is not a position but the whole stored log.
        let from_the_beginning = after == After::Seq(Seq::ZERO);
        assert!(epoch_holds && asked <= stored.head, "{after} is served, but {stored:?} is stored");
        assert!(from_the_beginning || start == asked, "asked for {after}, served from {start}");
    }

    /// Is told to begin anew at `cursor`; `asked` is where it wanted to begin, and what was stored then, if it has not begun
    /// yet.
    pub(super) fn resyncs(&mut self, stored: LogBounds, reason: ResyncReason, cursor: Cursor, asked: Option<(After, LogBounds)>) {
        let expired = |seq: Seq| seq.next() < stored.first;
        let is_true = match (reason, asked) {
            (ResyncReason::CursorExpired, None) => expired(self.position),
            (ResyncReason::CursorExpired, Some((after, _))) => expired(seq_of(after)),
            (ResyncReason::EpochChanged, Some((After::Cursor(cursor), _))) => cursor.epoch != stored.epoch,
            (ResyncReason::CursorAhead, Some((after, stored_then))) => seq_of(after) > stored_then.head,
            (ResyncReason::EpochChanged | ResyncReason::CursorAhead, _) => false,
        };
        assert!(is_true, "untrue resync: {reason:?} for a reader at {}, asking {asked:?} of {stored:?}", self.position);
        assert!(cursor.epoch == stored.epoch && cursor.seq <= stored.head, "resync to {cursor}, which is not there");
        self.position = cursor.seq;
    }
}

fn seq_of(after: After) -> Seq {
    match after {
        After::Cursor(cursor) => cursor.seq,
        After::Seq(seq) => seq,
    }
}
