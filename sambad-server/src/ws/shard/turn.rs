//! What a shard does when it is its turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Aborted, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use sambad_core::{Cursor, Error, Filter, Log, LogBounds, LogSlice, Seq, event};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::audience::{Audience, SessionKey, Sessions};
use super::outbound::{Outbound, Phase, Sent};
use super::run::Run;
use super::socket::Socket;
use super::{Farewell, Opening, Request};
use crate::metrics::Deliveries;
use crate::sessions::Transport;
use crate::ws::close::CloseReason;
use crate::ws::frames::ServerFrame;

/// How much a shard does before others have their turn. A simulation takes small bounds, to meet them often.
#[derive(Debug, Clone, Copy)]
pub(super) struct TurnBounds {
    /// Writes after which others on this core have their turn. Default 64: some hundred microseconds.
    pub(super) writes: usize,
    /// Events of one run, at most. Default 1,024; the log bounds its bytes.
    pub(super) run_events: usize,
    /// Events of one page of the store. Default 1,000.
    pub(super) page_events: u32,
    /// Pages being read at a time for one shard. Default 2; the log bounds those of all readers together.
    pub(super) reads: usize,
    /// Requests served between two fan-outs, at most. Default 256.
    pub(super) requests: usize,
}

impl Default for TurnBounds {
    fn default() -> Self {
        Self { writes: 64, run_events: 1024, page_events: 1000, reads: 2, requests: 256 }
    }
}

/// A socket that takes bytes again, or has been full for too long; or the session was removed meanwhile.
type Unblocked<S> = Result<(SessionKey, S, bool), Aborted>;
/// A page of the store, and the filter it was read with.
type Page = (SessionKey, Filter, Result<LogSlice, Error>);

/// One shard.
pub(super) struct Shard<S> {
    pub(super) log: Arc<Log>,
    pub(super) head: watch::Receiver<LogBounds>,
    pub(super) requests: mpsc::Receiver<Request<S>>,
    stall_timeout: Duration,
    pub(super) bounds: TurnBounds,
    /// Sessions that all shards own together, but for those that are closing.
    pub(super) open: Arc<AtomicUsize>,
    pub(super) deliveries: Deliveries,
    /// Everything up to here has been fanned out to the live sessions.
    pub(super) position: Seq,
    pub(super) sessions: Sessions<S>,
    pub(super) audience: Audience,
    /// Sessions that ended before their reading halves: of each, one is on its way to say so.
    pub(super) departed: HashMap<SessionKey, Farewell>,
    /// Reading halves that wait for their session to end.
    pub(super) leaving: HashMap<SessionKey, oneshot::Sender<()>>,
    /// Sessions that can go on at once.
    pub(super) ready: VecDeque<SessionKey>,
    /// Sessions whose cursor lies beyond the shard's position: a snapshot they read was ahead of what is announced.
    pub(super) ahead: Vec<SessionKey>,
    pub(super) blocked: FuturesUnordered<BoxFuture<'static, Unblocked<S>>>,
    /// Sessions that wait for a page of the store, in their order.
    pub(super) unread: VecDeque<SessionKey>,
    pub(super) reading: FuturesUnordered<BoxFuture<'static, Page>>,
}

/// What a shard waits for.
pub(super) enum Input<S> {
    Request(Option<Request<S>>),
    Grown,
    Unblocked(Unblocked<S>),
    Page(Page),
    Ready,
}

impl<S: Socket> Shard<S> {
    pub(super) fn new(
        log: Arc<Log>,
        requests: mpsc::Receiver<Request<S>>,
        stall_timeout: Duration,
        bounds: TurnBounds,
        (open, deliveries): (Arc<AtomicUsize>, Deliveries),
    ) -> Self {
        let head = log.watch();
        let position = log.bounds().head;
        Self {
            log,
            head,
            requests,
            stall_timeout,
            bounds,
            open,
            deliveries,
            position,
            sessions: Sessions::with_key(),
            audience: Audience::default(),
            departed: HashMap::new(),
            leaving: HashMap::new(),
            ready: VecDeque::new(),
            ahead: Vec::new(),
            blocked: FuturesUnordered::new(),
            unread: VecDeque::new(),
            reading: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let input = self.next_input().await;
            if !self.handle(input).await {
                return;
            }
        }
    }

    async fn next_input(&mut self) -> Input<S> {
        // In no order: each input is one bounded step, so none can keep the others waiting for ever.
        tokio::select! {
            request = self.requests.recv() => Input::Request(request),
            // The sender lives in the log that this shard holds.
            Ok(()) = self.head.changed() => Input::Grown,
            Some(unblocked) = self.blocked.next() => Input::Unblocked(unblocked),
            Some(page) = self.reading.next() => Input::Page(page),
            () = tokio::task::yield_now(), if !self.ready.is_empty() => Input::Ready,
        }
    }

