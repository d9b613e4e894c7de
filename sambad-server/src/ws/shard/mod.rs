//! Shards: each owns the write halves of many sockets and writes every event to those that ask for it.
//!
//! A committed batch wakes a shard once. Sessions at the shard's position with the same filter share one buffer of all
//! frames that are pending, so a burst costs a session one write. A socket that takes only part leaves the crowd: its
//! session keeps a cursor and the rest of one frame, goes on when the socket takes more, from the tail or from the store,
//! and comes back when it has caught up.
//!
//! **Invariant:** no queue a session; nobody waits for a slow one; reading the store happens outside the shard's turn.

mod audience;
pub(crate) mod census;
mod fan_out;
mod farewell;
mod outbound;
mod run;
#[cfg(test)]
mod simulation;
mod socket;
pub(crate) mod standing;
mod turn;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use sambad_core::{Filter, Log, Seq};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use audience::SessionKey;
use census::Census;
pub(super) use farewell::Farewell;
use socket::Socket;
pub(in crate::ws) use socket::SocketWriteHalf;
use standing::Standing;
use turn::{Shard, TurnBounds};

use super::close::CloseReason;
use crate::metrics::Deliveries;
use crate::sessions::About;

/// Requests that may wait for a shard; a session whose request does not fit waits, and reads nothing meanwhile.
const REQUESTS_MAX: usize = 1024;

/// All shards of a server, one for each core.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Vec<ShardHandle>,
    next: AtomicUsize,
    /// Sessions that all shards own together, but for those that are closing.
    open: Arc<AtomicUsize>,
    /// Cancelled when a shard has panicked.
    failed: CancellationToken,
}

/// How sessions speak to their shard.
#[derive(Debug)]
pub(super) struct ShardHandle<S = SocketWriteHalf> {
    requests: mpsc::Sender<Request<S>>,
}

/// What a session asks of its shard.
#[derive(Debug)]
enum Request<S> {
    /// Take over a write half.
    Open { opening: Box<Opening<S>>, key: oneshot::Sender<SessionKey> },
    /// Write these whole frames before the next event.
    Answer { key: SessionKey, frames: Vec<u8> },
    /// Write these whole frames, and before them the session's position, if the client cannot know it.
    Heartbeat { key: SessionKey, frames: Vec<u8> },
    /// Use another filter from the next event on, and say so.
    Filter { key: SessionKey, filter: Filter },
    /// Write what is left, then these whole frames, which end with a close frame, and nothing after.
    Close { key: SessionKey, frames: Vec<u8> },
    /// End once what is left has been written. The sender is dropped then.
    HangUp { key: SessionKey, done: oneshot::Sender<()> },
    /// Nothing was heard from the client for too long: end it, unless that may be our own doing.
    Silence { key: SessionKey },
    /// End now, if it has not ended already, and say what it came to. Once a session.
    Gone { key: SessionKey, reply: Option<oneshot::Sender<Farewell>> },
    /// Close the session with this id, and say whether it was here.
    Expel { session: Uuid, reply: oneshot::Sender<bool> },
    /// Tell where the sessions furthest behind stand.
    Standings { limit: usize, reply: oneshot::Sender<Vec<Standing>> },
    /// Count the sessions.
    Census { reply: oneshot::Sender<Census> },
}

/// A write half with what it is to carry.
#[derive(Debug)]
pub(super) struct Opening<S = SocketWriteHalf> {
    pub(super) about: About,
    pub(super) socket: S,
    /// Whole frames that go first.
    pub(super) greeting: Vec<u8>,
    /// The position after which the stream continues.
    pub(super) cursor: Seq,
    pub(super) filter: Filter,
    /// Whether the client is to be told when it has caught up.
    pub(super) replaying: bool,
    /// Resolves when the shard has given the session up: with the reason, if the client is to be told one.
    pub(super) notice: oneshot::Sender<CloseReason>,
}

