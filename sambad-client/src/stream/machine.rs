//! Decides what a stream does and says; pure, so that every case can be tested without a socket or a clock.
//!
//! Source: kube-rs `kube-runtime/src/watcher.rs` (states and a step function), `utils/stream_backoff.rs` (failures are
//! items; success resets the delay).

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Url;
use sambad_core::{After, Cursor, Filter};
use tokio::time::Instant;

use super::frame::{Connected, Frame};
use super::item::{Item, Resync, State};
use super::lease::Ending;
use super::options::EventStreamOptions;
use super::transport::Transport;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::event::Event;
use crate::rest::events::types;

/// How long a reader stays on a lower transport before its next reconnect tries from the top again.
const CLIMB_AFTER: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Machine {
    /// What the reader asked for; counts until there is a cursor.
    after: Option<After>,
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

    pub(super) fn frame(&mut self, frame: Frame, now: Instant) {
        match frame {
            Frame::Connected(connected) => self.connected(&connected, now),
            Frame::Event(event) => self.event(event),
            Frame::Live(position) => self.live(position.cursor),
            Frame::Resync(resync) => {
                self.cursor = Some(resync.cursor);
                if let Some(session) = &mut self.session {
                    session.start = resync.cursor;
                }
                self.items.push_back(Item::Resync(Resync { reason: resync.reason, cursor: resync.cursor }));
                self.live(resync.cursor);
            }
            Frame::Passed(cursor) => self.passed(cursor),
            // Of the token, which is not the machine's business.
            Frame::TokenExpiring(_) | Frame::Authenticated | Frame::Refused { .. } | Frame::Other => {}
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

    fn connected(&mut self, connected: &Connected, now: Instant) {
        let start = connected.cursor;
        let resuming = self.after().is_some();
        self.attempt = 0;
        self.session = Some(Session { start, since: now, live: false, fruitful: false });
        // A cursor of ours stays until an event, `live` or `resync` moves it: were the connection cut between a
        // `connected` that starts elsewhere and its `resync`, the reader would never hear of the loss.
        self.cursor.get_or_insert(start);
        if resuming {
            self.items.push_back(Item::State(State::Replaying {
                cursor: start,
                head: connected.head,
                transport: self.transport,
            }));
        } else {
            self.live(start);
        }
    }

    fn live(&mut self, cursor: Cursor) {
        if let Some(session) = &mut self.session
            && !std::mem::replace(&mut session.live, true)
        {
            self.advance(cursor);
            self.items.push_back(Item::State(State::Live { cursor, transport: self.transport }));
        }
    }

    fn event(&mut self, event: Event) {
        if let Some(session) = &mut self.session {
            session.fruitful = true;
            let cursor = Cursor { epoch: session.start.epoch, seq: event.seq };
            self.advance(cursor);
        }
        self.items.push_back(Item::Event(event));
    }

    /// So that the cursor of a reader whose filter lets little through does not grow old.
    fn passed(&mut self, cursor: Cursor) {
        if self.session.is_some() {
            self.advance(cursor);
        }
    }

    /// Moves the cursor, but never back within an epoch: a repeated event must not cause more repeats.
    fn advance(&mut self, to: Cursor) {
        if self.cursor.is_none_or(|cursor| cursor.epoch != to.epoch || cursor.seq < to.seq) {
            self.cursor = Some(to);
        }
    }
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