    /// Takes one step; `false` when nobody can ask for anything any more.
    pub(super) async fn handle(&mut self, input: Input<S>) -> bool {
        match input {
            Input::Request(None) => return false,
            Input::Request(Some(request)) => self.serve(request),
            Input::Grown => {
                self.fan_out().await;
                self.serve_waiting();
            }
            Input::Unblocked(Ok((key, socket, in_time))) => self.unblocked(key, socket, in_time),
            Input::Unblocked(Err(Aborted)) => {}
            Input::Page(page) => self.page(page),
            Input::Ready => self.next_ready(),
        }
        true
    }

    /// Serves what was asked during a fan-out, so that a busy log does not make requests wait for one fan-out each.
    fn serve_waiting(&mut self) {
        for _ in 0..self.bounds.requests {
            let Ok(request) = self.requests.try_recv() else { return };
            self.serve(request);
        }
    }

    fn next_ready(&mut self) {
        let Some(key) = self.ready.pop_front() else { return };
        if let Some(session) = self.sessions.get_mut(key) {
            session.queued = false;
            self.advance(key);
        }
    }

    /// Lets a session go on when it is its turn; at most once in the queue.
    pub(super) fn make_ready(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !std::mem::replace(&mut session.queued, true) {
            self.ready.push_back(key);
        }
    }

    fn serve(&mut self, request: Request<S>) {
        match request {
            Request::Open { opening, key } => self.open(*opening, key),
            Request::Answer { key, frames } => self.answer(key, &frames),
            Request::Heartbeat { key, frames } => self.heartbeat(key, frames),
            Request::Filter { key, filter } => self.filter(key, filter),
            Request::Close { key, frames } => {
                self.stop(key, Phase::Closing);
                if let Some(session) = self.sessions.get_mut(key) {
                    // If they do not fit, the socket has been full for long: the client learns from its end.
                    let _ = session.answer(&frames);
                    self.advance(key);
                }
            }
            Request::HangUp { key, done } => {
                self.stop(key, Phase::Leaving);
                if self.sessions.contains_key(key) {
                    self.leaving.insert(key, done);
                    self.advance(key);
                }
            }
            Request::Silence { key } => {
                // A session with something left to write may have its ping still here: its socket is judged, not its silence.
                if self.sessions.get(key).is_some_and(|session| session.phase == Phase::Live) {
                    self.give_up(key, CloseReason::Idle);
                }
            }
            Request::Gone { key, reply } => {
                let farewell = self.remove(key).or_else(|| self.departed.remove(&key));
                if let (Some(reply), Some(farewell)) = (reply, farewell) {
                    let _ = reply.send(farewell);
                }
            }
            Request::Expel { session, reply } => {
                let is_meant = |outbound: &Outbound<S>| outbound.about.id == session && outbound.phase.is_open();
                let key = self.sessions.iter().find(|(_, outbound)| is_meant(outbound)).map(|(key, _)| key);
                if let Some(key) = key {
                    self.give_up(key, CloseReason::Forbidden);
                }
                // Whoever asked may have gone away.
                let _ = reply.send(key.is_some());
            }
            Request::Standings { limit, reply } => {
                // Whoever asked may have gone away.
                let _ = reply.send(self.standings(limit));
            }
            Request::Census { reply } => {
                let _ = reply.send(self.census());
            }
        }
    }

    fn open(&mut self, opening: Opening<S>, opened: oneshot::Sender<SessionKey>) {
        let Opening { about, socket, greeting, cursor, filter, replaying, notice } = opening;
        let mut session = Outbound::new(about, socket, cursor, filter, replaying, notice);
        // The greeting is far below the bound of what may wait.
        let _ = session.answer(&greeting);
        let key = self.sessions.insert(session);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.audience.add(key, filter);
        if opened.send(key).is_ok() {
            self.advance(key);
        } else {
            // Nobody speaks for it.
            self.remove(key);
        }
    }

