//! One connection: TLS if there is a certificate, then HTTP/1.1, or HTTP/2 if a client over TLS asks for it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::limits::CountedConnection;
use crate::lost::notice_lost_peer;
use crate::outbox::{Outbox, Watched};
use crate::reply;
use crate::router::AppState;
use crate::scheme::Scheme;
use crate::sessions::Remote;
use crate::stall::{OpenRequest, Patience, Requests, StallGuard, Stream};
use crate::tls::H2;
use crate::turns::by_turns;

/// Requests that one HTTP/2 connection may have open at a time.
const H2_STREAMS_MAX: u32 = 100;
/// Bytes of a body that a client may send ahead, on one stream and on all of a connection; enough for most bodies at once.
const H2_STREAM_WINDOW_BYTES: u32 = 64 << 10;
const H2_CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of an answer that are framed ahead of a stream's window; the rest waits where it is.
const H2_SEND_BUFFER_BYTES: usize = 64 << 10;
/// Fields of a head: as many as hyper takes by HTTP/1.1, where it is not to be chosen.
const H2_HEADER_FIELDS_MAX: usize = 100;
/// How often an HTTP/2 connection is asked whether it lives, and how long it may take to answer.
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// What all connections need.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) router: Router,
    pub(crate) state: AppState,
    /// Every task of every connection.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when connections are to end after the requests in progress.
    pub(crate) closing: CancellationToken,
    /// Steps of TLS handshakes that are taken at a time: half the machine's, as each is a millisecond of nothing but arithmetic.
    pub(crate) handshakes: Semaphore,
}

impl Entrance {
    /// Serves one connection; when the server closes it ends after the requests in progress.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream, peer: Remote, counted: CountedConnection) {
        if let Err(error) = self.try_serve(stream, peer, counted).await {
            tracing::debug!(error = &*error, "connection failed");
        }
    }

    async fn try_serve(
        &self,
        stream: TcpStream,
        peer: Remote,
        counted: CountedConnection,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // Frames are whole messages: waiting for more to fill a segment only delays them.
        stream.set_nodelay(true)?;
        notice_lost_peer(&stream, self.state.config.stall_timeout);
        let limits = &self.state.config.clients;
        let patience =
            Patience { stall: self.state.config.stall_timeout, head: limits.header_timeout, idle: limits.idle_timeout };
        let requests = Arc::new(Requests::default());
        let Some(tls) = &self.state.config.tls else {
            let stream = StallGuard::new(Stream::Plain(stream), patience, counted);
            return Ok(self.http1(stream.with_heads(Arc::clone(&requests)), peer, requests).await?);
        };
        let handshake = tokio::select! {
            handshake = timeout(limits.handshake_timeout, by_turns(&self.handshakes, tls.accept(stream))) => handshake,
            () = self.closing.cancelled() => return Ok(()),
        };
        let stream = handshake.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "TLS handshake timed out"))??;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        let stream = StallGuard::new(Stream::Tls(Box::new(stream)), patience, counted);
        if h2 {
            self.http2(stream, peer, requests, patience).await?;
        } else {
            self.http1(stream.with_heads(Arc::clone(&requests)), peer, requests).await?;
        }
        Ok(())
    }

    async fn http1(&self, stream: StallGuard, peer: Remote, requests: Arc<Requests>) -> hyper::Result<()> {
        let connection = http1::Builder::new()
            // The stream has a timer for each of what this one would cover together.
            .header_read_timeout(None)
            .max_buf_size(self.state.config.clients.header_bytes_max)
            .serve_connection(TokioIo::new(stream), service_fn(|request| self.answer(request, peer, &requests)))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.closing.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn http2(&self, stream: StallGuard, peer: Remote, requests: Arc<Requests>, patience: Patience) -> hyper::Result<()> {
        let header_bytes_max = u32::try_from(self.state.config.clients.header_bytes_max).unwrap_or(u32::MAX);
        let outbox = Arc::new(Outbox::default());
        let answer = service_fn(|request: Request<Incoming>| {
            let outbox = Arc::clone(&outbox);
            let answer = if request.headers().len() <= H2_HEADER_FIELDS_MAX {
                Ok(self.answer(request, peer, &requests))
            } else {
                Err(too_many_fields(&requests))
            };
            async move {
                let response = match answer {
                    Ok(answer) => answer.await?,
                    Err(refusal) => refusal,
                };
                Ok::<_, Infallible>(response.map(|body| Watched::new(body, outbox)))
            }
        });
        let connection = http2::Builder::new(Tracked(self.tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS_MAX)
            .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(H2_SEND_BUFFER_BYTES)
            .max_header_list_size(header_bytes_max)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_INTERVAL)
            .serve_connection(TokioIo::new(stream), answer);
        let mut connection = std::pin::pin!(connection);
        let mut stalled = std::pin::pin!(outbox.stalled(patience.stall));
        // Whoever takes nothing is left behind with all its answers: with the connection their memory goes.
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stalled.as_mut() => return Ok(()),
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                return tokio::select! {
                    ended = connection => ended,
                    () = stalled => Ok(()),
                };
            }
            () = idle(&requests, patience.idle) => connection.as_mut().graceful_shutdown(),
        }
        // Whoever has nothing to ask and does not go either is left behind.
        timeout(patience.head, connection).await.unwrap_or(Ok(()))
    }

    /// Answers a request, which carries the address and the scheme of its client and counts as open until its answer has gone.
    fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: Remote,
        requests: &Arc<Requests>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + Send + use<> {
        let open = requests.begin();
        let client = self.state.doorkeeper.proxies.client(peer, request.headers());
        let scheme = Scheme::of(self.state.config.tls.is_some(), peer, request.headers(), &self.state.doorkeeper.proxies);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(scheme);
        // A router is always ready.
        let answer = self.router.clone().call(request);
        async move { answer.await.map(|response| response.map(|body| Answer { body, _open: open })) }
    }
}

/// The response that hyper gives by HTTP/1.1, without a body.
fn too_many_fields(requests: &Arc<Requests>) -> Response<Answer> {
    let mut response = Response::new(Answer { body: Body::empty(), _open: requests.begin() });
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    reply::guard(response.headers_mut());
    response
}

/// Resolves when no request was open or begun for a whole `interval`.
async fn idle(requests: &Requests, interval: Duration) {
    loop {
        let begun = requests.begun();
        sleep(interval).await;
        if !requests.any_open() && requests.begun() == begun {
            return;
        }
    }
}

/// The body of an answer, whose request is open as long as there is more of it.
#[derive(Debug)]
struct Answer {
    body: Body,
    _open: OpenRequest,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs the requests of an HTTP/2 connection as tasks that the server waits for when it ends.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tracked {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
