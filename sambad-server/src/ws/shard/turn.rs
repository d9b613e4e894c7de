//! What a shard does when it is its turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use sambad_core::{Cursor, Error, Event, Filter, Log, LogBounds, LogSlice, Seq, event};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::audience::{Audience, SessionKey, Sessions};
use super::outbound::{Outbound, Phase, Sent};
use super::run::Run;
use super::{Opening, Request};
use crate::ws::close::CloseReason;
use crate::ws::frames::ServerFrame;

/// Writes after which others on this core have their turn: some hundred microseconds.
const WRITES_A_TURN: usize = 64;
/// Events of one run, at most; the log bounds its bytes.
const RUN_EVENTS_MAX: usize = 1024;
/// Events of one page of the store.
const PAGE_EVENTS: u32 = 1000;
/// Pages being read at a time: below the number of connections that read, so that requests find one free.
const READS_MAX: usize = 2;

/// A socket that takes bytes again, or has been full for too long.
type Unblocked = (SessionKey, OwnedWriteHalf, bool);

/// One shard.
pub(super) struct Shard {
    log: Arc<Log>,
    head: watch::Receiver<LogBounds>,
    requests: mpsc::Receiver<Request>,
    stall_timeout: Duration,
    /// Write halves that all shards own together.
    open: Arc<AtomicUsize>,
    /// Everything up to here has been fanned out to the live sessions.
    position: Seq,
    sessions: Sessions,
    audience: Audience,
    /// Sessions that can go on at once.
    ready: VecDeque<SessionKey>,
    /// Sessions whose cursor lies beyond the shard's position: a snapshot they read was ahead of what is announced.
    ahead: Vec<SessionKey>,
    blocked: FuturesUnordered<BoxFuture<'static, Unblocked>>,
    /// Sessions that wait for a page of the store, in their order.
    unread: VecDeque<SessionKey>,
    reading: FuturesUnordered<BoxFuture<'static, (SessionKey, Result<LogSlice, Error>)>>,
}

/// What a shard waits for.
enum Input {
    Request(Option<Request>),
    Grown,
    Unblocked(Unblocked),
    Page(SessionKey, Result<LogSlice, Error>),
    Ready,
}

impl Shard {
    pub(super) fn new(log: Arc<Log>, requests: mpsc::Receiver<Request>, stall_timeout: Duration, open: Arc<AtomicUsize>) -> Self {
        let head = log.watch();
        let position = log.bounds().head;
        Self {
            log,
            head,
            requests,
            stall_timeout,
            open,
            position,
            sessions: Sessions::with_key(),
            audience: Audience::default(),
            ready: VecDeque::new(),
            ahead: Vec::new(),
            blocked: FuturesUnordered::new(),
            unread: VecDeque::new(),
            reading: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            // In no order: each source is bounded, so none can keep the others waiting for ever.
            let input = tokio::select! {
                request = self.requests.recv() => Input::Request(request),
                // The sender lives in the log that this shard holds.
                Ok(()) = self.head.changed() => Input::Grown,
                Some(unblocked) = self.blocked.next() => Input::Unblocked(unblocked),
                Some((key, page)) = self.reading.next() => Input::Page(key, page),
                () = tokio::task::yield_now(), if !self.ready.is_empty() => Input::Ready,
            };
            match input {
                Input::Request(None) => return,
                Input::Request(Some(request)) => self.serve(request).await,
                Input::Grown => self.fan_out().await,
                Input::Unblocked((key, socket, in_time)) => self.unblocked(key, socket, in_time),
                Input::Page(key, page) => self.page(key, page),
                Input::Ready => {
                    if let Some(key) = self.ready.pop_front() {
                        self.advance(key);
                    }
                }
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Open { opening, key } => self.open(*opening, key).await,
            Request::Answer { key, frames } => self.answer(key, &frames),
            Request::Filter { key, filter } => self.filter(key, filter),
            Request::Close { key } => {
                if let Some(session) = self.sessions.get_mut(key) {
                    leave_live(session, self.position);
                    session.phase = Phase::Closing;
                    self.advance(key);
                }
            }
            Request::Gone { key } => self.remove(key),
        }
    }

    async fn open(&mut self, opening: Opening, opened: oneshot::Sender<SessionKey>) {
        let Opening { socket, greeting, cursor, filter, replaying, notice } = opening;
        let mut session = Outbound::new(socket, cursor, filter, replaying, notice);
        // The greeting is far below the bound of what may wait.
        let _ = session.answer(&greeting);
        // What is announced is fanned out first: a session that begins at the head begins live.
        self.fan_out().await;
        let key = self.sessions.insert(session);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.audience.add(key, filter);
        if opened.send(key).is_ok() { self.advance(key) } else { self.remove(key) }
    }

    fn answer(&mut self, key: SessionKey, frames: &[u8]) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        leave_live(session, self.position);
        if session.answer(frames) { self.advance(key) } else { self.give_up(key, CloseReason::Stalled) }
    }

