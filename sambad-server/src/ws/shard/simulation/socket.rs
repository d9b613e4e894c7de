//! A socket that takes what chance lets it, and the client behind it, which judges every frame.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use sambad_core::{After, Cursor, Filter, LogBounds, ResyncReason, Seq};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::chance::{Conditions, locked};
use super::reader::Reader;
use super::world::World;
use crate::ws::shard::socket::Socket;

/// What a client is still to be told, in this order.
#[derive(Debug)]
pub(super) enum Due {
    Connected(Cursor),
    /// It asked for a position, and what was stored then.
    Resync(After, LogBounds),
    Pong,
    Ping,
    Subscribed(Filter),
}

/// Both ends of a socket.
pub(super) struct Link {
    pub(super) number: u64,
    world: Arc<World>,
    state: Mutex<State>,
    /// Something arrived, or the shard let go of its half.
    changed: Notify,
}

pub(super) struct State {
    /// Bytes that the socket takes before it is full; `None` for any number.
    room: Option<usize>,
    pub(super) broken: bool,
    let_go: bool,
    last_taken: Instant,
    writable: Option<Waker>,
    /// What has arrived and is no whole frame yet.
    partial: Vec<u8>,
    pub(super) reader: Reader,
    pub(super) due: VecDeque<Due>,
    live_due: bool,
    closed: bool,
    /// Where the client could resume from after each frame.
    pub(super) cursors: Vec<Cursor>,
}

impl Link {
    pub(super) fn new(world: &Arc<World>, start: Cursor, filter: Filter, live_due: bool, due: Vec<Due>) -> Arc<Self> {
        let state = State {
            room: Some(0),
            broken: false,
            let_go: false,
            last_taken: Instant::now(),
            writable: None,
            partial: Vec::new(),
            reader: Reader { position: start.seq, filter },
            due: due.into(),
            live_due,
            closed: false,
            cursors: Vec::new(),
        };
        let number = world.next_socket();
        Arc::new(Self { number, world: Arc::clone(world), state: Mutex::new(state), changed: Notify::new() })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// The client reads: there is room for more, `None` for any number of bytes.
    pub(super) fn make_room(&self, more: Option<usize>) {
        let mut state = self.state();
        state.room = state.room.zip(more).map(|(room, more)| room + more);
        state.wake();
    }

    pub(super) fn break_off(&self) {
        let mut state = self.state();
        state.broken = true;
        state.wake();
    }

    /// Whether the shard may say that the socket took no byte for too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.state().last_taken.elapsed() >= self.world.stall_timeout
    }

    /// What the client misses of everything up to `last`.
    pub(super) fn missing(&self, last: Seq) -> Option<Seq> {
        self.state().reader.missing(&self.world.truth(), last)
    }

    /// Waits until the client has seen everything up to `last`.
    pub(super) async fn caught_up(&self, last: Seq) {
        while self.missing(last).is_some() {
            self.changed.notified().await;
        }
    }

    pub(super) fn is_let_go(&self) -> bool {
        self.state().let_go
    }

    /// Waits until the shard has let go of its half.
    pub(super) async fn let_go(&self) {
        while !self.state().let_go {
            self.changed.notified().await;
        }
    }

    fn take(&self, bytes: &[u8]) -> io::Result<usize> {
        let Conditions { chance, odds, .. } = &*self.world.conditions;
        let mut state = self.state();
        if state.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.world.conditions.strikes(10) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let room = state.room.unwrap_or(bytes.len()).min(bytes.len());
        if room == 0 || self.world.conditions.strikes(odds.full_sockets / 10) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = if self.world.conditions.strikes(odds.short_writes) { chance.between(1, room) } else { room };
        state.room = state.room.map(|room| room - taken);
        state.last_taken = Instant::now();
        self.world.conditions.note(if taken < bytes.len() { "part taken" } else { "taken" }, self.number, taken as u64);
        state.partial.extend_from_slice(&bytes[..taken]);
        state.judge(&self.world, self.number);
        drop(state);
        self.changed.notify_one();
        Ok(taken)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.writable.take() {
            waker.wake();
        }
    }

    /// Judges every whole frame that has arrived.
    fn judge(&mut self, world: &World, number: u64) {
        let arrived = std::mem::take(&mut self.partial);
        let mut rest = &arrived[..];
        while let Some((opcode, payload, length)) = first_frame(rest) {
            assert!(!self.closed, "a frame after the close frame");
            match opcode {
                CLOSE => self.closed = true,
                PING => assert!(matches!(self.due.pop_front(), Some(Due::Ping)), "a ping that is not due"),
                TEXT => self.text(world, number, std::str::from_utf8(payload).unwrap(), &rest[..length]),
                other => panic!("a frame of opcode {other}: torn, or in the middle of another"),
            }
            rest = &rest[length..];
        }
        self.partial = rest.to_vec();
    }

