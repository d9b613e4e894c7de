//! `/api/admin`: what a dashboard shows.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use sambad_core::model::Snapshot;
use sambad_core::{Activity, EventKind, Sambad, Seq, Timestamp, UserOrder, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::users;
use crate::error::ApiError;
use crate::extract::{Query, limit_param};
use crate::reply;
use crate::router::AppState;

/// `GET /api/admin/analytics`
pub(crate) async fn analytics(State(sambad): State<Sambad>) -> Result<Response, ApiError> {
    Ok(reply::snapshot(&sambad.analytics().await?))
}

/// `GET /api/admin/users`
pub(crate) async fn users(state: State<AppState>, uri: Uri, query: Query<users::ListQuery>) -> Result<Response, ApiError> {
    users::list_in(UserOrder::NewestFirst, &state, &uri, &query.0).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct ActivityQuery {
    limit: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: EventKind,
    description: String,
    time: Timestamp,
    seq: Seq,
    data: Box<RawValue>,
}

/// `GET /api/admin/activity`
pub(crate) async fn activity(State(sambad): State<Sambad>, Query(query): Query<ActivityQuery>) -> Result<Response, ApiError> {
    let limit = limit_param(query.limit.as_deref(), limits::ACTIVITY_ROWS_DEFAULT, limits::PAGE_ROWS_MAX)?;
    let found = sambad.activity(limit).await?;
    let value = found.value.into_iter().map(entry).collect::<Result<Vec<Entry>, serde_json::Error>>();
    let value = value.map_err(|error| sambad_core::Error::Internal {
        what: "store holds an event that is no JSON".into(),
        source: Some(error.into()),
    })?;
    Ok(reply::snapshot(&Snapshot { cursor: found.cursor, value }))
}

/// Who an event is about, as its data names them.
#[derive(Deserialize)]
struct Names<'a> {
    username: Option<&'a str>,
    user_username: Option<&'a str>,
    contact_user_username: Option<&'a str>,
    from_username: Option<&'a str>,
    to_username: Option<&'a str>,
}

fn entry(activity: Activity) -> Result<Entry, serde_json::Error> {
    let names: Names<'_> = serde_json::from_str(&activity.data)?;
    let who = names.username.or(names.user_username).or(names.from_username).unwrap_or("somebody");
    let whom = names.contact_user_username.or(names.to_username).unwrap_or("somebody");
    let description = match activity.kind {
        EventKind::UserCreated => format!("{who} joined"),
        EventKind::ContactAdded => format!("{who} added {whom}"),
        EventKind::ContactRemoved => format!("{who} removed {whom}"),
        EventKind::MessageSent => format!("{who} sent a message to {whom}"),
    };
    let data = RawValue::from_string(activity.data)?;
    Ok(Entry { kind: activity.kind, description, time: activity.at, seq: activity.seq, data })
}
