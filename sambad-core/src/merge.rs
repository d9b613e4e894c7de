//! Puts what several servers commit into the log's order, from whatever comes in whatever order.
//!
//! **Invariant:** the head moves on by events that follow each other, so that the tail has no hole: a hole is filled once, here,
//! and not by each reader. What is known beyond a hole waits, within a bound; what does not fit is read from the store later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::broker::Publisher;
use crate::cursor::Seq;
use crate::event::Event;
use crate::log::Log;

/// Bytes of events that wait beyond a hole.
const AHEAD_BYTES_MAX: usize = 16 << 20;

/// Where the committer's batches go.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// A log that nobody else writes to: what was committed is announced at once.
    Own(Arc<Log>),
    /// A log that other servers write to and are told of.
    Shared(Arc<Merge>, Publisher),
}

impl Outlet {
    pub(crate) fn publish(&self, events: &[Event], head: Seq) {
        match self {
            Self::Own(log) => log.publish(events, head),
            Self::Shared(merge, publisher) => {
                merge.offer(events, head);
                publisher.publish(events, head);
            }
        }
    }

    pub(crate) fn log(&self) -> &Log {
        match self {
            Self::Own(log) => log,
            Self::Shared(merge, _) => merge.log(),
        }
    }
}

/// Where all news of the log come together; the only one to publish to a log that others write to as well.
#[derive(Debug)]
pub(crate) struct Merge {
    log: Arc<Log>,
    /// A std lock: no section awaits.
    inner: Mutex<Inner>,
    hole: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Events beyond a hole, by the first of each run.
    ahead: BTreeMap<Seq, Vec<Event>>,
    ahead_bytes: usize,
    /// The highest head heard of since the store was last asked.
    heard: Seq,
}

impl Merge {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self { log, inner: Mutex::default(), hole: Notify::new() }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Takes events that follow each other and are stored, and a head that was heard of. Events may be known, or may come too
    /// early; the head may be anything: it moves nothing, and is a reason to ask the store.
    pub(crate) fn offer(&self, events: &[Event], head: Seq) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.heard = inner.heard.max(head);
        match events.first() {
            Some(first) if first.seq <= self.log.bounds().head.next() => self.publish(events),
            Some(first) => inner.keep(first.seq, events),
            None => {}
        }
        while let Some(run) = inner.ahead.first_entry().filter(|run| *run.key() <= self.log.bounds().head.next()) {
            let events = run.remove();
            inner.ahead_bytes -= bytes(&events);
            self.publish(&events);
        }
        if inner.heard > self.log.bounds().head {
            self.hole.notify_one();
        }
    }

    /// Announces `head` although events before it are unknown: they are no longer stored.
    pub(crate) fn skip(&self, head: Seq) {
        // The lock keeps others from publishing meanwhile.
        let _inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.log.publish(&[], head);
    }

    /// Publishes what is new of `events`, which begin right after the head or before it.
    fn publish(&self, events: &[Event]) {
        let head = self.log.bounds().head;
        let new = &events[events.partition_point(|event| event.seq <= head)..];
        if let Some(last) = new.last() {
            self.log.publish(new, last.seq);
        }
    }

    /// Forgets what waits beyond a hole, where the store says that nothing lies there: it is of a log that was replaced by a
    /// shorter one.
    pub(crate) fn forget_ahead(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ahead.clear();
        inner.ahead_bytes = 0;
    }

    /// Whether somebody said that the log reaches beyond what was announced. That is forgotten with this call: the caller asks
    /// the store, whose word replaces it, and what is heard meanwhile is another reason to ask.
    pub(crate) fn take_hole(&self) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inner.heard) > self.log.bounds().head
    }

    /// Waits until there may be a hole.
    ///
    /// # Cancel safety
    /// A dropped call leaves the next one to be woken.
    pub(crate) async fn hole(&self) {
        self.hole.notified().await;
    }
}

impl Inner {
    fn keep(&mut self, first: Seq, events: &[Event]) {
        let more = bytes(events);
        if self.ahead_bytes + more > AHEAD_BYTES_MAX {
            return;
        }
        // Of two runs with one beginning the longer one tells more.
        if self.ahead.get(&first).is_some_and(|run| run.len() >= events.len()) {
            return;
        }
        self.ahead_bytes += more;
        if let Some(shorter) = self.ahead.insert(first, events.to_vec()) {
            self.ahead_bytes -= bytes(&shorter);
        }
    }
}

