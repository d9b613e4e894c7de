//! `/api/events`: the log for those who poll.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Extensions, Method};
use axum::response::Response;
use sambad_core::access::AuditAction;
use sambad_core::{After, Cursor, Error, EventKind, EventPage, Filter, Seq, UserId, limits};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::auth::{Caller, Pass};
use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{Query, id_param, limit_param, number_param, param};
use crate::reply;
use crate::router::AppState;
use crate::sessions::{About, Place, Transport};

/// Longest wait of a long poll.
const WAIT_S_MAX: u32 = 30;

/// The events that a reader requests, the same for every transport.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Events after this cursor or seq. 0 means the whole stored log.
    #[param(value_type = Option<schema::After>)]
    after: Option<String>,
    /// Events of these types, separated by commas. Default: all types.
    #[param(value_type = Option<Vec<EventKind>>, style = Form, explode = false)]
    types: Option<String>,
    /// Events that involve this user. Default: all users.
    #[param(value_type = Option<schema::UuidOrNothing>)]
    user: Option<String>,
    /// The number of events of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// How many seconds the server holds back an empty page until an event occurs.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 30, default = 0)]
    wait: Option<String>,
}

impl StreamQuery {
    /// Where the reader begins.
    pub(crate) fn after(&self) -> Result<Option<After>, Error> {
        param("after", self.after.as_deref())
    }

    /// What the reader asks for.
    pub(crate) fn filter(&self) -> Result<Filter, Error> {
        let kinds = match self.types.as_deref().filter(|types| !types.is_empty()) {
            Some(types) => types.split(',').map(|kind| kind.trim().parse()).collect::<Result<_, _>>(),
            None => Ok(Filter::default().kinds),
        };
        let kinds = kinds.map_err(|error: sambad_core::kind::InvalidEventKind| Error::field("types", error.to_string()))?;
        Ok(Filter { kinds, user: id_param("user", self.user.as_deref())? })
    }

    /// What the reader gets: a user nothing but what is theirs, whatever the query says.
    pub(crate) fn filter_within(&self, confined: Option<UserId>) -> Result<Filter, Error> {
        let filter = self.filter()?;
        Ok(Filter { user: confined.or(filter.user), ..filter })
    }

    /// How many events a page may have.
    pub(crate) fn limit(&self) -> Result<u32, Error> {
        limit_param(self.limit.as_deref(), limits::PAGE_ROWS_DEFAULT, limits::PAGE_EVENTS_MAX)
    }

    /// How long an empty page may wait for an event.
    pub(crate) fn wait(&self) -> Result<Duration, Error> {
        let wait = number_param("wait", self.wait.as_deref(), 0..=WAIT_S_MAX, " seconds")?;
        Ok(Duration::from_secs(wait.unwrap_or(0).into()))
    }
}

/// `GET /api/events`: at once if there is anything after the cursor, else when there is or `wait` seconds are over.
///
/// A page may be empty although its cursor moved: what the filter left out is not looked at again.
#[utoipa::path(
    get,
    path = "/api/events",
    operation_id = "listEvents",
    summary = "Read or poll events",
    description = "Returns a page of the event log after a cursor. With `wait`, an empty page is held back until an event occurs (long poll).",
    params(StreamQuery),
    responses((status = 200, description = "A page of events. Continue from its `cursor`.", body = schema::EventPage)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<StreamQuery>,
    method: Method,
    extensions: Extensions,
) -> Result<Response, ApiError> {
    let after = query.after()?.unwrap_or(After::Seq(Seq::ZERO));
    let mut pass = Pass::new(state.auth.as_ref(), extensions.get().cloned());
    let filter = query.filter_within(pass.user())?;
    let (limit, mut wait) = (query.limit()?, query.wait()?);
    if method == Method::HEAD {
        // What it would wait for is not sent.
        wait = Duration::ZERO;
    }
    // A poll that waits comes back like a session when the server goes, and counts as one in how they are spread.
    let (After::Cursor(Cursor { seq: begins, .. }) | After::Seq(begins)) = after;
    let permit = (!wait.is_zero()).then(|| state.session_permit(&extensions)).transpose()?;
    let about = About::begin(&extensions);
    let place = permit.map(|permit| state.sessions.place(permit, Transport::Poll, about, filter, begins));
    let answer = tokio::select! {
        answer = read(&state, after, filter, limit, Instant::now() + wait, place.as_ref()) => answer,
        () = pass.ended() => return Err(ApiError::Unauthorized("token has expired or was revoked")),
        () = closed(place.as_ref()) => return Err(ApiError::Forbidden("an admin closed this session")),
    };
    match answer {
        Ok(page) => {
            if !page.events.is_empty() {
                caller.note_reading(AuditAction::EventsRead, filter.user, &state.sambad).await?;
            }
            state.metrics.deliveries.add(Transport::Poll, page.events.len() as u64);
            let told = page.events.is_empty() && !wait.is_zero() && state.drain.has_begun();
            let mut answer = reply::at(page.cursor, reply::json_text(body(&page)));
            if told {
                let millis = u64::try_from(state.drain.reconnect_after().as_millis()).unwrap_or(u64::MAX);
                answer.headers_mut().insert(reply::RECONNECT_AFTER_MS, millis.into());
            }
            Ok(answer)
        }
        // With the refusal comes where to go on once the reader has reloaded its state.
        Err(gone @ Error::CursorGone { reason }) => {
            state.metrics.deliveries.resync(Transport::Poll, reason);
            let head = state.sambad.bounds().head_cursor();
            // In the body as well: between here and a page the header is easily lost.
            Ok(reply::at(head, ApiError::CursorGone { gone, head }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until an admin closes the session that a poll is while it waits.
async fn closed(place: Option<&Place>) {
    match place {
        Some(place) => place.closed().await,
        None => std::future::pending().await,
    }
}

/// Reads a page; while it is empty, waits for the log to grow until the deadline or the end of the server.
async fn read(
    state: &AppState,
    after: After,
    filter: Filter,
    limit: u32,
    deadline: Instant,
    place: Option<&Place>,
) -> Result<EventPage, Error> {
    let mut page = state.sambad.events(after, filter, limit).await?;
    while page.events.is_empty() {
        if let Some(place) = place {
            place.stands_at(page.cursor.seq, false);
        }
        tokio::select! {
            // The deadline first: a log that grows all the time without a match must not hold the request for ever.
            biased;
            () = tokio::time::sleep_until(deadline) => break,
            () = state.sambad.grown_beyond(page.cursor.seq) => {}
            () = state.drain.begins() => break,
        }
        page = state.sambad.events(page.cursor.into(), filter, limit).await?;
    }
    Ok(page)
}

/// Puts the events together as they are: they are JSON already.
fn body(page: &EventPage) -> String {
    let events: Vec<String> = page.events.iter().map(|event| String::from_utf8_lossy(&event.json()).into_owned()).collect();
    let EventPage { cursor, bounds, .. } = page;
    format!(r#"{{"events":[{}],"cursor":"{cursor}","head":{},"first":{}}}"#, events.join(","), bounds.head, bounds.first)
}
