//! By what token an open connection goes on: it outlives the request that began it, and so may its token not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sambad_core::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::{Error, Refusal};
use crate::token::Token;

/// The first and the longest wait before a source of tokens that was not reached is asked again.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];

/// The token of a connection, and what is done about its end.
pub(super) struct Lease {
    client: Client,
    /// What the server knows.
    token: Option<Token>,
    /// When the server said that it ends.
    ends: Option<Timestamp>,
    step: Step,
    backoff: Backoff,
}

/// How far another token is. The future is kept here, so that a reader that goes away for a while finds its answer.
enum Step {
    /// None is needed.
    Idle,
    /// It is to be asked for, when the time has come.
    Due(Instant),
    Asking(Pin<Box<dyn Future<Output = Result<Token, Error>> + Send>>),
    /// The server has it, and has not said what it makes of it.
    Sent(Token),
}

/// Why a connection will end with its token.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) at: Option<Timestamp>,
    pub(super) why: Error,
}

impl Lease {
    pub(super) fn new(client: Client, token: Option<Token>) -> Self {
        Self { client, token, ends: None, step: Step::Idle, backoff: Backoff::new(WAITS[0], WAITS[1]) }
    }

    /// The last token that the server was given.
    pub(super) fn token(&self) -> Option<&Token> {
        if let Step::Sent(token) = &self.step { Some(token) } else { self.token.as_ref() }
    }

    /// Takes note that the token is about to end.
    pub(super) fn expiring(&mut self, at: Option<Timestamp>) {
        self.ends = at;
        // A server tells a minute ahead, also of a token that lives no longer than that: such a one has time.
        if let (Some(token), Step::Idle | Step::Sent(_)) = (&self.token, &self.step) {
            self.step = Step::Due(self.client.renewal_due(token));
        }
    }

    /// Takes note that the server goes on by the token that it was given.
    pub(super) fn accepted(&mut self) {
        if let Step::Sent(token) = std::mem::replace(&mut self.step, Step::Idle) {
            self.token = Some(token);
            self.backoff.reset();
        }
    }

    /// Takes note that the server refuses something: the token, if it was given one.
    pub(super) fn refused(&mut self, code: String, message: String) -> Option<Ending> {
        let (variant, status): (fn(Refusal) -> Error, u16) = match &*code {
            "unauthorized" => (Error::Unauthorized, 401),
            "forbidden" => (Error::Forbidden, 403),
            _ => return None,
        };
        if !matches!(self.step, Step::Sent(_)) {
            return None;
        }
        self.step = Step::Idle;
        let why = variant(Refusal { status, code, message, request_id: None, retry_after: None });
        Some(Ending { at: self.ends, why })
    }

    /// Waits for another token, to be given to the server; or for the certainty that there is none.
    ///
    /// # Cancel safety
    /// Cancel safe: what was asked for is still under way with the next call.
    pub(super) async fn renewed(&mut self) -> Result<Token, Ending> {
        loop {
            match &mut self.step {
                Step::Idle | Step::Sent(_) => return std::future::pending().await,
                Step::Due(at) => {
                    sleep_until(*at).await;
                    let (client, old) = (self.client.clone(), self.token.clone());
                    self.step = Step::Asking(Box::pin(async move { client.renew(old.as_ref()).await }));
                }
                Step::Asking(asked) => match asked.await {
                    Ok(token) => {
                        self.step = Step::Sent(token.clone());
                        return Ok(token);
                    }
                    // The connection lasts as long as the token; then it is closed, and the same is tried again.
                    Err(error) if error.is_transient() => {
                        self.step = Step::Due(Instant::now() + self.backoff.next(fastrand::f64()));
                    }
                    Err(why) => {
                        self.step = Step::Idle;
                        return Err(Ending { at: self.ends, why });
                    }
                },
            }
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("ends", &self.ends).finish_non_exhaustive()
    }
}
