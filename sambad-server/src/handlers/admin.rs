//! `/api/admin`: what a dashboard shows.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use sambad_core::access::{AccessChange, AuditAction};
use sambad_core::model::{Analytics, Snapshot, User};
use sambad_core::{Activity, Cursor, EventKind, Sambad, Seq, Timestamp, UserId, UserOrder, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::users;
use crate::auth::Caller;
use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{Query, Segment, limit_param};
use crate::reply;
use crate::router::AppState;
use crate::sessions::{Remote, Transport};
use crate::ws::shard::standing::Standing;

/// `GET /api/admin/analytics`
#[utoipa::path(
    get,
    path = "/api/admin/analytics",
    operation_id = "analytics",
    summary = "The dashboard's figures.",
    description = "",
    responses((status = 200, description = "Figures.", body = Analytics)),
)]
pub(crate) async fn analytics(State(sambad): State<Sambad>) -> Result<Response, ApiError> {
    Ok(reply::snapshot(&sambad.analytics().await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitQuery {
    /// How many.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct Listed {
    #[schema(value_type = String, format = "uuid")]
    session: Uuid,
    transport: Transport,
    since: Timestamp,
    cursor: Cursor,
    /// In events, whether its filter lets them through or not.
    lag: u64,
    #[schema(value_type = Vec<EventKind>)]
    types: Vec<&'static str>,
    user: Option<UserId>,
    #[schema(value_type = String)]
    remote: Remote,
    replaying: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
struct Connected {
    total: usize,
    head: Seq,
    sessions: Vec<Listed>,
}

/// `GET /api/admin/sessions`: who is connected now, those furthest behind first.
#[utoipa::path(
    get,
    path = "/api/admin/sessions",
    operation_id = "listSessions",
    summary = "Lists who is connected to this server, those furthest behind first.",
    description = "",
    params(LimitQuery),
    responses((status = 200, description = "Sessions.", body = Connected)),
)]
pub(crate) async fn sessions(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<LimitQuery>,
) -> Result<Response, ApiError> {
    let limit = limit_param(query.limit.as_deref(), limits::PAGE_ROWS_DEFAULT, limits::PAGE_ROWS_MAX)? as usize;
    caller.count_reading(AuditAction::SessionsRead, "all sessions", &state.sambad).await?;
    let of_shards = state.shards.standings(limit).await.into_iter().map(|standing| (standing, Transport::WebSocket));
    let mut found: Vec<(Standing, Transport)> = of_shards.chain(state.sessions.standings(limit)).collect();
    found.sort_unstable_by_key(|(standing, _)| standing.order());
    found.truncate(limit);
    // After the shards have answered: nobody is ahead of it.
    let bounds = state.sambad.bounds();
    let sessions = found.into_iter().map(|(standing, transport)| Listed {
        session: standing.about.id,
        transport,
        since: standing.about.since,
        cursor: Cursor { epoch: bounds.epoch, seq: standing.cursor },
        lag: bounds.head.0.saturating_sub(standing.cursor.0),
        types: standing.filter.kinds.iter().map(EventKind::as_str).collect(),
        user: standing.filter.user,
        remote: standing.about.remote,
        replaying: standing.replaying,
    });
    let total = state.open_sessions();
    let connected = Connected { total, head: bounds.head, sessions: sessions.collect() };
    Ok(reply::at(bounds.head_cursor(), Json(connected)))
}

#[derive(Serialize, ToSchema)]
struct Closed {
    message: &'static str,
    #[schema(value_type = String, format = "uuid")]
    session: Uuid,
}

/// `DELETE /api/admin/sessions/{id}`: its client is told not to come back.
#[utoipa::path(
    delete,
    path = "/api/admin/sessions/{id}",
    operation_id = "closeSession",
    summary = "Ends a session; its client is told not to come back.",
    description = "",
    params(("id" = schema::Uuid, Path)),
    responses((status = 200, description = "It has ended.", body = Closed)),
)]
pub(crate) async fn close_session(
    State(state): State<AppState>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Response, ApiError> {
    let id: Uuid = id.parse().map_err(|_| sambad_core::Error::InvalidId { field: "id" })?;
    if !state.sessions.close(id) && !state.shards.expel(id).await {
        return Err(ApiError::NoSuchSession);
    }
    if state.auth.is_some() {
        let note = AccessChange::Note { action: AuditAction::SessionClosed, subject: id.to_string() };
        state.sambad.change_access(note, caller.actor()).await?;
    }
    Ok(Json(Closed { message: "Session closed", session: id }).into_response())
}

/// `GET /api/admin/users`
#[utoipa::path(
    get,
    path = "/api/admin/users",
    operation_id = "listNewestUsers",
    summary = "Lists users, newest first.",
    description = "",
    params(users::ListQuery),
    responses((status = 200, description = "A page.", body = Vec<User>, headers(("Link" = Option<String>)))),
)]
pub(crate) async fn users(
    state: State<AppState>,
    caller: Caller,
    uri: Uri,
    query: Query<users::ListQuery>,
) -> Result<Response, ApiError> {
    users::list_in(UserOrder::NewestFirst, &state, &caller, &uri, &query.0).await
}

#[derive(Serialize, ToSchema)]
#[schema(as = ActivityEntry)]
struct Entry {
    #[serde(rename = "type")]
    kind: EventKind,
    description: String,
    time: Timestamp,
    seq: Seq,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

/// `GET /api/admin/activity`
#[utoipa::path(
    get,
    path = "/api/admin/activity",
    operation_id = "activity",
    summary = "What happened last, newest first.",
    description = "",
    params(LimitQuery),
    responses((status = 200, description = "Entries.", body = Vec<Entry>)),
)]
pub(crate) async fn activity(
    State(sambad): State<Sambad>,
    caller: Caller,
    Query(query): Query<LimitQuery>,
) -> Result<Response, ApiError> {
    let limit = limit_param(query.limit.as_deref(), limits::ACTIVITY_ROWS_DEFAULT, limits::PAGE_ROWS_MAX)?;
    caller.note_reading(AuditAction::EventsRead, None, &sambad).await?;
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
