//! A stream of events that survives what happens to its connection.
//!
//! [`Machine`] decides and knows no socket; [`Socket`](socket::Socket) carries and decides nothing. This file turns
//! what happens to the one into input for the other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use reqwest::Url;
use sambad_core::Cursor;
use tokio::time::Instant;

use crate::close::{self, Verdict};
use crate::error::Error;

mod frame;
mod item;
mod machine;
mod options;
mod socket;

pub use item::{Item, Resync, State};
pub use options::EventStreamOptions;

use frame::Frame;
use machine::Machine;
use socket::{End, Socket};

/// A stream of events: connects, replays, goes live, and after a cut goes on where it was.
///
/// It passes on exactly what the server sends, in that order, and asks after a reconnect for what follows the last
/// event it passed on. With a server that keeps the contract, that is every event, in `seq` order, exactly once, until
/// an [`Item::Resync`] says otherwise; [`Verifier`](crate::Verifier) checks it.
///
/// Nothing runs in the background: the stream lives by [`next`](Self::next) being called. One that is not read for long
/// is not lost; the server may close it meanwhile, and it reconnects.
#[derive(Debug)]
pub struct EventStream {
    url: Url,
    options: EventStreamOptions,
    machine: Machine,
    link: Link,
}

type Dial = Pin<Box<dyn Future<Output = Result<Socket, Error>> + Send>>;

/// How far the connection is. Futures in progress are kept here, not in `next`, so that dropping `next` loses nothing.
enum Link {
    /// To be dialled, when the time has come.
    Waiting { until: Option<Instant> },
    /// On its way.
    Dialing(Dial),
    /// Carrying frames.
    Open(Box<Socket>),
    /// Never to be dialled again.
    Ended,
}

impl EventStream {
    pub(crate) fn new(url: Url, options: EventStreamOptions) -> Self {
        let machine = Machine::new(&options);
        Self { url, options, machine, link: Link::Waiting { until: None } }
    }

    /// The position up to which everything was passed on; `None` before the first connection, unless one was given.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.machine.cursor()
    }

    /// The next item: an event, a change of state, or a resync; `None` when the stream has ended.
    ///
    /// # Errors
    /// Only what another attempt would not mend: the server refuses the request (4xx), breaks the contract, or closes
    /// with a code that forbids coming back. The item after an error is `None`. Everything else is a
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
                Link::Dialing(dial) => dial.await.map(|socket| self.link = Link::Open(Box::new(socket))).map_err(End::Failed),
                Link::Open(socket) => match socket.read().await {
                    Ok(text) => {
                        Frame::parse(&text).map(|frame| self.receive(frame)).map_err(|error| End::Failed(self.protocol(&error)))
                    }
                    Err(end) => Err(end),
                },
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
        if let Link::Open(socket) = self.link {
            socket.close().await;
        }
    }

    fn dial(&mut self) {
        let url = machine::address(&self.url, self.machine.after(), self.options.filter);
        self.machine.dialing();
        self.link = Link::Dialing(Box::pin(Socket::dial(url, self.options.connect_timeout)));
    }

    fn receive(&mut self, frame: Frame) {
        if let (Frame::Connected(connected), Link::Open(socket)) = (&frame, &mut self.link) {
            socket.expect_heartbeat(connected.heartbeat() + self.options.grace);
        }
        self.machine.frame(frame, Instant::now());
    }

    /// Decides what the end of a connection means: another attempt, the end, or a final error.
    fn lost(&mut self, end: End) -> Result<(), Error> {
        self.link = Link::Ended;
        let (verdict, why) = match end {
            End::Failed(error) if error.is_transient() => (Verdict::Reconnect { after: error.retry_after() }, error),
            End::Failed(error) => (Verdict::Final, error),
            End::Closed { code, reason } => (close::judge(code, &reason), Error::Closed { code, reason }),
        };
        match verdict {
            Verdict::Done => self.machine.closed(),
            Verdict::Final => return Err(why),
            Verdict::Reconnect { after } => {
                let delay = self.machine.lost(why, after, Instant::now(), fastrand::f64());
                self.link = Link::Waiting { until: Some(Instant::now() + delay) };
            }
        }
        Ok(())
    }

    fn protocol(&self, error: &serde_json::Error) -> Error {
        Error::Protocol { url: self.url.as_str().trim_end_matches('/').into(), what: format!("frame that is no event: {error}") }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting { .. } => "Waiting",
            Self::Dialing(_) => "Dialing",
            Self::Open(_) => "Open",
            Self::Ended => "Ended",
        })
    }
}
