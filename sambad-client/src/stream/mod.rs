//! A stream of events that survives what happens to its connection.
//!
//! [`Machine`] decides and knows no socket; [`Wire`](wire::Wire) carries, by one of three transports, and decides nothing.
//! This file turns what happens to the one into input for the other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sambad_core::Cursor;
use tokio::time::Instant;

use crate::client::Client;
use crate::close::{self, Verdict};
use crate::error::Error;
use crate::token::Token;

mod decoder;
mod frame;
mod item;
mod lease;
mod machine;
mod options;
#[cfg(feature = "testing")]
pub mod parsers;
mod poll;
mod socket;
mod sse;
mod transport;
mod wire;

pub use item::{Item, Resync, ResyncReason, State};
pub use options::EventStreamOptions;
pub use transport::{InvalidTransport, Transport};

use frame::Frame;
use lease::{Ending, Lease};
use machine::{Fault, Machine};
use wire::{End, Target, Wire};

/// The close code of a session whose token has ended or was revoked.
const UNAUTHORIZED: u16 = 4501;

/// A stream of events: connects, replays, goes live, and after a cut goes on where it was.
///
/// It passes on every event that was asked for, in `seq` order, exactly once, until an [`Item::Resync`] says otherwise, and asks
/// after a reconnect for what follows the last one.
///
/// A server that keeps the contract leaves no hole and repeats no event. When one does, the stream passes nothing of it on, ends
/// the connection, reports [`Error::Anomaly`] in [`State::Reconnecting`], and reconnects from its cursor: after a repeat by
/// another transport, if [`Transport::Auto`] allows it. A hole that is still there then is reported as
/// [`ResyncReason::Loss`], and the stream continues behind it. Under a filter, and with a token of one user, holes are normal.
///
/// Nothing runs in the background: the stream lives by [`next`](Self::next) being called. One that is not read for long
/// is not lost; the server may close it meanwhile, and it reconnects.
///
/// With [`Transport::Auto`] it is a WebSocket, and where the server is reached but a WebSocket does not get through, an event
/// stream or else a long poll; [`State::Live`] says which. What worked last is used again. When nothing gets through, it
/// begins again with the WebSocket.
///
/// Of a client with tokens it goes on by the next one when one ends: a WebSocket is told, and does not reconnect for that.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    options: EventStreamOptions,
    machine: Machine,
    link: Link,
    /// The token for which the server closed the last connection: the next one needs another.
    refused: Option<Token>,
}

type Dial = Pin<Box<dyn Future<Output = Result<(Wire, Option<Token>), End>> + Send>>;

/// What happens to an open connection.
enum Turn {
    Read(Result<Frame, End>),
    Renewed(Result<Token, Ending>),
}

/// How far the connection is. Futures in progress are kept here, not in `next`, so that dropping `next` loses nothing.
enum Link {
    /// To be dialled, when the time has come.
    Waiting { until: Option<Instant> },
    /// On its way.
    Dialing(Dial),
    /// Carrying frames.
    Open(Box<Wire>, Box<Lease>),
    /// Never to be dialled again.
    Ended,
}

impl EventStream {
    pub(crate) fn new(client: Client, options: EventStreamOptions) -> Self {
        let machine = Machine::new(&options);
        Self { client, options, machine, link: Link::Waiting { until: None }, refused: None }
    }

