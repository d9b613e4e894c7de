//! Decides what a stream does and says; pure, so that every case can be tested without a socket or a clock.
//!
//! Source: kube-rs `kube-runtime/src/watcher.rs` (states and a step function), `utils/stream_backoff.rs` (failures are
//! items; success resets the delay).

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Url;
use sambad_core::{After, Cursor, Epoch, Filter, Seq};
use tokio::time::Instant;

use super::frame::{Connected, Frame};
use super::item::{Item, Resync, ResyncReason, State};
use super::lease::Ending;
use super::options::EventStreamOptions;
use super::transport::Transport;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::event::Event;
use crate::rest::events::types;
use crate::verifier::Anomaly;

/// How long a reader stays on a lower transport before its next reconnect tries from the top again.
const CLIMB_AFTER: Duration = Duration::from_secs(600);

/// What the server says although the contract does not allow it. The connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// About an event.
    Anomaly(Anomaly),
    /// About the stream's position.
    Position(String),
}

#[derive(Debug)]
pub(super) struct Machine {
    /// What the reader asked for; counts until there is a cursor.
    after: Option<After>,
    filter: Filter,
    /// Whether each event is the one after the one before: the stream has no filter, and is not of one user by its token.
    dense: bool,
    /// The cursor before a hole for which the stream came back once.
    hole: Option<Cursor>,
    /// What the reader wants to be used.
    asked: Transport,
    /// What is used: that which worked last, or is to be tried next.
    transport: Transport,
    /// When a transport was last found not to get through.
    stepped_down: Option<Instant>,
    /// Everything up to here was passed on (or was before the stream).
    cursor: Option<Cursor>,
    session: Option<Session>,
    /// Told to the reader before anything else happens: at most the two items that one input causes.
    items: VecDeque<Item>,
    backoff: Backoff,
    attempt: u32,
}

/// What is known about the current connection since its first frame.
#[derive(Debug)]
struct Session {
    /// Where the server began, and the log's epoch.
    start: Cursor,
    since: Instant,
    live: bool,
    /// Whether it brought an event: then the connection was of use.
    fruitful: bool,
}

impl Machine {
    pub(super) fn new(options: &EventStreamOptions) -> Self {
        let cursor = match options.after {
            Some(After::Cursor(cursor)) => Some(cursor),
            Some(After::Seq(_)) | None => None,
        };
        let backoff = Backoff::new(options.backoff_initial, options.backoff_cap);
        Self {
            after: options.after,
            filter: options.filter,
            dense: options.filter == Filter::default(),
            hole: None,
            asked: options.transport,
            transport: options.transport.first(),
            stepped_down: None,
            cursor,
            session: None,
            items: VecDeque::new(),
            backoff,
            attempt: 0,
        }
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// The position to ask for.
    pub(super) fn after(&self) -> Option<After> {
        self.cursor.map(After::Cursor).or(self.after)
    }

    /// The transport to dial with; never `Auto`.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn take(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    pub(super) fn dialing(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
        self.items.push_back(Item::State(State::Connecting { attempt: self.attempt, transport: self.transport }));
    }