impl Shards {
    /// Starts one shard a core; each ends when this and every handle is gone.
    pub(crate) fn start(log: &Arc<Log>, stall_timeout: Duration, deliveries: &Deliveries, tasks: &TaskTracker) -> Self {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (open, failed) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let start = |_| {
            let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
            let bounds = TurnBounds::default();
            let told = (Arc::clone(&open), deliveries.clone());
            let shard = Shard::new(Arc::clone(log), receiver, stall_timeout, bounds, told);
            tasks.spawn(run_and_report(shard, failed.clone()));
            ShardHandle { requests }
        };
        Self { shards: (0..count).map(start).collect(), next: AtomicUsize::new(0), open, failed }
    }

    /// Whether a shard has panicked.
    pub(crate) fn have_failed(&self) -> bool {
        self.failed.is_cancelled()
    }

    /// Resolves when a shard has panicked.
    pub(crate) async fn fail(&self) {
        self.failed.cancelled().await;
    }

    /// How many sessions there are that are not closing.
    pub(crate) fn open_sessions(&self) -> usize {
        // Relaxed: a figure to show, which nothing is decided by.
        self.open.load(Ordering::Relaxed)
    }

    /// Where the sessions of all shards stand: those furthest behind of each, at most `limit`.
    pub(crate) async fn standings(&self, limit: usize) -> Vec<Standing> {
        let shards = self.shards.iter().map(|shard| shard.standings(limit));
        futures_util::future::join_all(shards).await.concat()
    }

    /// Closes a session as an admin asks; `false` if there is none with that id.
    pub(crate) async fn expel(&self, session: Uuid) -> bool {
        let shards = self.shards.iter().map(|shard| shard.expel(session));
        futures_util::future::join_all(shards).await.contains(&true)
    }

    /// How many sessions all shards have, and how far they are behind.
    pub(crate) async fn census(&self) -> Census {
        let shards = self.shards.iter().map(ShardHandle::census);
        futures_util::future::join_all(shards).await.into_iter().fold(Census::default(), Census::with)
    }

    /// The shards in turn.
    pub(super) fn pick(&self) -> ShardHandle {
        // Relaxed: any order of turns spreads sessions evenly.
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.shards[turn % self.shards.len()].clone()
    }
}

/// Runs a shard. A server without one of them would take sessions and send them nothing: it ends.
async fn run_and_report<S: Socket>(shard: Shard<S>, failed: CancellationToken) {
    if AssertUnwindSafe(shard.run()).catch_unwind().await.is_err() {
        failed.cancel();
    }
}

// By hand: a derived one would ask that sockets can be cloned.
impl<S> Clone for ShardHandle<S> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone() }
    }
}

impl<S: Socket> ShardHandle<S> {
    /// Hands over a write half; `None` when the server is gone.
    pub(super) async fn open(self, opening: Opening<S>) -> Option<WriteHalf<S>> {
        let (key, opened) = oneshot::channel();
        self.requests.send(Request::Open { opening: Box::new(opening), key }).await.ok()?;
        let key = opened.await.ok()?;
        Some(WriteHalf { requests: self.requests, key, ended: false })
    }

    async fn expel(&self, session: Uuid) -> bool {
        let (reply, expelled) = oneshot::channel();
        let asked = self.requests.send(Request::Expel { session, reply }).await;
        asked.is_ok() && expelled.await.unwrap_or(false)
    }

    /// Nothing when the server is gone.
    async fn standings(&self, limit: usize) -> Vec<Standing> {
        let (reply, standings) = oneshot::channel();
        if self.requests.send(Request::Standings { limit, reply }).await.is_err() {
            return Vec::new();
        }
        standings.await.unwrap_or_default()
    }

    /// Nobody when the server is gone.
    async fn census(&self) -> Census {
        let (reply, census) = oneshot::channel();
        if self.requests.send(Request::Census { reply }).await.is_err() {
            return Census::default();
        }
        census.await.unwrap_or_default()
    }
}

/// A session's write half, as its reading half sees it. Dropping it ends the session, also when a panic does.
///
/// A request waits when the shard has much to do. A shard ends after its sessions: if it is gone, so is the socket that a
/// request is about.
#[derive(Debug)]
pub(super) struct WriteHalf<S: Socket = SocketWriteHalf> {
    requests: mpsc::Sender<Request<S>>,
    key: SessionKey,
    /// Whether the shard has been told that this is over.
    ended: bool,
}

