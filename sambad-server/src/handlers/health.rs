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
    summary = "Name and version",
    description = "The first line is `Sambad Unified Backend is running!`. A browser is redirected to the dashboard.",
    responses((status = 200, description = "Name, version and addresses.", body = String, content_type = "text/plain"), (status = 303, description = "Redirect to the dashboard, for clients that prefer `text/html` to `text/plain`.", headers(("Location" = String)))),
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
    summary = "Liveness probe",
    description = "Succeeds while the process responds and no fatal error has stopped it.",
    responses((status = 200, description = "The process is alive.", body = String, content_type = "text/plain")),
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
    summary = "Readiness probe",
    description = "Fails while the server shuts down, and when the database does not respond.",
    responses((status = 200, description = "The server accepts traffic.", body = String, content_type = "text/plain")),
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
    /// The number of open sessions. Only for admins, or with authentication off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sessions: Option<usize>,
    /// The last seq of the log. Only for authenticated callers, or with authentication off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    head: Option<Seq>,
    /// The first seq that is still stored, for the same callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    first: Option<Seq>,
    /// Whether the last write reached the disk.
    writable: bool,
    /// Seconds by which the log's last timestamp is ahead of the clock. Until the clock reaches it, all events have this timestamp.
    log_ahead_s: u64,
    /// Whether the clock has agreed with elapsed time for long enough. Until then nothing is deleted for its age.
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
    summary = "Health of the database",
    description = "Reads from the database. Credentials are optional: with them, the response has more fields.",
    responses((status = 200, description = "The database responds. `head` and `first` need credentials, `sessions` needs those of an admin.", body = Health, headers(("Sambad-Cursor" = String))), (status = 503, description = "The database does not respond.", body = Unhealthy)),
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
                tracing::error!(error = &error as &dyn std::error::Error, "database does not respond");
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
