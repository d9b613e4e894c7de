//! The newest events in memory, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use crate::cursor::Seq;
use crate::event::Event;
use crate::figures::TailFigures;
use crate::kind::Filter;
use crate::limits::SLICE_BYTES_MAX;
use crate::log::LogSlice;

/// Events looked at in one read: bounds how long a reader whose filter matches little holds the lock.
const SCAN_MAX: usize = 4096;
/// Batches whose instant is remembered: readers that are live are never further behind.
const BATCHES_MAX: usize = 256;

/// The newest events, contiguous up to the last.
///
/// A std lock, because no section awaits: appending and reading copy handles, never bytes.
#[derive(Debug)]
pub(crate) struct Tail {
    inner: RwLock<Inner>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Inner {
    events: VecDeque<Event>,
    bytes: usize,
    last: Seq,
    /// The last event of each of the newest batches, and when it became readable.
    batches: VecDeque<(Seq, Instant)>,
}

impl Tail {
    /// An empty tail of a log whose head is `last`.
    pub(crate) fn new(last: Seq, bytes_max: usize) -> Self {
        Self { inner: RwLock::new(Inner { events: VecDeque::new(), bytes: 0, last, batches: VecDeque::new() }), bytes_max }
    }

    /// Adds events that follow each other up to `last`; if they do not follow the last one, or if there are none, what came
    /// before is forgotten: readers find the hole in the store.
    pub(crate) fn append(&self, events: &[Event], last: Seq) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if events.first().is_none_or(|first| first.seq != inner.last.next()) {
            inner.events.clear();
            inner.bytes = 0;
        }
        inner.last = last;
        if inner.batches.len() == BATCHES_MAX {
            inner.batches.pop_front();
        }
        inner.batches.push_back((last, Instant::now()));
        inner.bytes += events.iter().map(weight).sum::<usize>();
        inner.events.extend(events.iter().cloned());
        while inner.bytes > self.bytes_max {
            let Some(oldest) = inner.events.pop_front() else { break };
            inner.bytes -= weight(&oldest);
        }
    }

    /// Reads up to `limit` matching events after `after`; `None` when the tail does not reach back that far.
    pub(crate) fn read(&self, after: Seq, filter: &Filter, limit: usize) -> Option<LogSlice> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        if after >= inner.last {
            return Some(LogSlice { events: Vec::new(), through: after });
        }
        let first = inner.events.front()?.seq;
        let skip = usize::try_from(after.next().0.checked_sub(first.0)?).ok()?;
        let mut slice = LogSlice { events: Vec::new(), through: after };
        let mut bytes = 0;
        // A range, not a skip: it begins in constant time.
        let until = inner.events.len().min(skip + SCAN_MAX);
        for event in inner.events.range(skip..until) {
            if event.matches(filter) {
                bytes += event.frame().len();
                slice.events.push(event.clone());
            }
            slice.through = event.seq;
            if slice.events.len() == limit || bytes >= SLICE_BYTES_MAX {
                break;
            }
        }
        Some(slice)
    }

    /// When the event after `after` became readable; `None` when that was many batches ago, or is still to come.
    pub(crate) fn appended_at(&self, after: Seq) -> Option<Instant> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let batch = inner.batches.partition_point(|(last, _)| *last <= after);
        // Of the oldest that is remembered nobody knows where it begins.
        if batch == 0 && inner.batches.len() == BATCHES_MAX {
            return None;
        }
        inner.batches.get(batch).map(|(_, at)| *at)
    }

    pub(crate) fn figures(&self) -> TailFigures {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let first = inner.events.front().map_or_else(|| inner.last.next(), |event| event.seq);
        TailFigures { first, events: inner.events.len(), bytes: inner.bytes }
    }
}

