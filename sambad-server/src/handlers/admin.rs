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
    summary = "Figures of the dashboard",
    description = "Returns totals, and counts of the last 30 days, from counters.",
    responses((status = 200, description = "The figures.", body = Analytics)),
)]
pub(crate) async fn analytics(State(sambad): State<Sambad>) -> Result<Response, ApiError> {
    Ok(reply::snapshot(&sambad.analytics().await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitQuery {
    /// The number of rows.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct Listed {
    /// The id of the session.
    #[schema(value_type = String, format = "uuid")]
    session: Uuid,
    transport: Transport,
    /// The time of the connection.
    since: Timestamp,
    /// The position up to which events were handed to the socket.
    cursor: Cursor,
    /// The number of events between `cursor` and the head of the log, including events that the filter leaves out.
    lag: u64,
    /// The event types of the filter.
    #[schema(value_type = Vec<EventKind>)]
    types: Vec<&'static str>,
    /// The user of the filter.
    user: Option<UserId>,
    /// The address of the client. Port 0 stands for an address that a trusted proxy reported.
    #[schema(value_type = String)]
    remote: Remote,
    /// Whether the session reads older events from the database.
    replaying: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
struct Connected {
    /// The number of open sessions.
    total: usize,
    /// The highest committed seq of the log.
    head: Seq,
    /// The sessions, the largest lag first.
    sessions: Vec<Listed>,
}

/// `GET /api/admin/sessions`: who is connected now, those furthest behind first.
#[utoipa::path(
    get,
    path = "/api/admin/sessions",
    operation_id = "listSessions",
    summary = "List sessions",
    description = "Lists open sessions of this server: the largest lag first, then the longest connected.",
    params(LimitQuery),
    responses((status = 200, description = "The sessions.", body = Connected)),
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
    summary = "Close a session",
    description = "Closes a session. The close code asks its client not to reconnect.",
    params(("id" = schema::Uuid, Path)),
    responses((status = 200, description = "The session was closed.", body = Closed)),
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
    summary = "List the newest users",
    description = "Lists users, newest first. With `q`, lists users whose phone number or name begins with it.",
    params(users::ListQuery),
    responses((status = 200, description = "A page of the list. The header `Link` has the address of the next page.", body = Vec<User>, headers(("Link" = Option<String>)))),
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
    /// The event in words, for people.
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
    summary = "List recent activity",
    description = "Lists the latest events with a description, newest first.",
    params(LimitQuery),
    responses((status = 200, description = "The latest events.", body = Vec<Entry>)),
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
        what: "the database holds an event that is not JSON".into(),
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
    let who = names.username.or(names.user_username).or(names.from_username).unwrap_or("a user");
    let whom = names.contact_user_username.or(names.to_username).unwrap_or("a user");
    let description = match activity.kind {
        EventKind::UserCreated => format!("{who} joined"),
        EventKind::ContactAdded => format!("{who} added {whom}"),
        EventKind::ContactRemoved => format!("{who} removed {whom}"),
        EventKind::MessageSent => format!("{who} sent a message to {whom}"),
    };
    let data = RawValue::from_string(activity.data)?;
    Ok(Entry { kind: activity.kind, description, time: activity.at, seq: activity.seq, data })
}