    /// The position up to which everything was passed on; `None` before the first connection, unless one was given.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.machine.cursor()
    }

    /// The next item: an event, a change of state, or a resync; `None` when the stream has ended.
    ///
    /// # Errors
    /// Only what another attempt would not mend: the server refuses the request (4xx), breaks the contract, closes
    /// with a code that forbids coming back, or the token is not good and there is no other. The item after an error is `None`. Everything else is a
    /// [`State::Reconnecting`].
    /// # Cancel safety
    /// Cancel safe: an item is passed on by the call that returns it, or by a later one.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        loop {
            if let Some(item) = self.machine.take() {
                return Some(Ok(item));
            }
            let outcome = match &mut self.link {
                Link::Ended => return None,
                Link::Waiting { until } => {
                    if let Some(until) = *until {
                        tokio::time::sleep_until(until).await;
                    }
                    self.dial();
                    continue;
                }
                Link::Dialing(dial) => dial.await.map(|(wire, token)| {
                    self.refused = None;
                    let claims = token.as_ref().and_then(Token::claims);
                    self.machine.dialled(claims.is_some_and(|claims| claims.confined));
                    self.link = Link::Open(Box::new(wire), Box::new(Lease::new(self.client.clone(), token)));
                }),
                Link::Open(wire, lease) => {
                    let turn = tokio::select! {
                        // A flood of events must not keep the token from being renewed.
                        biased;
                        renewed = lease.renewed() => Turn::Renewed(renewed),
                        frame = wire.read() => Turn::Read(frame),
                    };
                    self.turn(turn)
                }
            };
            if let Err(end) = outcome
                && let Err(error) = self.lost(end)
            {
                return Some(Err(error));
            }
        }
    }

    /// Says goodbye, so that the server need not find out; waits at most a second for its answer.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn close(self) {
        if let Link::Open(wire, _) = self.link {
            wire.close().await;
        }
    }

    fn dial(&mut self) {
        let EventStreamOptions { filter, connect_timeout: limit, .. } = self.options;
        let (transport, after) = (self.machine.transport(), self.machine.after());
        self.machine.dialing();
        let target = Target { client: self.client.clone(), transport, after, filter, limit };
        self.link = Link::Dialing(Box::pin(target.dial(self.refused.clone())));
    }

    fn turn(&mut self, turn: Turn) -> Result<(), End> {
        match turn {
            Turn::Read(frame) => return self.receive(frame?),
            Turn::Renewed(Ok(token)) => {
                if let Link::Open(wire, _) = &mut self.link {
                    wire.authenticate(&token);
                }
            }
            Turn::Renewed(Err(ending)) => self.machine.token_ends(ending),
        }
        Ok(())
    }

    fn receive(&mut self, frame: Frame) -> Result<(), End> {
        if let Link::Open(wire, lease) = &mut self.link {
            match &frame {
                Frame::Connected(connected) => wire.expect_heartbeat(connected.heartbeat() + self.options.grace),
                Frame::TokenExpiring(until) => lease.expiring(until.expires_at),
                Frame::Authenticated => lease.accepted(),
                Frame::Refused { code, message } => {
                    if let Some(ending) = lease.refused(code.clone(), message.clone()) {
                        self.machine.token_ends(ending);
                    }
                }
                _ => {}
            }
        }
        self.machine.frame(frame, Instant::now()).map_err(|fault| {
            End::Faulty(match fault {
                Fault::Anomaly(anomaly) => Error::Anomaly(anomaly),
                Fault::Position(what) => self.client.protocol(what),
            })
        })
    }

    /// Decides what the end of a connection means: another attempt, the end, or a final error.
    fn lost(&mut self, end: End) -> Result<(), Error> {
        if let Link::Open(_, lease) = std::mem::replace(&mut self.link, Link::Ended)
            && matches!(end, End::Closed { code: UNAUTHORIZED, .. })
        {
            self.refused = lease.token().cloned();
        }
        let end = match end {
            End::Blocked(error) => match self.machine.blocked(error, Instant::now(), fastrand::f64()) {
                Ok(delay) => {
                    self.wait(delay);
                    return Ok(());
                }
                Err(error) => End::Failed(error),
            },
            End::Faulty(error) => {
                let delay = self.machine.faulty(error, Instant::now(), fastrand::f64());
                self.wait(delay);
                return Ok(());
            }
            other => other,
        };
        let (verdict, why) = match end {
            End::Failed(error) if error.is_transient() => (Verdict::Reconnect { after: error.retry_after() }, error),
            End::Failed(error) | End::Blocked(error) | End::Faulty(error) => (Verdict::Final, error),
            // Not with the same token: with another, if there is one to be had.
            End::Closed { code: code @ UNAUTHORIZED, reason } if self.client.can_renew() => {
                (Verdict::Reconnect { after: None }, Error::closed(code, reason))
            }
            End::Closed { code, reason } => (close::judge(code, &reason), Error::closed(code, reason)),
        };
        match verdict {
            Verdict::Done => self.machine.closed(),
            Verdict::Final => return Err(why),
            Verdict::Reconnect { after } => {
                let delay = self.machine.lost(why, after, Instant::now(), fastrand::f64());
                self.wait(delay);
            }
        }
        Ok(())
    }

    fn wait(&mut self, delay: Duration) {
        self.link = Link::Waiting { until: Some(Instant::now() + delay) };
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting { .. } => "Waiting",
            Self::Dialing(_) => "Dialing",
            Self::Open(..) => "Open",
            Self::Ended => "Ended",
        })
    }
}