    /// Takes note of a connection; of one that is `confined` to a user, a part of the events comes without a filter as well.
    pub(super) fn dialled(&mut self, confined: bool) {
        self.dense = self.filter == Filter::default() && !confined;
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it is passed on, and the connection has to end with [`faulty`](Self::faulty).
    pub(super) fn frame(&mut self, frame: Frame, now: Instant) -> Result<(), Fault> {
        match frame {
            Frame::Connected(connected) => self.connected(&connected, now),
            Frame::Event(event) => self.event(event),
            Frame::Live(position) => self.live(position.cursor),
            Frame::Resync(resync) => {
                let session = self.session.as_mut().ok_or_else(out_of_place)?;
                session.start = resync.cursor;
                self.cursor = Some(resync.cursor);
                self.items.push_back(Item::Resync(Resync { reason: resync.reason.into(), cursor: resync.cursor }));
                self.live(resync.cursor)
            }
            // So that the cursor of a reader whose filter lets little through does not grow old.
            Frame::Passed(cursor) => self.advance(cursor, false),
            // Of the token, or of the connection's end, which is not the machine's business.
            Frame::TokenExpiring(_) | Frame::Authenticated | Frame::Refused { .. } | Frame::Closed { .. } | Frame::Other => {
                Ok(())
            }
        }
    }

    /// Ends the connection and says how long to wait before the next; `random` is from 0 to 1.
    pub(super) fn lost(&mut self, why: Error, asked: Option<Duration>, now: Instant, random: f64) -> Duration {
        if let Some(session) = self.session.take()
            && (session.fruitful || now.duration_since(session.since) >= self.backoff.cap())
        {
            // A mere handshake is no success: a server that accepts and drops would be dialled without end or pause.
            self.backoff.reset();
        }
        if self.stepped_down.is_some_and(|at| now.duration_since(at) >= CLIMB_AFTER) {
            // What looked blocked may have been a server that restarted behind its proxy, or a proxy that is mended by now.
            (self.transport, self.stepped_down) = (self.asked.first(), None);
        }
        let delay = match asked {
            // Told to this session alone: the server has spread them.
            Some(asked) if matches!(why, Error::Closed { .. }) => asked,
            // `Retry-After` is the same for everybody: later by up to a quarter.
            Some(asked) => asked + asked.mul_f64(random / 4.0),
            None => self.backoff.next(random),
        };
        self.items.push_back(Item::State(State::Reconnecting { delay, why }));
        delay
    }

    /// Ends a connection that brought what the contract does not allow, and says how long to wait before the next.
    ///
    /// Something between may have made it so, such as a cache: then another transport helps, if the reader wants any. A hole is
    /// first asked for again by the same one.
    pub(super) fn faulty(&mut self, why: Error, now: Instant, random: f64) -> Duration {
        if self.asked == Transport::Auto && !matches!(why, Error::Anomaly(Anomaly::Gap { .. })) {
            self.stepped_down = self.transport.below().map(|_| now);
            self.transport = self.transport.below().unwrap_or(self.asked.first());
        }
        if let Some(session) = &mut self.session {
            // Events before the fault do not make it a success: a server that repeats it would be dialled without end or pause.
            session.fruitful = false;
        }
        self.lost(why, None, now, random)
    }

    /// Takes note that the transport does not get through, and says how long to wait before the next one is tried.
    ///
    /// # Errors
    /// Gives the failure back when the reader wants this transport and no other.
    pub(super) fn blocked(&mut self, why: Error, now: Instant, random: f64) -> Result<Duration, Error> {
        if self.asked != Transport::Auto {
            return Err(why);
        }
        let Some(below) = self.transport.below() else {
            // Nothing gets through: that is an outage, or a wrong address.
            self.transport = self.asked.first();
            return Ok(self.lost(why, None, now, random));
        };
        self.transport = below;
        self.stepped_down = Some(now);
        // At once. A server that restarts behind a proxy looks the same for as long as it takes, and the shorter the time
        // between two attempts, the surer it is that the transport made the difference and not the server's return.
        let delay = Duration::ZERO;
        self.items.push_back(Item::State(State::Reconnecting { delay, why }));
        Ok(delay)
    }

    /// Tells that the connection will end with its token.
    pub(super) fn token_ends(&mut self, ending: Ending) {
        self.items.push_back(Item::State(State::TokenExpiring { at: ending.at, why: ending.why }));
    }

    pub(super) fn closed(&mut self) {
        self.session = None;
        self.items.push_back(Item::State(State::Closed));
    }

    fn connected(&mut self, connected: &Connected, now: Instant) -> Result<(), Fault> {
        let start = connected.cursor;
        let resuming = self.after().is_some();
        self.attempt = 0;
        self.session = Some(Session { start, since: now, live: false, fruitful: false });
        // A cursor of ours stays until an event, `live` or `resync` moves it: were the connection cut between a
        // `connected` that starts elsewhere and its `resync`, the reader would never hear of the loss.
        let begins = match self.after {
            Some(After::Seq(seq)) if seq != Seq::ZERO => Cursor { seq, ..start },
            _ => start,
        };
        self.cursor.get_or_insert(begins);
        if !resuming {
            return self.live(start);
        }
        self.items.push_back(Item::State(State::Replaying { cursor: start, head: connected.head, transport: self.transport }));
        Ok(())
    }

    fn live(&mut self, cursor: Cursor) -> Result<(), Fault> {
        self.advance(cursor, false)?;
        if let Some(session) = &mut self.session
            && !std::mem::replace(&mut session.live, true)
        {
            self.items.push_back(Item::State(State::Live { cursor, transport: self.transport }));
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Fault> {
        let epoch = self.session.as_ref().map_or(Epoch(0), |session| session.start.epoch);
        self.advance(Cursor { epoch, seq: event.seq }, true)?;
        if let Some(session) = &mut self.session {
            session.fruitful = true;
        }
        self.items.push_back(Item::Event(event));
        Ok(())
    }

    /// Moves the cursor to an event, or to where the server says that the stream is; never back.
    ///
    /// A hole is a fault the first time, as the log may have what is missing. If it is still there after a reconnect, the stream
    /// reports a loss and continues behind the hole.
    fn advance(&mut self, to: Cursor, is_event: bool) -> Result<(), Fault> {
        let session = self.session.as_ref().ok_or_else(out_of_place)?;
        let from = self.cursor.unwrap_or(session.start);
        if session.start.epoch != to.epoch || from.epoch != to.epoch {
            return Err(Fault::Position(format!("the position changed from {from} to {to} without a resync")));
        }
        if is_event && to.seq <= from.seq {
            let (seq, last) = (to.seq, from.seq);
            let repeated = self.dense || seq == last;
            return Err(Fault::Anomaly(if repeated { Anomaly::Repeat { seq, last } } else { Anomaly::Reorder { seq, last } }));
        }
        if to.seq < from.seq {
            return Err(Fault::Position(format!("the position went back from {from} to {to}")));
        }
        let expected = if is_event { from.seq.next() } else { from.seq };
        if self.dense && to.seq > expected {
            let got = if is_event { to.seq } else { to.seq.next() };
            if self.hole.replace(from) != Some(from) {
                return Err(Fault::Anomaly(Anomaly::Gap { last: from.seq, got }));
            }
            let cursor = Cursor { seq: got.prev(), ..to };
            self.items.push_back(Item::Resync(Resync { reason: ResyncReason::Loss, cursor }));
        }
        self.cursor = Some(to);
        Ok(())
    }
}

fn out_of_place() -> Fault {
    Fault::Position("the first frame is not `connected`".into())
}

/// The address of the stream, with what is asked for.
pub(super) fn address(base: &Url, after: Option<After>, filter: Filter) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/ws", base.path().trim_end_matches('/')));
    let asked =
        [("after", after.map(|a| a.to_string())), ("types", types(filter.kinds)), ("user", filter.user.map(|u| u.to_string()))];
    for (key, value) in asked {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(key, &value);
        }
    }
    url
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