    fn text(&mut self, world: &World, number: u64, json: &str, frame: &[u8]) {
        let kind = json.strip_prefix(r#"{"type":""#).and_then(|json| json.split('"').next());
        let stored = world.store.bounds();
        match (kind.expect("every frame begins with its type"), json) {
            ("connected", _) => {
                let Some(Due::Connected(start)) = self.due.pop_front() else { panic!("connected again") };
                assert_eq!(cursor(json), start);
            }
            ("resync", _) => {
                let asked = match self.due.front() {
                    Some(Due::Resync(after, then)) => Some((*after, *then)),
                    _ => None,
                };
                if asked.is_some() {
                    self.due.pop_front();
                }
                // A reader that has to begin anew is not told when it has caught up.
                self.live_due = false;
                world.conditions.note("resync", number, cursor(json).seq.0);
                self.reader.resyncs(stored, reason(json), cursor(json), asked);
            }
            ("live", _) => {
                assert!(std::mem::take(&mut self.live_due), "live again, or without a replay");
                world.conditions.note("live", number, cursor(json).seq.0);
                self.reader.passes(&world.truth(), cursor(json).seq);
            }
            ("pong", _) => assert!(matches!(self.due.pop_front(), Some(Due::Pong)), "a pong that is not due"),
            ("heartbeat", _) => {
                let Cursor { epoch, seq } = cursor(json);
                assert!(epoch == stored.epoch && seq > self.reader.position, "a heartbeat at {seq}, which the client knows");
                assert!(self.reader.filter != Filter::default(), "a heartbeat for a client that gets every event");
                world.conditions.note("heartbeat", number, seq.0);
                // Nothing that the filter lets through up to there is still to come.
                self.reader.passes(&world.truth(), seq);
            }
            ("subscribed", _) => {
                let Some(Due::Subscribed(filter)) = self.due.pop_front() else { panic!("a subscription that is not due") };
                world.conditions.note("subscribed", number, cursor(json).seq.0);
                self.reader.passes(&world.truth(), cursor(json).seq);
                self.reader.filter = filter;
            }
            (_, event) => {
                assert!(!matches!(self.due.front(), Some(Due::Connected(_) | Due::Resync(..))), "an event before the greeting");
                world.conditions.note("event", number, seq_of(event).0);
                self.reader.sees(&world.truth(), seq_of(event), frame);
            }
        }
        self.cursors.push(Cursor { epoch: stored.epoch, seq: self.reader.position });
    }
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// Opcode, payload and length in all of the first frame, if it is whole.
fn first_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (header, payload) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap()),
        length => (2, usize::from(length)),
    };
    Some((bytes[0], bytes.get(header..header + payload)?, header + payload))
}

fn text_after<'a>(json: &'a str, mark: &str) -> &'a str {
    json.split(mark).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("{mark} in {json}"))
}

fn cursor(json: &str) -> Cursor {
    text_after(json, r#""cursor":""#).parse().unwrap()
}

fn reason(json: &str) -> ResyncReason {
    let reasons = [ResyncReason::CursorExpired, ResyncReason::EpochChanged, ResyncReason::CursorAhead];
    let text = text_after(json, r#""reason":""#);
    reasons.into_iter().find(|reason| reason.as_str() == text).expect("a reason of the contract")
}

/// The seq stands last in an event.
fn seq_of(json: &str) -> Seq {
    let digits = json.rsplit(':').next().and_then(|last| last.strip_suffix('}'));
    Seq(digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("an event without seq: {json}")))
}

/// The half that a shard owns.
pub(super) struct FakeSocket(pub(super) Arc<Link>);

impl fmt::Debug for FakeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeSocket")
    }
}

impl Socket for FakeSocket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.take(bytes)
    }

    async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut state = self.0.state();
            // A kernel may wake somebody for nothing.
            if state.broken || state.room != Some(0) || self.0.world.conditions.strikes(50) {
                return Poll::Ready(Ok(()));
            }
            state.writable = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for FakeSocket {
    fn drop(&mut self) {
        self.0.state().let_go = true;
        self.0.changed.notify_one();
    }
}
