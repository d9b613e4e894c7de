//! What became of each operation: written by the writers, read and completed by the watchers.
//!
//! A ring of the latest operations, so that memory stays the same however long a run is. Every field is an atomic of its
//! own: a writer owns an operation until it is sent, later each field has one that sets it. A slot's `tag` is written
//! last (release) and read first (acquire), so that whoever sees an operation's tag sees its fields.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::workload::OpId;

/// Facts about an operation, as bits.
pub(crate) mod state {
    /// Acknowledged by a 2xx.
    pub(crate) const ACKNOWLEDGED: u8 = 1;
    /// Acknowledged, and caused no event.
    pub(crate) const WITHOUT_EVENT: u8 = 1 << 1;
    /// Refused: it must not arrive.
    pub(crate) const REFUSED: u8 = 1 << 2;
    /// Sent, and no answer came: it may arrive.
    pub(crate) const UNANSWERED: u8 = 1 << 3;
    /// Its event was seen.
    pub(crate) const SEEN: u8 = 1 << 4;
    /// The acting user's app session got it; shifted by one: the other user's.
    pub(crate) const AT_APP: u8 = 1 << 5;
}

/// No seq is known yet; seq 0 is no event's.
const UNKNOWN: u64 = 0;

#[derive(Debug, Default)]
struct Slot {
    /// The operation's number + 1; 0 before the first.
    tag: AtomicU64,
    intended_ns: AtomicU64,
    sent_ns: AtomicU64,
    acknowledged_ns: AtomicU64,
    seq: AtomicU64,
    /// Hash of the event's text: every session must get the same bytes, whichever thread it belongs to.
    text: AtomicU64,
    state: AtomicU8,
}

/// What is known of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) k: OpId,
    pub(crate) intended_ns: u64,
    pub(crate) sent_ns: u64,
    pub(crate) seq: Option<u64>,
    pub(crate) state: u8,
}

impl Entry {
    pub(crate) fn has(&self, bit: u8) -> bool {
        self.state & bit != 0
    }

    /// Whether it must reach those who listen: acknowledged, with an event.
    pub(crate) fn is_owed(&self) -> bool {
        self.state & (state::ACKNOWLEDGED | state::WITHOUT_EVENT) == state::ACKNOWLEDGED
    }
}

/// The latest operations.
#[derive(Debug)]
pub(crate) struct Ledger {
    slots: Box<[Slot]>,
    /// The latest seqs at which operations were seen, each at its place in a ring.
    seen: Box<[AtomicU64]>,
    /// Highest seq that was acknowledged or seen.
    head: AtomicU64,
}

impl Ledger {
    /// Remembers at least `operations`, within bounds that keep it between 3 and 50 MB.
    pub(crate) fn new(operations: u64) -> Self {
        let slots = operations.clamp(1 << 16, 1 << 20).next_power_of_two();
        // Others write as well: twice as many seqs, so that those of the operations in the other ring are still there.
        let seen = (0..2 * slots).map(|_| AtomicU64::new(UNKNOWN)).collect();
        Self { slots: (0..slots).map(|_| Slot::default()).collect(), seen, head: AtomicU64::new(0) }
    }

    #[cfg(test)]
    fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Begins operation `k` and gives back the one that leaves the ring for it.
    pub(crate) fn begin(&self, k: OpId, intended_ns: u64, sent_ns: u64) -> Option<Entry> {
        let slot = self.slot(k);
        let gone = self.read(slot);
        slot.tag.store(0, Ordering::Release);
        slot.intended_ns.store(intended_ns, Ordering::Relaxed);
        slot.sent_ns.store(sent_ns, Ordering::Relaxed);
        slot.acknowledged_ns.store(0, Ordering::Relaxed);
        slot.seq.store(UNKNOWN, Ordering::Relaxed);
        slot.text.store(UNKNOWN, Ordering::Relaxed);
        slot.state.store(0, Ordering::Relaxed);
        slot.tag.store(k + 1, Ordering::Release);
        gone
    }

    /// Notes the answer to `k`. Gives the seq at which its event was seen, when that is another than the one answered.
    pub(crate) fn answer(&self, k: OpId, bits: u8, at_ns: u64, seq: Option<u64>) -> Result<(), u64> {
        if let Some(seq) = seq {
            self.raise_head(seq);
        }
        let Some(slot) = self.live(k) else { return Ok(()) };
        slot.acknowledged_ns.store(at_ns, Ordering::Relaxed);
        slot.state.fetch_or(bits, Ordering::Relaxed);
        seq.map_or(Ok(()), |seq| agree(&slot.seq, seq))
    }

    /// Notes that `k`'s event was seen at `seq`, and gives what was known before. `None` when `k` is not remembered, or was
    /// never sent; an error gives the seq that was known before, when that is another.
    pub(crate) fn seen(&self, k: OpId, seq: u64) -> Option<Result<Entry, u64>> {
        let slot = self.live(k)?;
        let before = slot.state.fetch_or(state::SEEN, Ordering::Relaxed);
        let entry = Entry { state: before, ..self.read(slot)? };
        let agreed = agree(&slot.seq, seq);
        if agreed.is_ok() {
            self.seen[masked(seq, self.seen.len())].store(seq, Ordering::Relaxed);
        }
        Some(agreed.map(|()| entry))
    }

