//! `GET /metrics`

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::prometheus_text;
use sambad_core::Error;
use tokio::time::timeout;

use super::Format;
use super::levels::Reading;
use crate::error::ApiError;
use crate::negotiation::Preference;
use crate::router::AppState;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a scrape may wait for those before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long shards may take to answer: far more than one fan-out.
const READING_TIMEOUT: Duration = Duration::from_secs(5);

/// `GET /metrics`: one scrape at a time, however many ask.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    summary = "Metrics",
    description = "Metrics for Prometheus. docs/reference/metrics.md describes each.",
    responses((status = 200, description = "The metrics in the text format, or as OpenMetrics if the client accepts it.", content(
        (String = "text/plain"),
        (String = "application/openmetrics-text"),
    )))
)]
pub(crate) async fn scrape(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let of = |media_type, version| Preference::of(&headers, media_type, Some(version));
    let open = of("application/openmetrics-text", "1.0.0").beats(of("text/plain", "0.0.4"));
    let (format, media_type) =
        if open { (Format::OpenMetrics, OPEN_METRICS) } else { (Format::Prometheus, prometheus_text::CONTENT_TYPE) };
    let text = text(&state, format).await?;
    Ok(([(CONTENT_TYPE, media_type), (VARY, "accept")], text).into_response())
}

async fn text(state: &AppState, format: Format) -> Result<String, Error> {
    let turn = timeout(TURN_TIMEOUT, state.metrics.turn.acquire()).await.map_err(|_| Error::Overloaded)?;
    let reading = timeout(READING_TIMEOUT, Reading::take(state)).await.map_err(|_| Error::Overloaded)?;
    // Files and `/proc` are looked at, and the text is long.
    let owned = state.clone();
    let printing = tokio::task::spawn_blocking(move || {
        owned.metrics.levels.set(&reading);
        owned.metrics.text(format)
    });
    let text = printing.await;
    drop(turn);
    let failed = |source| Error::Internal { what: "metrics cannot be printed".into(), source: Some(source) };
    text.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))
}
