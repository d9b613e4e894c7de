//! Tokens that are refused although they have not ended, known to every request and every session.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sambad_core::access::{AccessChange, Actor, Revocation};
use sambad_core::{Clock, Error, Sambad, Timestamp};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::principal::Principal;

/// How often the store is asked for new ones, which another process or server may have added.
const PERIOD: Duration = Duration::from_secs(1);
/// How often what has expired is deleted, and what the audit log counts is written, also where nothing else changes.
const TIDY_PERIOD: Duration = Duration::from_secs(60);
/// Revocations read at once.
const PAGE: u32 = 5000;
/// Revocations that may have expired and are kept anyway.
const EXPIRED_MAX: usize = 1024;

/// The revoked ids, and a number that moves when there are more.
#[derive(Debug)]
pub(crate) struct Revocations {
    ids: RwLock<Ids>,
    last: watch::Sender<i64>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Ids {
    revoked: HashMap<String, Timestamp>,
    /// How many there were after expired ones were last removed.
    kept: usize,
}

impl Ids {
    /// Adds revocations, without those that had ended at `aged`. These are looked for when the number has doubled since: each costs
    /// the same however many there are, and no more than half of the memory is wasted.
    fn add(&mut self, found: Vec<Revocation>, aged: Option<Timestamp>) {
        // What has ended by itself is refused for that, unless the clock that says so goes back: then it counts again.
        let is_needed = |expires_at: Timestamp| aged.is_none_or(|aged| expires_at > aged);
        let found = found.into_iter().filter(|revocation| is_needed(revocation.expires_at));
        self.revoked.extend(found.map(|revocation| (revocation.id, revocation.expires_at)));
        if self.revoked.len() > self.kept * 2 + EXPIRED_MAX {
            self.revoked.retain(|_, expires_at| is_needed(*expires_at));
            if self.revoked.len() < self.revoked.capacity() / 4 {
                self.revoked.shrink_to(self.revoked.len() * 2);
            }
            self.kept = self.revoked.len();
        }
    }
}

impl Revocations {
    /// Reads all that are in force.
    pub(super) async fn load(sambad: &Sambad) -> Result<Self, Error> {
        let revocations = Self { ids: RwLock::default(), last: watch::Sender::new(0), clock: sambad.clock().clone() };
        revocations.read_on(sambad).await?;
        Ok(revocations)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<i64> {
        self.last.subscribe()
    }

    pub(crate) fn concern(&self, principal: &Principal) -> bool {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended may still be here: they are forgotten later than they stop to count.
        let in_force = |id: &Arc<str>| ids.revoked.get(&**id).is_some_and(|expires_at| *expires_at > self.clock.now());
        !ids.revoked.is_empty() && principal.ids.iter().any(in_force)
    }

    /// Reads what was added since the last call.
    pub(crate) async fn read_on(&self, sambad: &Sambad) -> Result<(), Error> {
        loop {
            let last = *self.last.borrow();
            let found = sambad.revocations(last, PAGE).await?;
            let Some(newest) = found.last().map(|revocation| revocation.n) else { return Ok(()) };
            self.ids.write().unwrap_or_else(PoisonError::into_inner).add(found, self.clock.aged(Duration::MAX));
            self.last.send_if_modified(|last| newest > std::mem::replace(last, newest.max(*last)));
        }
    }

    /// Keeps reading until `stop`. While the store does not answer, what is known stays in force.
    pub(super) async fn keep_up(self: Arc<Self>, sambad: Sambad, stop: CancellationToken) {
        let mut failed = false;
        let mut tidied = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            if tidied.elapsed() >= TIDY_PERIOD {
                tidied = Instant::now();
                // If it fails, so do the writes of clients, which the committer logs; if it takes long, it is carried out later.
                let tidy = sambad.change_access(AccessChange::Tidy, Actor { name: String::new(), remote: String::new() });
                let _ = timeout(PERIOD, tidy).await;
            }
            match self.read_on(&sambad).await {
                Ok(()) => failed = false,
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::error!(error = &error as &dyn std::error::Error, "cannot read revocations");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: reading many revocations takes time in proportion to their number, and expired ones do not fill the memory. Method:
    /// two hundred thousand of them in pages, half of them expired and half about to: how often all were looked through; then
    /// as many later, when the former have expired.
    #[test]
    fn expired_ones_are_looked_for_now_and_then() {
        let at = Timestamp::from_micros;
        let (mut ids, mut sweeps) = (Ids::default(), 0);
        for round in 0..2 {
            for page in 0..1000 {
                let kept = ids.kept;
                let found = (0..100).map(|i| {
                    let n = (round * 1000 + page) * 100 + i;
                    Revocation { n, id: n.to_string(), expires_at: at(round * 1000 + 500 + i % 2 * 500) }
                });
                ids.add(found.collect(), Some(at(round * 1000 + 500)));
                sweeps += u32::from(ids.kept != kept);
            }
        }
        assert!((5..20).contains(&sweeps), "{sweeps}");
        assert!(ids.revoked.len() < 2 * 50_000 + EXPIRED_MAX, "{}", ids.revoked.len());
    }
}