    /// Whether `k`'s event is the same text as wherever it was seen before.
    pub(crate) fn is_same_text(&self, k: OpId, hash: u64) -> bool {
        self.live(k).is_none_or(|slot| agree(&slot.text, hash.max(1)).is_ok())
    }

    /// Whether some operation's event was seen at that seq.
    pub(crate) fn is_seen(&self, seq: u64) -> bool {
        self.seen[masked(seq, self.seen.len())].load(Ordering::Relaxed) == seq
    }

    /// Marks facts about `k`; gives those that held before, or `None` when it is not remembered.
    pub(crate) fn mark(&self, k: OpId, bits: u8) -> Option<u8> {
        self.live(k).map(|slot| slot.state.fetch_or(bits, Ordering::Relaxed))
    }

    /// When `k` was acknowledged, if it was by now.
    pub(crate) fn acknowledged_ns(&self, k: OpId) -> Option<u64> {
        let at = self.live(k)?.acknowledged_ns.load(Ordering::Relaxed);
        (at != 0).then_some(at)
    }

    #[cfg(test)]
    fn get(&self, k: OpId) -> Option<Entry> {
        self.read(self.live(k)?)
    }

    /// All operations that are remembered.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.slots.iter().filter_map(|slot| self.read(slot))
    }

    /// Highest seq that was acknowledged or seen: where every session has to arrive.
    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    pub(crate) fn raise_head(&self, seq: u64) {
        self.head.fetch_max(seq, Ordering::Relaxed);
    }

    fn slot(&self, k: OpId) -> &Slot {
        &self.slots[masked(k, self.slots.len())]
    }

    fn live(&self, k: OpId) -> Option<&Slot> {
        Some(self.slot(k)).filter(|slot| slot.tag.load(Ordering::Acquire) == k.wrapping_add(1))
    }

    fn read(&self, slot: &Slot) -> Option<Entry> {
        let k = slot.tag.load(Ordering::Acquire).checked_sub(1)?;
        let seq = slot.seq.load(Ordering::Relaxed);
        Some(Entry {
            k,
            intended_ns: slot.intended_ns.load(Ordering::Relaxed),
            sent_ns: slot.sent_ns.load(Ordering::Relaxed),
            seq: (seq != UNKNOWN).then_some(seq),
            state: slot.state.load(Ordering::Relaxed),
        })
    }
}

/// A place in a ring of that length, a power of two.
#[expect(clippy::cast_possible_truncation, reason = "masked to the length of a slice")]
fn masked(number: u64, length: usize) -> usize {
    number as usize & (length - 1)
}

/// Sets what is unknown yet, or compares it with what is there: answer and event come in either order.
fn agree(known: &AtomicU64, value: u64) -> Result<(), u64> {
    match known.compare_exchange(UNKNOWN, value, Ordering::Relaxed, Ordering::Relaxed) {
        Err(known) if known != value => Err(known),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: answer and event agree on the seq, whichever comes first. Method: both orders, and disagreement.
    #[test]
    fn answer_and_event_agree() {
        let ledger = Ledger::new(1);
        for k in 0..3 {
            assert!(ledger.begin(k, 10, 20).is_none());
        }
        assert_eq!(ledger.answer(0, state::ACKNOWLEDGED, 30, Some(7)), Ok(()));
        assert_eq!(ledger.seen(0, 7).unwrap().unwrap().seq, Some(7));
        assert!(ledger.seen(1, 8).unwrap().is_ok());
        assert_eq!(ledger.answer(1, state::ACKNOWLEDGED, 30, Some(9)), Err(8));
        assert_eq!(ledger.seen(1, 11).unwrap().unwrap_err(), 8);
        assert!(ledger.is_seen(8) && !ledger.is_seen(9) && !ledger.is_seen(11), "where both agree, and there alone");
        assert!(ledger.seen(3, 9).is_none(), "never sent");
        assert_eq!(ledger.head(), 9);
        assert!(ledger.get(0).unwrap().is_owed());
        assert!(!ledger.get(2).unwrap().is_owed());
    }

    /// Goal: memory is bounded and nothing is forgotten unseen. Method: an operation one lap later.
    #[test]
    fn the_ring_gives_back_what_leaves() {
        let ledger = Ledger::new(1);
        ledger.begin(5, 1, 2);
        ledger.mark(5, state::ACKNOWLEDGED);
        let gone = ledger.begin(5 + ledger.capacity(), 3, 4).unwrap();
        assert!(gone.k == 5 && gone.is_owed() && !gone.has(state::SEEN));
        assert!(ledger.get(5).is_none());
        assert!(ledger.answer(5, state::ACKNOWLEDGED, 9, Some(1)).is_ok(), "a late answer finds nobody");
        assert_eq!(ledger.get(5 + ledger.capacity()).unwrap().seq, None);
    }
}
