//! The server as a function: a bound listener, a core, and a future that says when to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::OptionFuture;
use sambad_core::{Fatal, Sambad};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Auth, AuthConfig, Origins};
use crate::config::ServerConfig;
use crate::connection::Entrance;
use crate::drain::Drain;
use crate::extract::BODIES_BYTES_MAX;
use crate::limits::{Doorkeeper, FORGET_INTERVAL};
use crate::metrics::{Metrics, serve_metrics};
use crate::request_log::Lines;
use crate::router::{AppState, Shared, router};
use crate::sessions::{Remote, Sessions};
use crate::ws::shard::Shards;

/// How long to wait before accepting again when the process has no descriptor left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// How long requests in progress may take to end once the server drains.
const REQUESTS_GRACE: Duration = Duration::from_secs(2);
/// How long sessions may take to say goodbye; requests go on meanwhile.
const SESSIONS_GRACE: Duration = Duration::from_secs(4);
/// How long the last commits may take; with requests, sessions and shards it stays below 10 s.
const COMMIT_GRACE: Duration = Duration::from_secs(3);
/// How long sessions and requests may take to end after a fatal end: what they were served is refused.
const FATAL_GRACE: Duration = Duration::from_millis(500);
/// How long shards may take to let go of what is left.
const SHARDS_GRACE: Duration = Duration::from_millis(500);

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener is not usable.
    #[error("listener has no local address")]
    Listener(#[source] io::Error),
    /// What callers authenticate by cannot be had.
    #[error("cannot set up authentication")]
    Auth(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The core has come to a fatal end: opened anew, it can serve again.
    #[error("the core has stopped")]
    Stopped(#[source] Fatal),
    /// A task that nothing works without has panicked: a defect.
    #[error("the {task} panicked")]
    Panicked {
        /// The task.
        task: &'static str,
    },
}

impl ServeError {
    /// Whether the server served, and had to end: started anew, it serves again.
    #[must_use]
    pub const fn is_fatal_end(&self) -> bool {
        matches!(self, Self::Stopped(_) | Self::Panicked { .. })
    }
}

/// Serves REST and WebSocket on `listener` until `shutdown` resolves, then drains and closes `sambad`.
///
/// Draining lets readiness fail, for `drain_delay` serves on, tells every session when to come back, stops accepting, answers
/// what was accepted, and commits what is queued; every step has a time limit, and after the delay they stay below 10 s.
///
/// After a fatal end of the core, or a panic in a task that nothing works without, it does not drain: everything is refused, `/livez`
/// fails, sessions and connections are ended, and within 2 s it returns.
///
/// # Errors
/// [`ServeError::Listener`] when the listener has no local address, [`ServeError::Auth`] when keys or revocations cannot be read,
/// [`ServeError::Stopped`] and [`ServeError::Panicked`] after a fatal end.
///
/// # Cancel safety
/// Dropping the future stops accepting and leaves open connections to the runtime: let `shutdown` resolve instead.
pub async fn serve(
    listener: TcpListener,
    sambad: Sambad,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_announced(listener, sambad, config, || {}, shutdown).await
}

/// As [`serve`]; calls `announce` once nothing can refuse the start any more, before the first connection is accepted.
pub(crate) async fn serve_announced(
    listener: TcpListener,
    sambad: Sambad,
    config: ServerConfig,
    announce: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let stop_upkeep = CancellationToken::new();
    let _stop_upkeep = stop_upkeep.clone().drop_guard();
    let (auth, upkeep) = match config.auth.clone() {
        AuthConfig::None => (None, None),
        AuthConfig::Token(tokens) => {
            let opened = Auth::open(tokens, sambad.clone(), stop_upkeep).await;
            let (auth, upkeep) = opened.map_err(|error| ServeError::Auth(error.into()))?;
            (Some(auth), Some(tokio::spawn(upkeep)))
        }
    };
    let allowed = config.allowed_origins.clone();
    let any = auth.is_none() && allowed.is_empty() && address.ip().to_canonical().is_loopback();
    let origins = Origins { any, allowed };
    let shard_tasks = TaskTracker::new();
    let metrics = Metrics::new(&sambad);
    let shards = Shards::start(sambad.log(), config.stall_timeout, &metrics.deliveries, &shard_tasks);
    let state = AppState::new(Shared {
        sambad: sambad.clone(),
        auth,
        origins,
        sessions: Sessions::new(config.sessions_max),
        doorkeeper: Doorkeeper::new(&config.clients),
        shards,
        drain: Drain::new(config.drain_window),
        metrics,
        lines: Lines::new(),
        bodies: Semaphore::new(BODIES_BYTES_MAX),
        config: Arc::new(config),
        started: Instant::now(),
    });
    warn_if_open(&state, address);
    let entrance = Arc::new(Entrance {
        router: router(state.clone()),
        state: state.clone(),
        tasks: TaskTracker::new(),
        closing: CancellationToken::new(),
        handshakes: Semaphore::new(thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2)),
    });
    if let Some(listener) = state.config.metrics_listener.clone() {
        entrance.tasks.spawn(serve_metrics(listener, state.clone(), entrance.closing.clone()));
    }
    announce();
    tokio::select! {
        // In this order: a server that can no longer serve does not drain.
        biased;
        error = fatal_end(&state, upkeep) => return Err(end_at_once(error, &state, &entrance).await),
        () = accept_until(leave(shutdown, &state), listener, &entrance) => {}
    }

    entrance.closing.cancel();
    let connections = entrance.tasks.clone();
    connections.close();
    if timeout(REQUESTS_GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not finish in time");
    }
    if timeout(COMMIT_GRACE, sambad.shutdown()).await.is_err() {
        tracing::error!("last commits did not finish in time; writes that were not acknowledged may be lost");
    }
    // With the last handle the shards end; only a connection that outlived its grace still holds one.
    drop((entrance, state));
    shard_tasks.close();
    if timeout(SHARDS_GRACE, shard_tasks.wait()).await.is_err() {
        tracing::warn!(shards = shard_tasks.len(), "shards did not stop in time");
    }
    if let Some(fatal) = sambad.fatal() {
        return Err(ServeError::Stopped(fatal.clone()));
    }
    tracing::info!("stopped");
    Ok(())
}

/// Resolves when the server can no longer serve.
async fn fatal_end(state: &AppState, upkeep: Option<JoinHandle<()>>) -> ServeError {
    let revocations = async {
        // It ends by itself with the server only.
        if let Some(Err(error)) = OptionFuture::from(upkeep).await
            && error.is_panic()
        {
            return;
        }
        std::future::pending().await
    };
    tokio::select! {
        fatal = state.sambad.stopped() => ServeError::Stopped(fatal),
        () = state.shards.fail() => ServeError::Panicked { task: "shard" },
        () = revocations => ServeError::Panicked { task: "reader of revocations" },
    }
}

/// Ends sessions and connections without a drain: whatever they ask for is refused.
async fn end_at_once(error: ServeError, state: &AppState, entrance: &Entrance) -> ServeError {
    tracing::error!(error = &error as &dyn std::error::Error, "the server cannot continue: it shuts down");
    let Sessions { tasks, streams, .. } = &state.sessions;
    state.drain.begin(tasks.len() + streams.len());
    entrance.closing.cancel();
    for tracker in [tasks, streams, &entrance.tasks] {
        tracker.close();
    }
    let ended = async { tokio::join!(tasks.wait(), streams.wait(), entrance.tasks.wait()) };
    // What does not end by then is cut with the process, and is refused everything meanwhile.
    let _ = timeout(FATAL_GRACE, ended).await;
    let _ = timeout(FATAL_GRACE, state.sambad.shutdown()).await;
    error
}

/// Where nobody is authenticated, whoever reaches the port may do everything.
fn warn_if_open(state: &AppState, address: SocketAddr) {
    if state.auth.is_none() && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(%address, "listening beyond this machine without authentication: put the server behind a proxy that \
            authenticates clients");
    }
}

