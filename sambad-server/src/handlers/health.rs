//! Whether the server is there, works, and wants traffic.

use axum::Json;
use axum::extract::State;
use axum::http::header::VARY;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use sambad_core::Seq;
use serde::Serialize;
use utoipa::ToSchema;

use crate::assets::DASHBOARD;
use crate::auth::{Credentials, Role};
use crate::error::ApiError;
use crate::negotiation::Preference;
use crate::reply;
use crate::router::AppState;

/// `GET /`: a browser is sent to the dashboard.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "root",
    summary = "Says what this is, and sends browsers to the dashboard.",
    description = "",
    responses((status = 200, description = "What this is.", body = String, content_type = "text/plain"), (status = 303, description = "To the dashboard: for who accepts `text/html` rather than text.", headers(("Location" = String)))),
)]
pub(crate) async fn root(headers: HeaderMap) -> Response {
    let vary = [(VARY, HeaderValue::from_static("accept"))];
    if Preference::of(&headers, "text/html", None).beats(Preference::of(&headers, "text/plain", None)) {
        // A relative address, which also holds behind a path prefix.
        return (vary, Redirect::to(DASHBOARD.trim_start_matches('/'))).into_response();
    }
    let text = format!(
        "Sambad Unified Backend is running!\n\nversion    {}\nREST       /api\nWebSocket  /ws\ndashboard  /dashboard\nhealth     /api/health\n",
        env!("CARGO_PKG_VERSION")
    );
    (vary, text).into_response()
}

/// `GET /livez`: the process answers, and has not come to a fatal end.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    summary = "Whether the process answers and can serve.",
    description = "",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn livez(State(state): State<AppState>) -> Result<&'static str, ApiError> {
    state.refuse_once_stopped()?;
    Ok("ok\n")
}

/// `GET /readyz`: the server takes traffic.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    summary = "Whether the server takes traffic.",
    description = "",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn readyz(State(state): State<AppState>) -> Result<&'static str, ApiError> {
    if state.drain.is_announced() {
        return Err(ApiError::Draining);
    }
    state.refuse_once_stopped()?;
    state.sambad.stored_bounds().await?;
    Ok("ok\n")
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
    database: &'static str,
    version: &'static str,
    uptime_s: u64,
    /// Open sessions; for admins, and on a server where callers need not authenticate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sessions: Option<usize>,
    /// The log's last seq; for callers who authenticate, and on a server where they need not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    head: Option<Seq>,
    /// The first seq that is stored; for the same callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    first: Option<Seq>,
    /// Whether the last attempt to write reached the disk.
    writable: bool,
    /// Seconds by which the log's last instant lies ahead of the clock; all events get that instant meanwhile.
    log_ahead_s: u64,
    /// Whether the clock has agreed with elapsed time for long enough; until then nothing is deleted for its age.
    clock_trusted: bool,
}

#[derive(Serialize, ToSchema)]
struct Unhealthy {
    status: &'static str,
    database: &'static str,
    version: &'static str,
}

/// `GET /api/health`: asks the store itself.
#[utoipa::path(
    get,
    path = "/api/health",
    operation_id = "health",
    summary = "Asks the store itself.",
    description = "",
    responses((status = 200, description = "The store answers. Callers who authenticate get the bounds of the log as well, and admins the number of sessions.", body = Health, headers(("Sambad-Cursor" = String))), (status = 503, description = "It does not.", body = Unhealthy)),
)]
pub(crate) async fn health(State(state): State<AppState>, request: Parts) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let (authenticated, admin) = rights(&state, &request).await;
    match state.sambad.stored_bounds().await {
        Ok(bounds) => {
            let health = Health {
                status: "healthy",
                database: "connected",
                version,
                uptime_s: state.started.elapsed().as_secs(),
                sessions: admin.then(|| state.open_sessions()),
                head: authenticated.then_some(bounds.head),
                first: authenticated.then_some(bounds.first),
                writable: state.sambad.is_writable(),
                log_ahead_s: state.sambad.clock().log_ahead().as_secs(),
                clock_trusted: state.sambad.clock().is_trusted(),
            };
            if authenticated { reply::at(bounds.head_cursor(), Json(health)) } else { Json(health).into_response() }
        }
        Err(error) => {
            // What has no cause is the end of the server, which is reported once.
            if std::error::Error::source(&error).is_some() {
                tracing::error!(error = &error as &dyn std::error::Error, "store does not answer");
            }
            let unhealthy = Unhealthy { status: "unhealthy", database: "unavailable", version };
            (StatusCode::SERVICE_UNAVAILABLE, Json(unhealthy)).into_response()
        }
    }
}

/// Whether the caller has authenticated, and as an admin. Credentials that are not valid are no reason to refuse: anyone may ask.
async fn rights(state: &AppState, request: &Parts) -> (bool, bool) {
    let Some(auth) = &state.auth else { return (true, true) };
    let principal = match Credentials::of(request) {
        Some(credentials) => auth.authenticate(Some(credentials)).await.ok(),
        None => None,
    };
    (principal.is_some(), principal.is_some_and(|principal| principal.has(Role::Admin)))
}
