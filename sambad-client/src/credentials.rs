//! Who asks: the token at hand, and how the next one is got.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use sambad_core::Timestamp;
use tokio::time::Instant;

use crate::error::Error;
use crate::token::Token;

/// How long before its end a token is renewed, at most; of one that lives less than three minutes it is a third of its life.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// How long a source that said no is not asked again.
const REFUSED_FOR: Duration = Duration::from_secs(10);

type Outcome = Result<Token, Error>;
type Asked = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Source = Arc<dyn Fn(Option<Token>) -> Asked + Send + Sync>;

/// The token that a client and all its clones ask with.
pub(crate) struct Credentials {
    /// `None`: the token was given once, and there is no other.
    source: Option<Source>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The one renewal that everybody waits for who wants one.
    under_way: Option<Shared<Asked>>,
    /// What the source said last, if that was no.
    refused: Option<(Instant, Error)>,
}

#[derive(Clone)]
struct Held {
    token: Token,
    /// When it should be renewed; `None` if it does not say when it ends.
    due: Option<Instant>,
}

impl Credentials {
    /// One token, for as long as it is good.
    pub(crate) fn fixed(token: Token) -> Self {
        let held = Some(Held { due: None, token });
        Self { source: None, state: Mutex::new(State { held, ..State::default() }) }
    }

    /// Tokens of `source`, which is told the one that is no longer good; `first` is used until it is due.
    pub(crate) fn from_source<F>(first: Option<Token>, source: impl Fn(Option<Token>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let held = first.map(|token| Held { due: due(&token, true), token });
        let source: Source = Arc::new(move |old| Box::pin(source(old)));
        Self { source: Some(source), state: Mutex::new(State { held, ..State::default() }) }
    }

    /// The token that was got last.
    pub(crate) fn at_hand(&self) -> Option<Token> {
        self.lock().held.as_ref().map(|held| held.token.clone())
    }

    /// Whether there is another token to be had.
    pub(crate) fn can_renew(&self) -> bool {
        self.source.is_some()
    }

    /// When whoever uses `token` is to change to another: at once, if there is one already.
    pub(crate) fn due(&self, token: &Token) -> Instant {
        let due = self.lock().held.as_ref().filter(|held| held.token == *token).and_then(|held| held.due);
        due.unwrap_or_else(Instant::now)
    }

    /// The token to ask with: renewed when it is about to end.
    ///
    /// # Errors
    /// What the source fails with, once the token at hand has ended as well.
    pub(crate) async fn token(self: &Arc<Self>) -> Outcome {
        let held = self.lock().held.clone();
        match held {
            Some(Held { token, due }) if due.is_none_or(|due| Instant::now() < due) => Ok(token),
            Some(Held { token, .. }) => match self.renew(Some(&token)).await {
                // It is good for a little longer; whoever needs it later may have more luck.
                Err(_) if !has_ended(&token) => Ok(token),
                outcome => outcome,
            },
            None => self.renew(None).await,
        }
    }

    /// Another token than `old`: the one that was got meanwhile, or the source's next. However many want one, the source is
    /// asked once.
    pub(crate) async fn renew(self: &Arc<Self>, old: Option<&Token>) -> Outcome {
        let renewal = {
            let mut state = self.lock();
            if let Some(held) = state.held.as_ref().filter(|held| Some(&held.token) != old) {
                return Ok(held.token.clone());
            }
            if let Some((_, error)) = state.refused.as_ref().filter(|(at, _)| at.elapsed() < REFUSED_FOR) {
                return Err(error.clone());
            }
            let Some(source) = &self.source else {
                return Err(Error::NoToken { reason: "the given token has no source for its renewal".into() });
            };
            match &state.under_way {
                Some(renewal) => renewal.clone(),
                None => {
                    let renewal = Arc::clone(self).ask(source(old.cloned()));
                    state.under_way.insert(renewal).clone()
                }
            }
        };
        renewal.await
    }

    /// Asks in a task of its own, which nobody who stops waiting cancels: the server would have changed the refresh token, and
    /// the next one would be lost with the answer. The task ends with the answer or its time limit.
    fn ask(self: Arc<Self>, asked: Asked) -> Shared<Asked> {
        let task = tokio::spawn(async move {
            let outcome = asked.await;
            let mut state = self.lock();
            state.under_way = None;
            state.refused = None;
            match &outcome {
                Ok(token) => state.held = Some(Held { due: due(token, false), token: token.clone() }),
                Err(error) if !error.is_transient() => state.refused = Some((Instant::now(), error.clone())),
                Err(_) => {}
            }
            drop(state);
            outcome
        });
        let outcome: Asked =
            Box::pin(async { task.await.unwrap_or_else(|_| Err(Error::NoToken { reason: "the token source panicked".into() })) });
        outcome.shared()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("can_renew", &self.can_renew()).finish_non_exhaustive()
    }
}

fn has_ended(token: &Token) -> bool {
    token.claims().is_some_and(|claims| claims.expires_at <= Timestamp::now())
}

/// When a token is to be renewed. `kept`: it may be old; otherwise it has just been issued, and says by its life how long it is
/// good, even where this machine's clock is wrong.
fn due(token: &Token, kept: bool) -> Option<Instant> {
    let claims = token.claims()?;
    let life = claims.life();
    let ahead = AHEAD_MAX.min(life / 3);
    let left = claims.expires_at.since(Timestamp::now());
    // By this clock a token that has just come is at its end, or has longer than its life: the clock is wrong.
    let left = if !kept && !(ahead..=life).contains(&left) { life } else { left };
    Some(Instant::now() + left.saturating_sub(ahead))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
