//! Shards: each owns the write halves of many sockets and writes every event to those that ask for it.
//!
//! A committed batch wakes a shard once. Sessions at the shard's position with the same filter share one buffer of all
//! frames that are pending, so a burst costs a session one write. A socket that takes only part leaves the crowd: its
//! session keeps a cursor and the rest of one frame, goes on when the socket takes more, from the tail or from the store,
//! and comes back when it has caught up.
//!
//! **Invariant:** no queue a session; nobody waits for a slow one; reading the store happens outside the shard's turn.

mod audience;
mod outbound;
mod run;
mod turn;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sambad_core::{Filter, Log, Seq};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

pub(super) use audience::SessionKey;
use turn::Shard;

use super::close::CloseReason;

/// Requests that may wait for a shard; a session whose request does not fit waits, and reads nothing meanwhile.
const REQUESTS_MAX: usize = 1024;

/// All shards of a server, one for each core.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Vec<ShardHandle>,
    next: AtomicUsize,
    /// Write halves that all shards own together.
    open: Arc<AtomicUsize>,
}

/// How sessions speak to their shard.
#[derive(Debug, Clone)]
pub(super) struct ShardHandle {
    requests: mpsc::Sender<Request>,
}

/// What a session asks of its shard.
#[derive(Debug)]
enum Request {
    /// Take over a write half.
    Open { opening: Box<Opening>, key: oneshot::Sender<SessionKey> },
    /// Write these whole frames before the next event.
    Answer { key: SessionKey, frames: Vec<u8> },
    /// Use another filter from the next event on, and say so.
    Filter { key: SessionKey, filter: Filter },
    /// Write what is left, then end.
    Close { key: SessionKey },
    /// End now.
    Gone { key: SessionKey },
}

/// A write half with what it is to carry.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) socket: OwnedWriteHalf,
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
    pub(crate) fn start(log: &Arc<Log>, stall_timeout: Duration, tasks: &TaskTracker) -> Self {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let open = Arc::new(AtomicUsize::new(0));
        let start = |_| {
            let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
            tasks.spawn(Shard::new(Arc::clone(log), receiver, stall_timeout, Arc::clone(&open)).run());
            ShardHandle { requests }
        };
        Self { shards: (0..count).map(start).collect(), next: AtomicUsize::new(0), open }
    }

    /// How many sessions have a socket right now.
    pub(crate) fn open_sessions(&self) -> usize {
        // Relaxed: a figure to show, which nothing is decided by.
        self.open.load(Ordering::Relaxed)
    }

    /// The shards in turn.
    pub(super) fn pick(&self) -> ShardHandle {
        // Relaxed: any order of turns spreads sessions evenly.
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.shards[turn % self.shards.len()].clone()
    }
}

impl ShardHandle {
    /// Hands over a write half; `None` when the server is gone.
    pub(super) async fn open(&self, opening: Opening) -> Option<SessionKey> {
        let (key, opened) = oneshot::channel();
        self.send(Request::Open { opening: Box::new(opening), key }).await;
        opened.await.ok()
    }

    pub(super) async fn answer(&self, key: SessionKey, frames: Vec<u8>) {
        if !frames.is_empty() {
            self.send(Request::Answer { key, frames }).await;
        }
    }

    pub(super) async fn filter(&self, key: SessionKey, filter: Filter) {
        self.send(Request::Filter { key, filter }).await;
    }

    pub(super) async fn close(&self, key: SessionKey) {
        self.send(Request::Close { key }).await;
    }

    pub(super) async fn gone(&self, key: SessionKey) {
        self.send(Request::Gone { key }).await;
    }

    async fn send(&self, request: Request) {
        // A shard ends after its sessions; if it is gone, so is the socket that the request is about.
        let _ = self.requests.send(request).await;
    }
}
