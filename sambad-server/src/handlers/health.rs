//! Whether the server is there, works, and wants traffic.

use axum::Json;
use axum::extract::State;
use axum::http::header::VARY;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use sambad_core::Seq;
use serde::Serialize;
use utoipa::ToSchema;

use crate::assets::DASHBOARD;
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
    sessions: usize,
    head: Seq,
    first: Seq,
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
    responses((status = 200, description = "The store answers.", body = Health), (status = 503, description = "It does not.", body = Unhealthy)),
)]
pub(crate) async fn health(State(state): State<AppState>) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    match state.sambad.stored_bounds().await {
        Ok(bounds) => {
            let health = Health {
                status: "healthy",
                database: "connected",
                version,
                uptime_s: state.started.elapsed().as_secs(),
                sessions: state.open_sessions(),
                head: bounds.head,
                first: bounds.first,
                writable: state.sambad.is_writable(),
                log_ahead_s: state.sambad.clock().log_ahead().as_secs(),
                clock_trusted: state.sambad.clock().is_trusted(),
            };
            reply::at(bounds.head_cursor(), Json(health))
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
