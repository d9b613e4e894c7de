//! What all actors of a run share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sambad_core::simulation::SimulatedStore;
use sambad_core::{After, Cursor, Epoch, EventKind, Filter, Sambad, Seq, UserId};
use tokio::sync::watch;

use super::chance::{Conditions, locked};
use super::truth::Truth;

/// Virtual time within which everybody has everything once nothing goes wrong any more; a disk may still stall for 20 s.
pub(super) const CATCH_UP_WITHIN: Duration = Duration::from_secs(120);

pub(super) struct World {
    pub(super) conditions: Arc<Conditions>,
    pub(super) store: SimulatedStore,
    pub(super) sambad: Sambad,
    pub(super) users: Vec<UserId>,
    pub(super) stall_timeout: Duration,
    truth: Mutex<Truth>,
    /// Sockets so far: the trace tells them apart by number.
    sockets: AtomicU64,
    /// The last event of the run, once it is stored: readers end when they have seen everything up to it.
    last: watch::Sender<Option<Seq>>,
}

impl World {
    pub(super) fn new(
        conditions: Arc<Conditions>,
        store: SimulatedStore,
        sambad: Sambad,
        users: Vec<UserId>,
        stall_timeout: Duration,
    ) -> Arc<Self> {
        let (truth, sockets, last) = (Mutex::default(), AtomicU64::new(0), watch::Sender::new(None));
        Arc::new(Self { conditions, store, sambad, users, stall_timeout, truth, sockets, last })
    }

    /// The truth as of now.
    pub(super) fn truth(&self) -> MutexGuard<'_, Truth> {
        let announced = self.sambad.bounds();
        let mut truth = locked(&self.truth);
        truth.check(&self.store, announced);
        truth
    }

    pub(super) fn next_socket(&self) -> u64 {
        self.sockets.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn end_at(&self, last: Seq) {
        self.last.send_replace(Some(last));
    }

    pub(super) fn last(&self) -> Option<Seq> {
        *self.last.borrow()
    }

    /// Waits for the end of everything that can go wrong, and gives the last event.
    pub(super) async fn calm(&self) -> Seq {
        let mut last = self.last.subscribe();
        last.wait_for(Option::is_some).await.expect("the world outlives its actors").expect("waited for it")
    }

    /// Lets others have a turn, or some time pass.
    pub(super) async fn pause(&self) {
        let chance = &self.conditions.chance;
        match chance.below(10) {
            0..6 => tokio::task::yield_now().await,
            6..9 => tokio::time::sleep(chance.millis(10)).await,
            _ => tokio::time::sleep(chance.millis(300)).await,
        }
    }

    pub(super) fn filter(&self) -> Filter {
        let chance = &self.conditions.chance;
        let user = chance.hits(400).then(|| self.users[chance.index(self.users.len())]);
        if chance.hits(600) {
            return Filter { user, ..Filter::default() };
        }
        let kinds = EventKind::ALL.into_iter().filter(|_| chance.hits(500)).collect();
        // No kind at all is a filter that the contract cannot express.
        if kinds == std::iter::empty().collect() { Filter { user, ..Filter::default() } } else { Filter { kinds, user } }
    }

    /// Where a reader asks to begin, which has seen everything up to `resume` if it has seen anything; `None` for now.
    pub(super) fn after(&self, resume: Option<Cursor>) -> Option<After> {
        let chance = &self.conditions.chance;
        let stored = self.store.bounds();
        if self.conditions.strikes(self.conditions.odds.foreign_cursors) {
            let seq = Seq(chance.below(stored.head.0 + 3));
            return Some(match chance.below(3) {
                0 => After::Seq(seq),
                1 => Cursor { epoch: stored.epoch, seq }.into(),
                _ => Cursor { epoch: Epoch(stored.epoch.0 + 1), seq }.into(),
            });
        }
        match (resume, chance.below(4)) {
            (Some(resume), 0..3) => Some(resume.into()),
            (_, 0) => None,
            (_, 1) => Some(After::Seq(Seq::ZERO)),
            // A page that was just read from the store: what it shows may not be announced yet.
            _ => Some(stored.head_cursor().into()),
        }
    }
}
