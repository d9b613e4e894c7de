//! The latest events as this thread first saw them.
//!
//! Every dashboard gets the same frames in the same order. Whoever gets a frame first reads it, finds its operation and
//! keeps the text; for everybody else it is enough that the bytes are those of the event that is next for them. So a
//! delivery costs a comparison of some 300 bytes instead of a parse, and a byte that differs does not go unnoticed.

use std::collections::HashMap;

use crate::load::workload::OpId;

/// Events remembered: at 20,000 a second most of a second; readers further behind have their frames parsed.
const EVENTS_MAX: usize = 1 << 14;

/// An event that was seen.
#[derive(Debug)]
pub(super) struct Known {
    /// Its seq; without a log, its place in the order in which events were first seen.
    pub(super) place: u64,
    /// The operation, if it is one's.
    pub(super) k: Option<OpId>,
    pub(super) text: Box<str>,
    pub(super) timing: Option<Timing>,
}

/// What latencies of an event count from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) k: OpId,
    pub(super) intended_ns: u64,
    pub(super) sent_ns: u64,
    /// By the server's clock, in microseconds since 1970.
    pub(super) committed_us: Option<i64>,
}

/// A ring of events by place.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ring: Vec<Option<Known>>,
    head: u64,
    /// Places by operation, where events have no seq of their own.
    places: HashMap<OpId, u64>,
}

impl Seen {
    /// The highest place seen; 0 before the first event.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    pub(super) fn get(&self, place: u64) -> Option<&Known> {
        self.ring.get(index(place))?.as_ref().filter(|known| known.place == place)
    }

    /// Whether an event of that place would have been forgotten by now.
    pub(super) fn is_past(&self, place: u64) -> bool {
        place + EVENTS_MAX as u64 <= self.head
    }

    pub(super) fn insert(&mut self, known: Known) {
        if self.ring.is_empty() {
            self.ring.resize_with(EVENTS_MAX, || None);
        }
        self.head = self.head.max(known.place);
        let slot = &mut self.ring[index(known.place)];
        let gone = slot.replace(known);
        if let Some(k) = gone.and_then(|gone| gone.k) {
            self.places.remove(&k);
        }
    }

    /// The place of an operation's event in the order first seen; the next one, if it is new.
    pub(super) fn place_of(&mut self, k: OpId) -> u64 {
        let next = self.head + 1;
        *self.places.entry(k).or_insert(next)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below the ring's length")]
fn index(place: u64) -> usize {
    (place % EVENTS_MAX as u64) as usize
}