fn bytes(events: &[Event]) -> usize {
    events.iter().map(|event| event.frame().len() + size_of::<Event>()).sum()
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use super::*;
    use crate::cursor::{Epoch, LogBounds};
    use crate::event::{EventRow, encode};
    use crate::id::UserId;
    use crate::kind::{EventKind, Filter, Involved};
    use crate::limits::Limits;
    use crate::store::Store;
    use crate::store::memory::{Fault, PageBounds, Reader, SimulatedStore};
    use crate::time::Timestamp;

    fn events(seqs: std::ops::RangeInclusive<u64>, data_bytes: usize) -> Vec<Event> {
        let row = |seq: u64| EventRow {
            seq: Seq(seq),
            kind: EventKind::UserCreated,
            involved: Involved { user: UserId::new(uuid::Uuid::nil()), other: None },
            created_at: Timestamp::from_micros(0),
            data: format!(r#"{{"x":"{}"}}"#, "y".repeat(data_bytes)),
        };
        encode(&seqs.map(row).collect::<Vec<_>>())
    }

    fn merge() -> Merge {
        let bounds = LogBounds { epoch: Epoch(1), head: Seq(0), first: Seq(1) };
        let store = SimulatedStore::new(Epoch(1), PageBounds::default(), Box::new(|_| Fault::None));
        Merge::new(Arc::new(Log::new(Store::Simulated(Reader(store)), bounds, &Limits::default())))
    }

    fn announced(merge: &Merge) -> Vec<u64> {
        let slice = merge.log.recent(Seq(0), &Filter::default(), 1000).expect("the tail has no hole");
        slice.events.iter().map(|event| event.seq.0).collect()
    }

    /// Goal: whatever the order, readers see each event once, in seq order, and a hole holds up what is beyond it. Method: all
    /// orders of runs that overlap, repeat each other, and lie within each other.
    #[tokio::test]
    async fn any_order_becomes_the_logs() {
        let runs = [1..=2, 2..=4, 3..=3, 5..=6, 5..=8];
        for mut order in 0..5_usize.pow(5) {
            let merge = merge();
            let mut taken = Vec::new();
            for _ in 0..5 {
                taken.push(order % 5);
                order /= 5;
            }
            for run in &taken {
                merge.offer(&events(runs[*run].clone(), 1), Seq(*runs[*run].end()));
            }
            let have: std::collections::BTreeSet<u64> = taken.iter().flat_map(|run| runs[*run].clone()).collect();
            let contiguous: Vec<u64> = (1..).take_while(|seq| have.contains(seq)).collect();
            assert_eq!(announced(&merge), contiguous, "{taken:?}");
            assert_eq!(merge.take_hole(), have.len() > contiguous.len(), "{taken:?}");
        }
    }

    /// Goal: what waits beyond a hole is bounded, and what was left out is asked for. Method: more than the bound, the hole last.
    #[tokio::test]
    async fn what_waits_is_bounded() {
        let merge = merge();
        let size = 1 << 20;
        for seq in 2..=40 {
            merge.offer(&events(seq..=seq, size), Seq(seq));
        }
        let waiting = merge.inner.lock().unwrap().ahead_bytes;
        assert!(waiting <= AHEAD_BYTES_MAX && waiting > AHEAD_BYTES_MAX / 2, "{waiting} bytes");
        merge.hole().await;
        merge.offer(&events(1..=1, size), Seq(1));
        let head = merge.log.bounds().head.0;
        assert!((10..40).contains(&head), "{head}");
        assert!(merge.take_hole());
        assert_eq!(merge.inner.lock().unwrap().ahead_bytes, 0);
    }

    /// Goal: a head without events is a hole. Method: a head beyond, then what was missing.
    #[tokio::test]
    async fn heads_make_holes() {
        let merge = merge();
        merge.offer(&[], Seq(3));
        assert!(merge.take_hole());
        merge.hole().await;
        merge.offer(&events(1..=3, 1), Seq(3));
        assert!(!merge.take_hole());
        merge.offer(&[], Seq(2));
        assert!(!merge.take_hole(), "old news");
        merge.skip(Seq(9));
        assert_eq!(merge.log.bounds().head, Seq(9));
    }
}