    fn answer(&mut self, key: SessionKey, frames: &[u8]) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        leave_live(session, self.position);
        if session.answer(frames) { self.advance(key) } else { self.give_up(key, CloseReason::Stalled) }
    }

    /// Writes a ping, and before it the position of a session whose filter let nothing through since the client learned one.
    ///
    /// All events up to the session's cursor were handed over, or stand in `rest`, which is written first.
    fn heartbeat(&mut self, key: SessionKey, ping: Vec<u8>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let seq = if session.phase == Phase::Live { self.position } else { session.cursor };
        let mut frames = Vec::new();
        if session.known < seq {
            session.known = seq;
            let cursor = Cursor { epoch: self.log.bounds().epoch, seq };
            frames = event::text_frame(&ServerFrame::heartbeat(cursor).to_json());
        }
        frames.extend(ping);
        if !frames.is_empty() {
            self.answer(key, &frames);
        }
    }

    fn filter(&mut self, key: SessionKey, filter: Filter) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        leave_live(session, self.position);
        self.audience.remove(key, session.filter);
        self.audience.add(key, filter);
        session.filter = filter;
        session.known = session.cursor;
        let cursor = Cursor { epoch: self.log.bounds().epoch, seq: session.cursor };
        let frame = event::text_frame(&ServerFrame::subscribed(&filter, cursor).to_json());
        self.answer(key, &frame);
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
            Sent::Broken => return self.depart(key),
        }
        match session.phase {
            Phase::Leaving => self.depart(key),
            Phase::Live | Phase::Ahead | Phase::Reading | Phase::Silent | Phase::Closing => {}
            Phase::Behind if session.cursor < self.position => self.catch_up(key),
            Phase::Behind => self.caught_up(key),
        }
    }

    /// Sends a run from the tail, or has a page of the store read.
    fn catch_up(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match self.log.recent(session.cursor, &session.filter, self.bounds.run_events) {
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
        let handed_over = session.events;
        let sent = Run::of(&slice.events).map_or(Sent::All, |run| session.send(&run, before));
        self.deliveries.add(Transport::WebSocket, session.events - handed_over);
        match sent {
            Sent::All => {
                session.cursor = slice.through;
                self.make_ready(key);
            }
            Sent::Blocked => self.wait_for_socket(key),
            Sent::Broken => self.depart(key),
        }
    }

    /// A session at or beyond the shard's position joins the live ones, or waits until they are where it is.
    fn caught_up(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let cursor = Cursor { epoch: self.log.bounds().epoch, seq: session.cursor };
        if std::mem::take(&mut session.replaying) {
            session.known = session.cursor;
            let _ = session.answer(&event::text_frame(&ServerFrame::live(cursor).to_json()));
            return self.make_ready(key);
        }
        if session.cursor > self.position {
            session.phase = Phase::Ahead;
            self.ahead.push(key);
        } else {
            session.phase = Phase::Live;
        }
    }

    /// Has pages of the store read for the sessions that wait, a few at a time.
    fn read_pages(&mut self) {
        while self.reading.len() < self.bounds.reads {
            let Some(key) = self.unread.pop_front() else { return };
            let Some(session) = self.sessions.get(key).filter(|session| session.phase == Phase::Reading) else { continue };
            let (log, cursor, filter, limit) = (Arc::clone(&self.log), session.cursor, session.filter, self.bounds.page_events);
            self.reading.push(Box::pin(async move { (key, filter, log.read(cursor, &filter, limit).await) }));
        }
    }

    fn page(&mut self, (key, filter, page): Page) {
        self.read_pages();
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.phase == Phase::Reading) else { return };
        session.phase = Phase::Behind;
        match page {
            // Its socket filled up with answers meanwhile: it reads again when that is over.
            Ok(_) if session.socket.is_none() => {}
            // The client asked for something else meanwhile: what was read is not what it wants from here on.
            Ok(_) if session.filter != filter => self.make_ready(key),
            Ok(slice) => self.send_slice(key, &slice),
            Err(Error::CursorGone { reason }) => {
                let bounds = self.log.bounds();
                self.deliveries.resync(Transport::WebSocket, reason);
                session.cursor = bounds.head;
                session.known = bounds.head;
                session.replaying = false;
                let _ = session.answer(&event::text_frame(&ServerFrame::resync(reason, bounds.head_cursor()).to_json()));
                self.make_ready(key);
            }
            Err(error) => {
                // What has no cause is the end of the server, which is reported once.
                if std::error::Error::source(&error).is_some() {
                    tracing::error!(error = &error as &dyn std::error::Error, "reading the log failed");
                }
                self.give_up(key, CloseReason::Drain { reconnect_after: Duration::from_secs(1) });
            }
        }
    }

    /// Waits until the socket takes more; it was full when the session's last write ended.
    pub(super) fn wait_for_socket(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(socket) = session.socket.take() else { return };
        self.deliveries.blocked();
        let deadline = *session.stuck_since.get_or_insert_with(Instant::now) + self.stall_timeout;
        let (unblocked, abort) = abortable(async move {
            let in_time = timeout_at(deadline, socket.writable()).await.is_ok();
            (key, socket, in_time)
        });
        session.waiting = Some(abort);
        self.blocked.push(Box::pin(unblocked));
    }

    fn unblocked(&mut self, key: SessionKey, socket: S, in_time: bool) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.socket = Some(socket);
        session.waiting = None;
        if in_time { self.advance(key) } else { self.give_up(key, CloseReason::Stalled) }
    }

    /// Sends a session no more events and lets its reading half say why; one that is told already, or that nobody reads
    /// any more, ends at once.
    fn give_up(&mut self, key: SessionKey, reason: CloseReason) {
        // What was asked before the client is told may still be answered with the session's cursor.
        let Some(session) = self.sessions.get_mut(key) else { return };
        let told = session.phase.is_open() && session.notice.take().is_some_and(|notice| notice.send(reason).is_ok());
        if told { self.stop(key, Phase::Silent) } else { self.depart(key) }
    }
}

/// A live session stands at the shard's position; from now on it stands at its own.
pub(super) fn leave_live<S>(session: &mut Outbound<S>, position: Seq) {
    if session.phase == Phase::Live {
        session.phase = Phase::Behind;
        session.cursor = position;
    }
}
