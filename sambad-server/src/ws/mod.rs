//! `/ws`: from an HTTP request to a session.

mod boundaries;
pub(crate) mod close;
mod frames;
mod heard;
mod inbound;
mod session;
pub(crate) mod shard;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use sambad_core::access::AuditAction;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::auth::{Caller, Pass, chosen_subprotocol};
use crate::error::ApiError;
use crate::extract::Query;
use crate::handlers::events::StreamQuery;
use crate::limits::CountedConnection;
use crate::router::AppState;
use crate::sessions::{About, Transport};
use crate::stall::{StallGuard, Stream};
use crate::tls;
use inbound::{Inbound, SocketReadHalf};
use session::{Session, Start};
use shard::SocketWriteHalf;

pub(crate) use frames::{BAD_FRAME_CODES, ServerFrame};
#[cfg(feature = "testing")]
pub(crate) use {
    frames::{BadFrame, ClientFrame},
    heard::Heard,
};

/// Bytes of a client's frame or message, at most. A longer one cannot be skipped: it ends the session.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 10;
/// Bytes of the random number that a client's handshake carries. Source: RFC 6455, 4.1.
const KEY_BYTES: usize = 16;
/// What a session's read buffer starts with, and grows beyond when a frame needs it: clients say little.
const READ_BUFFER_BYTES: usize = 128;

/// `GET /ws`: everything that can be refused is refused before the upgrade.
#[utoipa::path(
    get,
    path = "/ws",
    operation_id = "webSocket",
    summary = "Stream events (WebSocket)",
    description = "Streams the event log over a WebSocket. `/api/asyncapi.json` describes the frames.",
    params(StreamQuery),
    responses((status = 101, description = "The connection is a WebSocket from here on.")),
)]
pub(crate) async fn upgrade(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<StreamQuery>,
    mut request: Request,
) -> Result<Response, ApiError> {
    // A route for GET takes HEAD as well, but nothing can be upgraded by that.
    if request.method() != Method::GET {
        return Err(ApiError::MethodNotAllowed);
    }
    if request.version() != Version::HTTP_11 {
        return Err(ApiError::UpgradeRequired("HTTP/1.1 (behind nginx: proxy_http_version 1.1)"));
    }
    let accept = handshake(request.headers())?;
    if state.drain.has_begun() {
        return Err(ApiError::Draining);
    }
    let principal = request.extensions().get().cloned();
    let pass = Pass::new(state.auth.as_ref(), principal);
    let (after, filter) = (query.after()?, query.filter_within(pass.user())?);
    let protocol = chosen_subprotocol(request.headers());
    let permit = state.session_permit(request.extensions())?;
    // Of everybody, whatever the query says: a later frame may ask for another user.
    caller.note_reading(AuditAction::EventsRead, None, &state.sambad).await?;
    let about = About::begin(request.extensions());
    let upgraded = hyper::upgrade::on(&mut request);
    // The session begins here: what is committed from now on is the client's, however long the upgrade takes.
    let (at, bounds) = match after {
        Some(after) => state.sambad.log().locate(after).await?,
        None => {
            state.refuse_once_stopped()?;
            let bounds = state.sambad.bounds();
            (Ok(bounds.head), bounds)
        }
    };
    let start = Start { about, at, bounds, filter, pass, replaying: after.is_some() };
    let (config, shard) = (state.config.clone(), state.shards.pick());
    let tasks = state.sessions.tasks.clone();
    tasks.spawn(async move {
        let _permit = permit;
        // An error here means that the client went away before the upgrade.
        let Ok(upgraded) = upgraded.await else { return };
        let Some((socket, write, _counted)) = take_over(upgraded).await else { return };
        if let Err(reason) = start.at {
            state.metrics.deliveries.resync(Transport::WebSocket, reason);
        }
        let Some(session) = Session::begin(socket, write, start, config, shard).await else { return };
        state.metrics.sessions.opened(Transport::WebSocket, after.is_some());
        session.run(&state).await;
    });
    Ok(switching_protocols(&accept, protocol))
}

/// Takes the stream out of hyper and parts it: tungstenite reads the one half, a shard writes the other.
async fn take_over(upgraded: Upgraded) -> Option<(WebSocketStream<Inbound>, SocketWriteHalf, CountedConnection)> {
    // Every connection is one of `serve`, so it is such a stream.
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<StallGuard>>().ok()?;
    // A shard watches its sockets itself.
    let (stream, counted) = io.into_inner().into_inner();
    let (read, write) = match stream {
        Stream::Plain(stream) => {
            let (read, write) = stream.into_split();
            (SocketReadHalf::Plain(read), SocketWriteHalf::Plain(write))
        }
        Stream::Tls(stream) => {
            let (read, write) = tls::split(*stream);
            (SocketReadHalf::Tls(read), SocketWriteHalf::Tls(write))
        }
    };
    // A copy, as a rule of nothing: the bytes themselves would keep all of hyper's read buffer alive.
    let already_read = read_buf.to_vec();
    let inbound = Inbound::new(read, &already_read);
    let socket = WebSocketStream::from_partially_read(inbound, already_read, Role::Server, Some(socket_config())).await;
    Some((socket, write, counted))
}

pub(crate) fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}

/// Checks the client's half of the opening handshake and derives the server's.
///
/// Source: RFC 6455, 4.2.1 and 4.2.2.
fn handshake(headers: &HeaderMap) -> Result<String, ApiError> {
    let lists = |name: HeaderName, token: &str| {
        let values = headers.get_all(name);
        let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
    };
    if !lists(CONNECTION, "upgrade") || !lists(UPGRADE, "websocket") {
        return Err(ApiError::UpgradeRequired("Connection: Upgrade and Upgrade: websocket"));
    }
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
    };
    if only(SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(ApiError::UpgradeRequired("one Sec-WebSocket-Version: 13"));
    }
    let is_key = |key: &&[u8]| BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == KEY_BYTES);
    let key = only(SEC_WEBSOCKET_KEY).filter(is_key);
    Ok(derive_accept_key(key.ok_or(ApiError::UpgradeRequired("one Sec-WebSocket-Key of 16 bytes in base64"))?))
}

fn switching_protocols(accept: &str, protocol: Option<HeaderValue>) -> Response {
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).expect("base64 is ASCII"));
    headers.extend(protocol.map(|protocol| (SEC_WEBSOCKET_PROTOCOL, protocol)));
    response
}