fn weight(event: &Event) -> usize {
    event.frame().len() + size_of::<Event>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventRow, encode};
    use crate::id::UserId;
    use crate::kind::{EventKind, Involved};
    use crate::time::Timestamp;

    fn events(seqs: std::ops::RangeInclusive<u64>) -> Vec<Event> {
        let row = |seq: u64| EventRow {
            seq: Seq(seq),
            kind: EventKind::UserCreated,
            involved: Involved { user: UserId::new(uuid::Uuid::from_u128(u128::from(seq % 2))), other: None },
            created_at: Timestamp::from_micros(0),
            data: "{}".into(),
        };
        encode(&seqs.map(row).collect::<Vec<_>>())
    }

    fn seqs(page: Option<LogSlice>) -> Option<(Vec<u64>, u64)> {
        page.map(|page| (page.events.iter().map(|event| event.seq.0).collect(), page.through.0))
    }

    /// Goal: a read begins right after its cursor or says that it can't. Method: cursors around both ends.
    #[test]
    fn reads_after_the_cursor_or_not_at_all() {
        let tail = Tail::new(Seq(10), 1 << 20);
        let all = Filter::default();
        assert_eq!(seqs(tail.read(Seq(9), &all, 5)), None, "an empty tail knows nothing of what was before");
        assert_eq!(seqs(tail.read(Seq(10), &all, 5)), Some((vec![], 10)));
        tail.append(&events(11..=14), Seq(14));
        assert_eq!(seqs(tail.read(Seq(10), &all, 5)), Some((vec![11, 12, 13, 14], 14)));
        assert_eq!(seqs(tail.read(Seq(12), &all, 1)), Some((vec![13], 13)));
        assert_eq!(seqs(tail.read(Seq(9), &all, 5)), None);
        assert_eq!(seqs(tail.read(Seq(99), &all, 5)), Some((vec![], 99)));
    }

    /// Goal: a filter that matches nothing still moves on. Method: a user of every second event.
    #[test]
    fn filters_move_through() {
        let tail = Tail::new(Seq(0), 1 << 20);
        tail.append(&events(1..=5), Seq(5));
        let even = Filter { user: Some(UserId::new(uuid::Uuid::from_u128(0))), ..Filter::default() };
        assert_eq!(seqs(tail.read(Seq(0), &even, 9)), Some((vec![2, 4], 5)));
        assert_eq!(seqs(tail.read(Seq(4), &even, 9)), Some((vec![], 5)));
    }

    /// Goal: memory is bounded, and a hole is never papered over. Method: a tiny bound; an append that skips a seq.
    #[test]
    fn forgets_the_oldest_and_everything_before_a_hole() {
        let four = events(1..=4);
        let tail = Tail::new(Seq(0), four.iter().map(weight).sum::<usize>() - 1);
        tail.append(&four, Seq(4));
        assert_eq!(seqs(tail.read(Seq(0), &Filter::default(), 9)), None);
        assert_eq!(seqs(tail.read(Seq(1), &Filter::default(), 9)), Some((vec![2, 3, 4], 4)));
        tail.append(&events(6..=6), Seq(6));
        assert_eq!(seqs(tail.read(Seq(4), &Filter::default(), 9)), None);
        assert_eq!(seqs(tail.read(Seq(5), &Filter::default(), 9)), Some((vec![6], 6)));
        tail.append(&[], Seq(8));
        assert_eq!(seqs(tail.read(Seq(6), &Filter::default(), 9)), None, "7 and 8 are in the store only");
        assert_eq!(seqs(tail.read(Seq(8), &Filter::default(), 9)), Some((vec![], 8)));
    }

    /// Goal: an event's instant is that of its batch. Method: batches around a cursor, then more than are remembered.
    #[test]
    fn events_have_the_instant_of_their_batch() {
        let tail = Tail::new(Seq(0), 1 << 20);
        assert_eq!(tail.appended_at(Seq(0)), None);
        tail.append(&events(1..=3), Seq(3));
        tail.append(&events(4..=4), Seq(4));
        let (first, second) = (tail.appended_at(Seq(0)), tail.appended_at(Seq(3)));
        assert!(first.is_some() && first < second, "{first:?}, {second:?}");
        assert_eq!((tail.appended_at(Seq(2)), tail.appended_at(Seq(4))), (first, None));
        for seq in 5..=4 + BATCHES_MAX as u64 {
            tail.append(&events(seq..=seq), Seq(seq));
        }
        assert_eq!(tail.appended_at(Seq(3)), None, "long ago");
        assert!(tail.appended_at(Seq(5)).is_some());
    }
}
