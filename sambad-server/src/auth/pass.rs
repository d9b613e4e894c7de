//! By what right a session goes on: it outlives the request that began it, and so may its token not.

use std::sync::Arc;
use std::time::Duration;

use sambad_core::{Timestamp, UserId};
use tokio::sync::watch;

use super::{Auth, Principal};
use crate::error::ApiError;

/// How long before the end a session is told.
const NOTICE: Duration = Duration::from_secs(60);

/// A session's right to go on; without end while authentication is off.
#[derive(Debug)]
pub(crate) struct Pass(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    auth: Arc<Auth>,
    principal: Principal,
    revocations: watch::Receiver<i64>,
    told: bool,
}

/// What becomes of a pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It ends then; told once.
    Expiring(Timestamp),
    /// It has ended, or was revoked.
    Ended,
}

impl Pass {
    pub(crate) fn new(auth: Option<&Arc<Auth>>, principal: Option<Principal>) -> Self {
        let held = auth.zip(principal).map(|(auth, principal)| {
            let revocations = auth.revocations.watch();
            Box::new(Held { auth: Arc::clone(auth), principal, revocations, told: false })
        });
        Self(held)
    }

    /// The user that the session is confined to, if it is.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.0.as_ref().and_then(|held| held.principal.user)
    }

    /// Waits for the next thing that becomes of it.
    ///
    /// # Cancel safety
    /// Waiting changes nothing.
    pub(crate) async fn notice(&mut self) -> Notice {
        let Some(held) = &mut self.0 else { return std::future::pending().await };
        loop {
            // Before the ids are looked up: what comes after is seen by the next round.
            held.revocations.borrow_and_update();
            let left = held.principal.expires_at.since(held.auth.now());
            if left.is_zero() || held.auth.revocations.concern(&held.principal) {
                return Notice::Ended;
            }
            if !held.told && left <= NOTICE {
                held.told = true;
                return Notice::Expiring(held.principal.expires_at);
            }
            let pause = if held.told { left } else { left - NOTICE };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The sender lives in the auth that is held.
                Ok(()) = held.revocations.changed() => {}
            }
        }
    }

    /// Waits until it has ended.
    ///
    /// # Cancel safety
    /// Waiting changes nothing.
    pub(crate) async fn ended(&mut self) {
        while self.notice().await != Notice::Ended {}
    }

    /// Goes on by a new token of the same principal; says until when.
    pub(crate) async fn renew(&mut self, token: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(held) = &mut self.0 else { return Ok(None) };
        let principal = held.auth.verify(token).await?;
        if !principal.continues(&held.principal) {
            return Err(ApiError::Forbidden("token belongs to another principal"));
        }
        held.principal = principal;
        held.told = false;
        Ok(Some(held.principal.expires_at))
    }
}
