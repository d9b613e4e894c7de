//! The route table, and what surrounds every request.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{HeaderName, Method, header};
use axum::middleware;
use axum::routing::{delete, get, post};
use sambad_core::Sambad;
use tokio::sync::Semaphore;
use tower_http::cors::{Any, CorsLayer};

use crate::config::ServerConfig;
use crate::drain::Drain;
use crate::error::ApiError;
use crate::handlers::{admin, contacts, events, health, messages, sync_contacts, users};
use crate::metrics::{Metrics, scrape};
use crate::request_log::{Lines, TRACEPARENT, X_REQUEST_ID, identify};
use crate::sessions::Sessions;
use crate::ws::shard::Shards;
use crate::{assets, reply, sse, ws};

/// What handlers share. One pointer, since it is cloned several times a request.
#[derive(Debug, Clone)]
pub(crate) struct AppState(Arc<Shared>);

/// See [`AppState`].
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sambad: Sambad,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) sessions: Sessions,
    pub(crate) shards: Shards,
    pub(crate) drain: Drain,
    pub(crate) metrics: Metrics,
    /// Lines of the log that failed requests may still have.
    pub(crate) lines: Lines,
    /// Bytes of bodies that may still be read at a time.
    pub(crate) bodies: Semaphore,
    pub(crate) started: Instant,
}

impl AppState {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
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

/// Every path there is.
pub(crate) fn router(state: AppState, open_to_any_origin: bool) -> Router {
    let routes = Router::new()
        .route("/", get(health::root))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/ws", get(ws::upgrade))
        .route("/api/health", get(health::health))
        .route("/api/users/login", post(users::login))
        .route("/api/users", get(users::list))
        .route("/api/users/{id}", get(users::show))
        .route("/api/contacts", post(contacts::add).get(contacts::list))
        .route("/api/contacts/{id}", delete(contacts::remove))
        .route("/api/messages", post(messages::send).get(messages::list))
        .route("/api/sync-contacts", post(sync_contacts::sync))
        .route("/api/admin/analytics", get(admin::analytics))
        .route("/api/admin/activity", get(admin::activity))
        .route("/api/admin/users", get(admin::users))
        .route("/api/admin/sessions", get(admin::sessions))
        .route("/api/events", get(events::list))
        .route("/api/events/stream", get(sse::stream))
        .merge(assets::routes())
        .fallback(async || ApiError::NoSuchPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
    // Somebody who gives metrics an address of their own does so because this one is for others.
    let elsewhere = state.config.metrics_listener.is_some();
    let routes = if elsewhere { routes } else { routes.route("/metrics", get(scrape)) };
    let routes = if open_to_any_origin { routes.layer(cors()) } else { routes };
    routes.layer(middleware::from_fn_with_state(state.clone(), identify)).with_state(state)
}

/// While only this machine can connect, a page of any origin may: dashboards under development are served from elsewhere.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            sse::LAST_EVENT_ID,
            TRACEPARENT,
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