    fn filter(&mut self, key: SessionKey, filter: Filter) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        leave_live(session, self.position);
        self.audience.remove(key, session.filter);
        self.audience.add(key, filter);
        session.filter = filter;
        let cursor = Cursor { epoch: self.log.bounds().epoch, seq: session.cursor };
        let frame = event::text_frame(&ServerFrame::subscribed(&filter, cursor).to_json());
        self.answer(key, &frame);
    }

    /// Hands what was committed since the last time to every live session that asks for it.
    async fn fan_out(&mut self) {
        self.head.mark_unchanged();
        loop {
            let Some(slice) = self.log.recent(self.position, &Filter::default(), RUN_EVENTS_MAX) else {
                self.fall_off();
                break;
            };
            if slice.through <= self.position {
                break;
            }
            self.deliver(&slice.events).await;
            self.position = slice.through;
        }
        self.ready.extend(self.ahead.drain(..));
    }

    /// The tail no longer reaches back to the shard's position, or has a hole: every session reads on by itself.
    fn fall_off(&mut self) {
        for (key, session) in &mut self.sessions {
            if session.phase == Phase::Live {
                leave_live(session, self.position);
                self.ready.push_back(key);
            }
        }
        self.position = self.log.bounds().head;
    }

    /// Writes `events`, which follow the shard's position, to the live sessions that ask for them.
    async fn deliver(&mut self, events: &[Event]) {
        let mut writes = 0;
        let mut ended = Vec::new();
        for (kinds, members) in &self.audience.by_kinds {
            let Some(run) = Run::of(events.iter().filter(|event| kinds.contains(event.kind))) else { continue };
            for key in members {
                ended.extend(send_live(&mut self.sessions, *key, &run, self.position));
                writes += 1;
                if writes % WRITES_A_TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        for (key, events) in concerned(&self.audience, &self.sessions, events) {
            let Some(run) = Run::of(events) else { continue };
            ended.extend(send_live(&mut self.sessions, key, &run, self.position));
            writes += 1;
            if writes % WRITES_A_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        for (key, sent) in ended {
            if sent == Sent::Blocked { self.wait_for_socket(key) } else { self.remove(key) }
        }
    }

    /// Takes a session one step on: what is left, then one run of events.
    fn advance(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.socket.is_none() {
            return;
        }
        match session.flush() {
            Sent::All => {}
            Sent::Blocked => return self.wait_for_socket(key),
            Sent::Broken => return self.remove(key),
        }
        match session.phase {
            Phase::Closing => self.remove(key),
            Phase::Live | Phase::Reading | Phase::Silent => {}
            Phase::Behind if session.cursor < self.position => self.catch_up(key),
            Phase::Behind => self.caught_up(key),
        }
    }

    /// Sends a run from the tail, or has a page of the store read.
    fn catch_up(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match self.log.recent(session.cursor, &session.filter, RUN_EVENTS_MAX) {
            Some(slice) => self.send_slice(key, &slice),
            None => {
                session.phase = Phase::Reading;
                self.unread.push_back(key);
                self.read_pages();
            }
        }
    }

    fn send_slice(&mut self, key: SessionKey, slice: &LogSlice) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let before = session.cursor;
        let sent = Run::of(&slice.events).map_or(Sent::All, |run| session.send(&run, before));
        match sent {
            Sent::All => {
                session.cursor = slice.through;
                self.ready.push_back(key);
            }
            Sent::Blocked => self.wait_for_socket(key),
            Sent::Broken => self.remove(key),
        }
    }

    /// A session at or beyond the shard's position joins the live ones, or waits until they are where it is.
    fn caught_up(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let cursor = Cursor { epoch: self.log.bounds().epoch, seq: session.cursor };
        if std::mem::take(&mut session.replaying) {
            let _ = session.answer(&event::text_frame(&ServerFrame::live(cursor).to_json()));
            return self.ready.push_back(key);
        }
        if session.cursor > self.position {
            self.ahead.push(key);
        } else {
            session.phase = Phase::Live;
        }
    }

    /// Has pages of the store read for the sessions that wait, a few at a time.
    fn read_pages(&mut self) {
        while self.reading.len() < READS_MAX {
            let Some(key) = self.unread.pop_front() else { return };
            let Some(session) = self.sessions.get(key).filter(|session| session.phase == Phase::Reading) else { continue };
            let (log, cursor, filter) = (Arc::clone(&self.log), session.cursor, session.filter);
            self.reading.push(Box::pin(async move { (key, log.read(cursor, &filter, PAGE_EVENTS).await) }));
        }
    }

    fn page(&mut self, key: SessionKey, page: Result<LogSlice, Error>) {
        self.read_pages();
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.phase == Phase::Reading) else { return };
        session.phase = Phase::Behind;
        match page {
            // Its socket filled up with answers meanwhile: it reads again when that is over.
            Ok(_) if session.socket.is_none() => {}
            Ok(slice) => self.send_slice(key, &slice),
            Err(Error::CursorGone { reason }) => {
                let bounds = self.log.bounds();
                session.cursor = bounds.head;
                session.replaying = false;
                let _ = session.answer(&event::text_frame(&ServerFrame::resync(reason, bounds.head_cursor()).to_json()));
                self.ready.push_back(key);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "reading the log failed");
                self.give_up(key, CloseReason::Drain { reconnect_after: Duration::from_secs(1) });
            }
        }
    }

    /// Waits until the socket takes more; it was full when the session's last write ended.
    fn wait_for_socket(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(socket) = session.socket.take() else { return };
        let deadline = *session.stuck_since.get_or_insert_with(Instant::now) + self.stall_timeout;
        self.blocked.push(Box::pin(async move {
            let in_time = timeout_at(deadline, socket.writable()).await.is_ok();
            (key, socket, in_time)
        }));
    }

    fn unblocked(&mut self, key: SessionKey, socket: OwnedWriteHalf, in_time: bool) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.socket = Some(socket);
        if in_time { self.advance(key) } else { self.give_up(key, CloseReason::Stalled) }
    }

    /// Sends a session no more events and lets its reading half say why.
    fn give_up(&mut self, key: SessionKey, reason: CloseReason) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.phase = Phase::Silent;
        if let Some(notice) = session.notice.take() {
            // If the reading half is gone, its own request to end this session is on the way.
            let _ = notice.send(reason);
        }
    }

    fn remove(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.remove(key) {
            self.audience.remove(key, session.filter);
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A live session stands at the shard's position; from now on it stands at its own.
fn leave_live(session: &mut Outbound, position: Seq) {
    if session.phase == Phase::Live {
        session.phase = Phase::Behind;
        session.cursor = position;
    }
}

/// Sends a run to a session if it is live; says so if that was not the end of it.
fn send_live(sessions: &mut Sessions, key: SessionKey, run: &Run, position: Seq) -> Option<(SessionKey, Sent)> {
    let session = sessions.get_mut(key).filter(|session| session.phase == Phase::Live)?;
    match session.send(run, position) {
        Sent::All => None,
        sent => {
            session.phase = Phase::Behind;
            Some((key, sent))
        }
    }
}

/// The sessions that follow somebody whom `events` involve, each with its events in their order.
fn concerned<'a>(audience: &Audience, sessions: &Sessions, events: &'a [Event]) -> HashMap<SessionKey, Vec<&'a Event>> {
    let mut concerned: HashMap<SessionKey, Vec<&Event>> = HashMap::new();
    if audience.by_user.is_empty() {
        return concerned;
    }
    for event in events {
        let other = event.involved.other.filter(|other| *other != event.involved.user);
        for user in std::iter::once(event.involved.user).chain(other) {
            for key in audience.by_user.get(&user).into_iter().flatten() {
                if sessions.get(*key).is_some_and(|session| session.filter.kinds.contains(event.kind)) {
                    concerned.entry(*key).or_default().push(event);
                }
            }
        }
    }
    concerned
}
