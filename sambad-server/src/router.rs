//! The route table, and what surrounds every request.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{Extensions, HeaderName, Method, header};
use axum::middleware;
use sambad_core::Sambad;
use tokio::sync::Semaphore;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::auth::{Auth, Origins, authorise};
use crate::compression::compress;
use crate::config::ServerConfig;
use crate::drain::Drain;
use crate::error::ApiError;
use crate::limits::{self, Doorkeeper};
use crate::metrics::Metrics;
use crate::request_log::{Lines, TRACEPARENT, X_REQUEST_ID, identify};
use crate::routes::{METRICS, ROUTES};
use crate::sessions::{Permit, Sessions};
use crate::ws::shard::Shards;
use crate::{assets, reply, sse};

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

    /// The right to begin a session with a request that carries these extensions.
    pub(crate) fn session_permit(&self, extensions: &Extensions) -> Result<Permit, ApiError> {
        self.sessions.permit(self.doorkeeper.session(extensions)?)
    }

    /// Refuses what a server must not do that has come to a fatal end and is about to end.
    pub(crate) fn refuse_once_stopped(&self) -> Result<(), ApiError> {
        if self.sambad.fatal().is_some() || self.shards.have_failed() {
            return Err(sambad_core::Error::Unavailable(None).into());
        }
        Ok(())
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
pub(crate) fn router(state: AppState) -> Router {
    let open = state.origins.any;
    // Somebody who gives metrics an address of their own does so because this one is for others.
    let elsewhere = state.config.metrics_listener.is_some();
    let served = ROUTES.iter().filter(|route| !(elsewhere && route.path == METRICS));
    let routes = served.fold(Router::new(), |routes, route| {
        let handler = (route.handler)();
        let handler = if route.is_compressed() { handler.route_layer(middleware::from_fn(compress)) } else { handler };
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
    let routes = match (open, state.origins.others_may()) {
        (true, _) => routes.layer(cors(Any.into())),
        (false, true) => routes.layer(cors(named(state.origins.clone()))),
        (false, false) => routes,
    };
    routes.layer(middleware::from_fn_with_state(state.clone(), identify)).with_state(state)
}

fn named(origins: Origins) -> AllowOrigin {
    AllowOrigin::predicate(move |origin, _| origin.to_str().is_ok_and(|origin| origins.names(origin)))
}

/// Lets pages of other origins use the server: of any while only this machine can connect and nobody is asked who they are,
/// as dashboards under development are served from elsewhere; of those that are named otherwise.
fn cors(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            // Libraries for event streams ask for what is new.
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::PRAGMA,
            HeaderName::from_static("idempotency-key"),
            sse::LAST_EVENT_ID,
            TRACEPARENT,
            HeaderName::from_static("tracestate"),
            HeaderName::from_static("baggage"),
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
