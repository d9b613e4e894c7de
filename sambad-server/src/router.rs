//! The route table, and what surrounds every request.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::http::{Extensions, HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use sambad_core::Sambad;
use tokio::sync::Semaphore;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use uuid::Uuid;

use crate::auth::{Auth, Origins, authorise};
use crate::config::ServerConfig;
use crate::drain::Drain;
use crate::error::ApiError;
use crate::limits::{self, Doorkeeper};
use crate::routes::ROUTES;
use crate::sessions::{Permit, Sessions};
use crate::ws::shard::Shards;
use crate::{assets, reply, sse};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a request id that the caller may choose.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// What handlers share. One pointer, since it is cloned several times a request.
#[derive(Debug, Clone)]
pub(crate) struct AppState(Arc<Shared>);

/// See [`AppState`].
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sambad: Sambad,
    /// `None` while nobody has to say who they are.
    pub(crate) auth: Option<Arc<Auth>>,
    pub(crate) origins: Origins,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) sessions: Sessions,
    pub(crate) doorkeeper: Doorkeeper,
    pub(crate) shards: Shards,
    pub(crate) drain: Drain,
    /// Bytes of bodies that may still be read at a time.
    pub(crate) bodies: Semaphore,
    pub(crate) started: Instant,
}

impl AppState {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// The right to begin a session with a request that carries these extensions.
    pub(crate) fn session_permit(&self, extensions: &Extensions) -> Result<Permit, ApiError> {
        self.sessions.permit(self.doorkeeper.session(extensions)?)
    }

    /// How many sessions there are right now, by every transport.
    pub(crate) fn open_sessions(&self) -> usize {
        self.shards.open_sessions() + self.sessions.streams.len()
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<AppState> for Sambad {
    fn from_ref(state: &AppState) -> Self {
        state.sambad.clone()
    }
}

/// Every path there is. Where any page may use the server, nobody is asked who they are.
pub(crate) fn router(state: AppState, open: bool) -> Router {
    let routes = ROUTES.iter().fold(Router::new(), |routes, route| {
        let handler = (route.handler)();
        // The layer that comes last is the outer one.
        let authorised = || {
            let counted = handler.clone().route_layer(middleware::from_fn_with_state(state.clone(), limits::per_principal));
            counted.route_layer(middleware::from_fn_with_state((state.clone(), route.who), authorise))
        };
        routes.route(route.path, if open { handler } else { authorised() })
    });
    let routes = routes
        .merge(assets::routes())
        .fallback(async || ApiError::NoSuchPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
    let routes = routes.layer(middleware::from_fn_with_state(state.clone(), limits::per_address));
    let routes = match (open, &state.origins.allowed) {
        (true, _) => routes.layer(cors(Any.into())),
        (false, allowed) if allowed.is_empty() => routes,
        (false, allowed) => routes.layer(cors(named(allowed))),
    };
    routes.layer(middleware::from_fn_with_state(state.clone(), identify)).with_state(state)
}

fn named(allowed: &[String]) -> AllowOrigin {
    AllowOrigin::list(allowed.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()))
}

/// Lets pages of other origins use the server: of any while only this machine can connect and nobody is asked who they are,
/// as dashboards under development are served from elsewhere; of those that are named otherwise.
fn cors(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            sse::LAST_EVENT_ID,
            X_REQUEST_ID,
        ])
        .expose_headers([
            reply::SAMBAD_CURSOR,
            reply::RECONNECT_AFTER_MS,
            reply::IDEMPOTENT_REPLAYED,
            X_REQUEST_ID,
            header::LINK,
            header::RETRY_AFTER,
        ])
}

/// Gives every request an id, writes the body of every refusal, and logs at debug level what came and went.
async fn identify(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = request.headers().get(X_REQUEST_ID).filter(|value| acceptable(value)).cloned().unwrap_or_else(new_id);
    let label = tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let begun = Instant::now();
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() {
        let text = id.to_str().unwrap_or_default();
        let body = error.into_body(text);
        // What the router said besides, such as Allow, stays.
        let (mut head, _) = response.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.extend(body.headers().clone());
        response = Response::from_parts(head, body.into_body());
    }
    if state.drain.has_begun() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((method, path)) = label {
        let status = response.status().as_u16();
        tracing::debug!(request_id = ?id, %method, path, status, elapsed_us = begun.elapsed().as_micros(), "request");
    }
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

fn acceptable(value: &HeaderValue) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn new_id() -> HeaderValue {
    HeaderValue::try_from(Uuid::now_v7().to_string()).expect("a UUID is ASCII")
}
