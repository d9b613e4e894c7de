//! The server as a function: a bound listener, a core, and a future that says when to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sambad_core::Sambad;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::auth::{Auth, AuthConfig, Origins};
use crate::config::ServerConfig;
use crate::drain::Drain;
use crate::extract::BODIES_BYTES_MAX;
use crate::metrics::{Metrics, serve_metrics};
use crate::request_log::Lines;
use crate::router::{AppState, Shared, router};
use crate::sessions::{Remote, Sessions};
use crate::stall::StallGuard;
use crate::ws::shard::Shards;

/// How long a request's head may take to arrive, and a connection may idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's head, at most; hyper keeps them in a buffer a connection.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long to wait before accepting again when the process has no descriptor left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// How long requests in progress may take to end once the server drains.
const REQUESTS_GRACE: Duration = Duration::from_secs(2);
/// How long sessions may take to say goodbye; requests go on meanwhile.
const SESSIONS_GRACE: Duration = Duration::from_secs(4);
/// How long the last commits may take; with requests, sessions and shards it stays below 10 s.
const COMMIT_GRACE: Duration = Duration::from_secs(3);
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
    #[error("cannot authenticate anybody")]
    Auth(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves REST and WebSocket on `listener` until `shutdown` resolves, then drains and closes `sambad`.
///
/// Draining lets readiness fail, for `drain_delay` serves on, tells every session when to come back, stops accepting, answers
/// what was accepted, and commits what is queued; every step has a time limit, and after the delay they stay below 10 s.
///
/// # Errors
/// [`ServeError::Listener`] when the listener has no local address, [`ServeError::Auth`] when keys or revocations cannot be read.
///
/// # Cancel safety
/// Dropping the future stops accepting and leaves open connections to the runtime: let `shutdown` resolve instead.
pub async fn serve(
    listener: TcpListener,
    sambad: Sambad,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let stop_upkeep = CancellationToken::new();
    let _stop_upkeep = stop_upkeep.clone().drop_guard();
    let auth = match config.auth.clone() {
        AuthConfig::None => None,
        AuthConfig::Token(tokens) => {
            let opened = Auth::open(tokens, sambad.clone(), stop_upkeep).await;
            let (auth, upkeep) = opened.map_err(|error| ServeError::Auth(error.into()))?;
            tokio::spawn(upkeep);
            Some(auth)
        }
    };
    let origins = Origins { allowed: config.allowed_origins.clone() };
    let open = auth.is_none() && origins.allowed.is_empty() && address.ip().is_loopback();
    let shard_tasks = TaskTracker::new();
    let metrics = Metrics::new(&sambad);
    let shards = Shards::start(sambad.log(), config.stall_timeout, &metrics.deliveries, &shard_tasks);
    let state = AppState::new(Shared {
        sambad: sambad.clone(),
        auth,
        origins,
        sessions: Sessions::new(config.sessions_max),
        shards,
        drain: Drain::new(config.drain_window),
        metrics,
        lines: Lines::new(),
        bodies: Semaphore::new(BODIES_BYTES_MAX),
        config: Arc::new(config),
        started: Instant::now(),
    });
    warn_if_open(&state, address);
    let router = router(state.clone(), open);
    let connections = TaskTracker::new();
    let closing = CancellationToken::new();
    if let Some(listener) = state.config.metrics_listener.clone() {
        connections.spawn(serve_metrics(listener, state.clone(), closing.clone()));
    }
    accept_until(leave(shutdown, &state), listener, &router, &connections, &state, &closing).await;

    closing.cancel();
    connections.close();
    if timeout(REQUESTS_GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time");
    }
    if timeout(COMMIT_GRACE, sambad.shutdown()).await.is_err() {
        tracing::error!("last commits did not end in time; what was not acknowledged may be lost");
    }
    // With the last handle the shards end; only a connection that outlived its grace still holds one.
    drop((router, state));
    shard_tasks.close();
    if timeout(SHARDS_GRACE, shard_tasks.wait()).await.is_err() {
        tracing::warn!(shards = shard_tasks.len(), "shards did not end in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Where nobody is authenticated, whoever reaches the port may do everything.
fn warn_if_open(state: &AppState, address: SocketAddr) {
    if state.auth.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "listening beyond this machine, and nobody is authenticated: put it behind a proxy that does");
    }
}

/// From the wish to stop to the last session's goodbye; whoever connects meanwhile is served, and no longer told to be ready.
///
/// Closing the door first would let nobody see that readiness fails, and a load balancer would go on sending people to it.
async fn leave(shutdown: impl Future<Output = ()>, state: &AppState) {
    shutdown.await;
    state.drain.announce();
    tokio::time::sleep(state.config.drain_delay).await;
    let Sessions { tasks, streams, .. } = &state.sessions;
    tracing::info!(sessions = tasks.len(), streams = streams.len(), "draining");
    state.drain.begin(tasks.len() + streams.len());
    tasks.close();
    streams.close();
    let goodbyes = async { tokio::join!(tasks.wait(), streams.wait()) };
    if timeout(SESSIONS_GRACE, goodbyes).await.is_err() {
        tracing::warn!(sessions = tasks.len(), streams = streams.len(), "sessions did not end in time");
    }
}

async fn accept_until(
    left: impl Future<Output = ()>,
    listener: TcpListener,
    router: &Router,
    connections: &TaskTracker,
    state: &AppState,
    closing: &CancellationToken,
) {
    let mut left = std::pin::pin!(left);
    let mut refused = None;
    loop {
        // Either order is right: a connection accepted while the end comes is drained like the others.
        let accepted = tokio::select! {
            () = &mut left => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                if let Some(since) = refused.take() {
                    tracing::warn!(lasted_s = Instant::elapsed(&since).as_secs(), "connections are accepted again");
                }
                let stall_timeout = state.config.stall_timeout;
                connections.spawn(connection(stream, Remote(remote), router.clone(), closing.clone(), stall_timeout));
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

/// Serves one connection; when the server closes it ends after the request in progress.
async fn connection(stream: TcpStream, remote: Remote, router: Router, closing: CancellationToken, stall_timeout: Duration) {
    // Frames are whole messages: waiting for more to fill a segment only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection broke at once");
        return;
    }
    let service = router.map_request(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(remote);
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(StallGuard::new(stream, stall_timeout)), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection broke");
    }
}