/// From the wish to stop to the last session's goodbye; whoever connects meanwhile is served, and no longer told to be ready.
///
/// Closing the door first would let nobody see that readiness fails, and a load balancer would go on sending people to it.
async fn leave(shutdown: impl Future<Output = ()>, state: &AppState) {
    shutdown.await;
    state.drain.announce();
    if !state.config.drain_delay.is_zero() {
        // Not for no time at all, which would still be a moment in which the server is neither ready nor draining.
        tokio::time::sleep(state.config.drain_delay).await;
    }
    let Sessions { tasks, streams, .. } = &state.sessions;
    tracing::info!(sessions = tasks.len(), streams = streams.len(), "draining");
    state.drain.begin(tasks.len() + streams.len());
    tasks.close();
    streams.close();
    let goodbyes = async { tokio::join!(tasks.wait(), streams.wait()) };
    if timeout(SESSIONS_GRACE, goodbyes).await.is_err() {
        tracing::warn!(sessions = tasks.len(), streams = streams.len(), "sessions did not close in time");
    }
}

async fn accept_until(left: impl Future<Output = ()>, listener: TcpListener, entrance: &Arc<Entrance>) {
    let mut left = std::pin::pin!(left);
    let mut forget = interval(FORGET_INTERVAL);
    forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = None;
    loop {
        // Any order is right: a connection accepted while the end comes is drained like the others.
        let accepted = tokio::select! {
            () = &mut left => return,
            accepted = listener.accept() => accepted,
            _ = forget.tick() => {
                entrance.state.doorkeeper.forget();
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = Remote::new(peer);
                if let Some(since) = refused.take() {
                    tracing::warn!(lasted_s = Instant::elapsed(&since).as_secs(), "connections are accepted again");
                }
                // One too many is closed at once: an answer would need a handshake first, and a task.
                if let Some(counted) = entrance.state.doorkeeper.connection(peer) {
                    entrance.tasks.spawn(Arc::clone(entrance).serve(stream, peer, counted));
                }
            }
            Err(error) => {
                // Once, not twenty times a second: most likely the process has no descriptor left.
                if refused.is_none() {
                    tracing::error!(error = &error as &dyn std::error::Error, "connections cannot be accepted");
                }
                refused.get_or_insert_with(Instant::now);
                tokio::select! {
                    () = &mut left => return,
                    () = tokio::time::sleep(ACCEPT_BACKOFF) => {}
                }
            }
        }
    }
}
