//! `/ws`: from an HTTP request to a session.

mod close;
mod frames;
mod session;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::error::ApiError;
use crate::extract::Query;
use crate::handlers::events::StreamQuery;
use crate::router::AppState;
use session::Session;

/// Bytes of a client's frame or message, at most. A longer one cannot be skipped: it ends the session.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// What a session's read buffer starts with: clients say little.
const READ_BUFFER_BYTES: usize = 1 << 10;
/// Bytes collected before they are handed to the socket.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// `GET /ws`: everything that can be refused is refused before the upgrade.
pub(crate) async fn upgrade(
    State(state): State<AppState>,
    Query(query): Query<StreamQuery>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let accept = handshake(request.headers())?;
    if state.draining.is_cancelled() {
        return Err(ApiError::Draining);
    }
    let (after, filter) = (query.after()?, query.filter()?);
    let permit = state.sessions.permits.clone().try_acquire_owned().map_err(|_| ApiError::TooManySessions)?;
    let upgraded = hyper::upgrade::on(&mut request);
    // The subscription begins here: what is committed from now on is the session's, however long the upgrade takes.
    let subscription = state.sambad.subscribe(after, filter).await?;
    let (config, draining) = (state.config.clone(), state.draining.clone());
    state.sessions.tasks.spawn(async move {
        let _permit = permit;
        // An error here means that the client went away before the upgrade.
        let Ok(upgraded) = upgraded.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(socket_config())).await;
        Session::new(socket, subscription, filter, config).run(draining).await;
    });
    Ok(switching_protocols(&accept))
}

fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
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
    if !lists(SEC_WEBSOCKET_VERSION, "13") {
        return Err(ApiError::UpgradeRequired("Sec-WebSocket-Version: 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(ApiError::UpgradeRequired("Sec-WebSocket-Key"))?;
    Ok(derive_accept_key(key.as_bytes()))
}

fn switching_protocols(accept: &str) -> Response {
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).expect("base64 is ASCII"));
    response
}
