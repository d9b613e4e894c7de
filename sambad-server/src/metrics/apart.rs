//! `--metrics-listen`: the figures on an address of their own, for networks that clients cannot reach.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::scrape;
use crate::compression::compress;
use crate::lost::notice_lost_peer;
use crate::router::AppState;
use crate::{reply, well_formed};

/// Connections at a time; scrapers keep one each.
const CONNECTIONS_MAX: usize = 16;
/// How long a request's head may take to arrive, and a connection may idle: longer than scrapers wait between two scrapes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of a request's head, at most; hyper allows no less.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long to wait before accepting again when the process has no descriptor left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Serves `/metrics`, and nothing else, until `closing` is cancelled.
///
/// No line is logged and nothing counted for these requests: the one who watches is not what is watched.
pub(crate) async fn serve_metrics(listener: Arc<TcpListener>, state: AppState, closing: CancellationToken) {
    let patience = state.config.stall_timeout;
    let scrape = get(scrape).route_layer(middleware::from_fn(compress));
    let router = Router::new().route("/metrics", scrape).layer(middleware::from_fn(surround)).with_state(state);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // With it, when it is dropped, the connections end.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                // One that finds no place is closed at once.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                notice_lost_peer(&stream, patience);
                connections.spawn(connection(stream, router.clone(), place));
            }
            Err(_) => tokio::time::sleep(ACCEPT_BACKOFF).await,
        }
    }
}

/// What of [`identify`](crate::request_log::identify) holds here as well.
async fn surround(request: Request, next: Next) -> Response {
    let mut response = match well_formed::check(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    reply::guard(response.headers_mut());
    response
}

async fn connection(stream: TcpStream, router: Router, _place: OwnedSemaphorePermit) {
    let service = router.map_request(|request: http::Request<Incoming>| request);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // A scraper that goes away is nobody's business.
    let _ = connection.await;
}