impl<S: Socket> WriteHalf<S> {
    /// Writes whole frames before the next event.
    pub(super) async fn answer(&self, frames: Vec<u8>) {
        if !frames.is_empty() {
            let _ = self.requests.send(Request::Answer { key: self.key, frames }).await;
        }
    }

    /// Writes whole frames before the next event, and before them a `heartbeat` with the session's position if that has moved
    /// without an event for this client.
    pub(super) async fn heartbeat(&self, frames: Vec<u8>) {
        let _ = self.requests.send(Request::Heartbeat { key: self.key, frames }).await;
    }

    /// Uses another filter from the next event on, and says so to the client.
    pub(super) async fn filter(&self, filter: Filter) {
        let _ = self.requests.send(Request::Filter { key: self.key, filter }).await;
    }

    /// Says that nothing was heard from the client since a ping.
    pub(super) async fn silence(&self) {
        let _ = self.requests.send(Request::Silence { key: self.key }).await;
    }

    /// Sends no more events, and nothing at all after what is left and these last frames.
    pub(super) async fn close(&self, frames: Vec<u8>) {
        let _ = self.requests.send(Request::Close { key: self.key, frames }).await;
    }

    /// Ends the session once what is left has been written, and waits for that.
    ///
    /// # Cancel safety
    /// The session ends all the same.
    pub(super) async fn hang_up(&self) {
        let (done, hung_up) = oneshot::channel();
        if self.requests.send(Request::HangUp { key: self.key, done }).await.is_ok() {
            // Nothing is ever sent.
            let _ = hung_up.await;
        }
    }
}

impl<S: Socket> WriteHalf<S> {
    /// Ends the session at once; what it came to, or nothing when the server is gone.
    pub(super) async fn end(mut self) -> Option<Farewell> {
        let (reply, farewell) = oneshot::channel();
        self.requests.send(Request::Gone { key: self.key, reply: Some(reply) }).await.ok()?;
        self.ended = true;
        farewell.await.ok()
    }
}

impl<S: Socket> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let gone = Request::Gone { key: self.key, reply: None };
        if let Err(mpsc::error::TrySendError::Full(gone)) = self.requests.try_send(gone) {
            let requests = self.requests.clone();
            tokio::spawn(async move { requests.send(gone).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use sambad_core::simulation::{Fault, PageBounds, SimulatedStore};
    use sambad_core::{Epoch, Limits, Retention, Sambad};

    use super::*;

    /// A socket with a bug.
    struct Buggy;

    impl Socket for Buggy {
        fn try_write(&self, _: &[u8]) -> io::Result<usize> {
            panic!("a bug in a socket")
        }

        async fn writable(&self) -> io::Result<()> {
            std::future::pending().await
        }
    }

    /// Goal: a shard that panics is reported, for the server to end. Method: a socket that panics when it is written to.
    #[tokio::test]
    async fn a_shard_that_panics_is_reported() {
        let store = SimulatedStore::new(Epoch(1), PageBounds::default(), Box::new(|_| Fault::None));
        let (sambad, _committer) = Sambad::open_simulated(&store, Limits::default(), Retention::Forever);
        let ((requests, receiver), failed) = (mpsc::channel(1), CancellationToken::new());
        let told = (Arc::default(), Deliveries::default());
        let shard = Shard::new(Arc::clone(sambad.log()), receiver, Duration::from_secs(1), TurnBounds::default(), told);
        let running = tokio::spawn(run_and_report(shard, failed.clone()));
        assert!(!failed.is_cancelled());
        let (notice, _notice) = oneshot::channel();
        let greeting = b"a frame".to_vec();
        let (about, cursor, filter) = (About::nobody(), Seq::ZERO, Filter::default());
        let opening = Opening { about, socket: Buggy, greeting, cursor, filter, replaying: false, notice };
        let _ = ShardHandle { requests }.open(opening).await;
        failed.cancelled().await;
        running.await.expect("the panic was caught");
    }
}
