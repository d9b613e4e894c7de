//! Tokens that are refused although they have not ended, known to every request and every session.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sambad_core::access::Revocation;
use sambad_core::{Error, Sambad, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::principal::Principal;

/// How often the store is asked for new ones, which another process or server may have added.
const PERIOD: Duration = Duration::from_secs(1);
/// Revocations read at once.
const PAGE: u32 = 1000;

/// The revoked ids, and a number that moves when there are more.
#[derive(Debug)]
pub(crate) struct Revocations {
    ids: RwLock<HashMap<String, Timestamp>>,
    last: watch::Sender<i64>,
}

impl Revocations {
    /// Reads all that are in force.
    pub(super) async fn load(sambad: &Sambad) -> Result<Self, Error> {
        let revocations = Self { ids: RwLock::default(), last: watch::Sender::new(0) };
        revocations.read_on(sambad).await?;
        Ok(revocations)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<i64> {
        self.last.subscribe()
    }

    pub(crate) fn concern(&self, principal: &Principal) -> bool {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        !ids.is_empty() && principal.ids.iter().any(|id| ids.contains_key(&**id))
    }

    /// Reads what was added since the last call.
    pub(crate) async fn read_on(&self, sambad: &Sambad) -> Result<(), Error> {
        loop {
            let last = *self.last.borrow();
            let found = sambad.revocations(last, PAGE).await?;
            let Some(newest) = found.last().map(|revocation| revocation.n) else { return Ok(()) };
            self.add(found);
            self.last.send_if_modified(|last| newest > std::mem::replace(last, newest.max(*last)));
        }
    }

    fn add(&self, found: Vec<Revocation>) {
        let now = Timestamp::now();
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        // What has ended by itself is refused for that.
        ids.retain(|_, expires_at| *expires_at > now);
        ids.extend(found.into_iter().map(|revocation| (revocation.id, revocation.expires_at)));
    }

    /// Keeps reading until `stop`. While the store does not answer, what is known stays in force.
    pub(super) async fn keep_up(self: Arc<Self>, sambad: Sambad, stop: CancellationToken) {
        let mut failed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            match self.read_on(&sambad).await {
                Ok(()) => failed = false,
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::error!(error = &error as &dyn std::error::Error, "revocations cannot be read");
                    }
                }
            }
        }
    }
}
