//! `/api/events/stream`: the log as Server-Sent Events, for clients whom something on the way denies the WebSocket.
//!
//! Source: HTML Living Standard, 9.2 "Server-sent events".

use std::convert::Infallible;
use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use sambad_core::access::AuditAction;
use sambad_core::{After, Cursor, Delivery, Error, Event, Subscription, UserId};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::auth::{Caller, Pass};
use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{Query, parse_query};
use crate::handlers::events::StreamQuery;
use crate::metrics::{SESSION, SessionEnd};
use crate::reply;
use crate::router::AppState;
use crate::sessions::{About, Place, Transport};
use crate::ws::ServerFrame;
use crate::ws::close::CloseReason;

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What the first message says to people.
const GREETING: &str = "Event stream connected successfully";
/// How long a browser's `EventSource` stays away once an admin has closed its stream: it knows no other way to be told.
const STAY_AWAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How soon a client may come back when the log could not be read, as it is told over a WebSocket.
const LOG_UNREADABLE_RETRY: Duration = Duration::from_secs(1);
/// For whoever passes the stream on: nothing of it may be kept, packed or held back.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
    (CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// `GET /api/events/stream`
#[utoipa::path(
    get,
    path = "/api/events/stream",
    operation_id = "streamEvents",
    summary = "Stream events (Server-Sent Events)",
    description = "Streams the event log as Server-Sent Events. `/api/asyncapi.json` describes the messages.",
    params(
        StreamQuery,
        ("Last-Event-ID" = Option<Cursor>, Header),
        ("lastEventId" = Option<schema::CursorOrNothing>, Query,
            description = "As the header `Last-Event-ID`, for clients that cannot set headers. The header has priority."),
        ("Last-Event-ID" = Option<schema::CursorOrNothing>, Query, description = "Another spelling of `lastEventId`."),
    ),
    responses((status = 200, description = "Messages, until the client or the server closes the stream.", body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn stream(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<StreamQuery>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Response, ApiError> {
    if state.drain.has_begun() {
        // Not a 503, after which a browser's EventSource never comes back.
        return Ok((HEADERS, Body::from(goodbye(state.drain.reconnect_after()))).into_response());
    }
    let pass = Pass::new(state.auth.as_ref(), extensions.get().cloned());
    let (asked, filter) = (query.after()?, query.filter_within(pass.user())?);
    // A browser that reconnects has the old address and the new id.
    let (by_header, by_query) = (last_event_id(&headers)?, last_event_id_of(&uri)?);
    let after = by_header.or(by_query).map(After::Cursor).or(asked);
    let about = About::begin(&extensions);
    let permit = state.session_permit(&extensions)?;
    caller.note_reading(AuditAction::EventsRead, filter.user, &state.sambad).await?;
    let place = state.sessions.place(permit, Transport::Sse, about, filter, state.sambad.bounds().head);
    let subscription = state.sambad.subscribe(after, filter).await?;
    let cursor = subscription.cursor();
    let feed = Feed {
        greeting: Some(greeting(about.id, &subscription, after.is_some(), state.config.heartbeat)),
        told: cursor,
        replaying: after.is_some(),
        subscription,
        state,
        about,
        user: filter.user,
        begun: Instant::now(),
        events: 0,
        ended: None,
        pass,
        place,
    };
    feed.state.metrics.sessions.opened(Transport::Sse, after.is_some());
    feed.note();
    let body = Body::from_stream(stream::unfold(feed, |mut feed| async {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), feed))
    }));
    Ok(reply::at(cursor, (HEADERS, body).into_response()))
}

/// Reads where a client that was connected before stopped; an empty header counts as none.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Error> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    id_of("Last-Event-ID", value.to_str().unwrap_or("-")).map(Some)
}

/// Reads the same from the query, where clients put it that can set no header.
///
/// They disagree on the spelling: `lastEventId` (the polyfill of Yaffle), `Last-Event-ID` and `lastEventID` (Mercure, former and
/// present). The last that is not empty counts: a client appends its id to the address that it was given.
///
/// Source: <https://github.com/Yaffle/EventSource>, and "The Mercure Protocol", section on reconciliation.
fn last_event_id_of(uri: &Uri) -> Result<Option<Cursor>, Error> {
    let pairs: Vec<(String, String)> = parse_query(uri.query().unwrap_or_default())?;
    let ids = pairs.into_iter().filter(|(name, text)| !text.is_empty() && is_last_event_id(name));
    ids.map(|(name, text)| id_of(&name, &text)).try_fold(None, |_, id| id.map(Some))
}

/// Whether a parameter is called so, in any case.
fn is_last_event_id(name: &str) -> bool {
    ["lastEventId", "Last-Event-ID"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn id_of(field: &str, text: &str) -> Result<Cursor, Error> {
    text.parse().map_err(|_| Error::field(field, "not a cursor of the form 9f3a01c7-1042"))
}

/// The body of a response: nothing is read from the log before hyper has room for it.
#[derive(Debug)]
struct Feed {
    greeting: Option<Bytes>,
    subscription: Subscription,
    /// The id that the client has, as far as it follows from what was sent.
    told: Cursor,
    /// Whether the client has not caught up yet.
    replaying: bool,
    state: AppState,
    about: About,
    user: Option<UserId>,
    begun: Instant,
    /// Events handed to hyper.
    events: u64,
    /// Why nothing more is sent.
    ended: Option<&'static str>,
    pass: Pass,
    /// Given back when hyper lets go of the body.
    place: Place,
}

/// What a stream waits for.
enum Input {
    Delivery(Result<Delivery, Error>),
    Heartbeat,
    /// The server goes: come back after this time.
    Drain(Duration),
    /// It may not go on.
    End(CloseReason),
}

impl Feed {
    /// The next bytes: whole messages. `None` when the stream has ended.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended.is_some() {
            return None;
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let input = tokio::select! {
            // In this order: a log that grows all the time must not keep a server from ending, and with events no
            // heartbeat is needed.
            biased;
            () = self.state.drain.begins() => Input::Drain(self.state.drain.reconnect_after()),
            () = self.pass.ended() => Input::End(CloseReason::Unauthorized),
            () = self.place.closed() => Input::End(CloseReason::Forbidden),
            delivery = self.subscription.next() => Input::Delivery(delivery),
            () = sleep(self.state.config.heartbeat) => Input::Heartbeat,
        };
        self.write(input)
    }

    fn write(&mut self, input: Input) -> Option<Bytes> {
        let mut out = Vec::new();
        match input {
            Input::Delivery(Ok(delivery)) => self.deliver(&mut out, delivery),
            Input::Delivery(Err(error)) => {
                // The client reconnects and goes on from its cursor. What has no cause is the end of the server, which is reported once.
                if std::error::Error::source(&error).is_some() {
                    tracing::error!(error = &error as &dyn std::error::Error, "event stream ended: log cannot be read");
                }
                self.ended = Some("log_unreadable");
                out.extend_from_slice(goodbye(LOG_UNREADABLE_RETRY).as_bytes());
            }
            Input::Heartbeat => self.beat(&mut out),
            Input::Drain(reconnect_after) => {
                self.ended = Some("drain");
                out.extend_from_slice(goodbye(reconnect_after).as_bytes());
            }
            Input::End(reason) => {
                self.ended = Some(reason.key());
                if reason == CloseReason::Forbidden {
                    // After any other end, the next request is refused, and `EventSource` gives up by itself. Here it would not be.
                    let _ = writeln!(out, "retry: {}", STAY_AWAY.as_millis());
                }
                push(&mut out, None, "closed", ServerFrame::closed(reason).to_json().as_bytes());
            }
        }
        self.note();
        Some(out.into())
    }

    /// Lets others see where the client stands.
    fn note(&self) {
        self.place.stands_at(self.subscription.cursor().seq, self.replaying);
    }

    fn deliver(&mut self, out: &mut Vec<u8>, delivery: Delivery) {
        match delivery {
            Delivery::Events(events) => {
                out.reserve(events.iter().map(|event| event.frame().len() + AROUND_JSON).sum());
                self.events += events.len() as u64;
                self.state.metrics.deliveries.add(Transport::Sse, events.len() as u64);
                let epoch = self.told.epoch;
                for event in &events {
                    self.told = Cursor { epoch, seq: event.seq };
                    push_event(out, self.told, event);
                }
            }
            Delivery::Live(cursor) => {
                (self.told, self.replaying) = (cursor, false);
                push(out, Some(cursor), "live", ServerFrame::live(cursor).to_json().as_bytes());
            }
            Delivery::Resync { reason, cursor } => {
                (self.told, self.replaying) = (cursor, false);
                self.state.metrics.deliveries.resync(Transport::Sse, reason);
                push(out, Some(cursor), "resync", ServerFrame::resync(reason, cursor).to_json().as_bytes());
            }
        }
    }

    /// A comment; when the cursor has moved without an event, a message that says so, so that the client's does not grow old.
    /// It has data: most libraries take no id from a message without.
    fn beat(&mut self, out: &mut Vec<u8>) {
        let cursor = self.subscription.cursor();
        if cursor == self.told {
            out.extend_from_slice(b": heartbeat\n\n");
        } else {
            self.told = cursor;
            push(out, Some(cursor), "heartbeat", ServerFrame::heartbeat(cursor).to_json().as_bytes());
        }
    }
}

impl Drop for Feed {
    /// hyper lets go of the body when it has ended, or when the connection has.
    fn drop(&mut self) {
        self.state.metrics.sessions.ended(SessionEnd {
            id: self.about.id,
            transport: Transport::Sse,
            client: self.about.remote,
            user: self.user,
            lived: self.begun.elapsed(),
            events: self.events,
            cursor: self.subscription.cursor(),
            code: None,
            reason: self.ended.unwrap_or("connection_lost").to_owned(),
        });
    }
}

/// The last message to a client that is to come back.
fn goodbye(reconnect_after: Duration) -> String {
    format!("retry: {}\n\n", reconnect_after.as_millis())
}

/// Bytes around an event's JSON: the names of the fields, the cursor, the type.
const AROUND_JSON: usize = 80;

/// The first message. It has no id where a position was asked for: were the connection cut between a `connected` that continues
/// elsewhere and its `resync`, the client would come back with an id that hides the loss. Where nothing was asked for, no
/// `resync` can follow, and the client gets its first id at once, or a cut before the first event would cost it what happens
/// meanwhile. It is the id of this very message: most libraries take none from a message without data.
fn greeting(session: Uuid, subscription: &Subscription, resuming: bool, heartbeat: Duration) -> Bytes {
    let cursor = subscription.cursor();
    tracing::debug!(target: SESSION, %session, %cursor, "event stream opened");
    let connected = ServerFrame::connected(GREETING, session, cursor, subscription.start(), heartbeat.as_secs());
    let mut out = Vec::new();
    push(&mut out, (!resuming).then_some(cursor), "connected", connected.to_json().as_bytes());
    out.into()
}

fn push_event(out: &mut Vec<u8>, cursor: Cursor, event: &Event) {
    push(out, Some(cursor), event.kind.as_str(), &event.json());
}

/// Writes one message. JSON escapes line breaks, so that one line carries it.
fn push(out: &mut Vec<u8>, id: Option<Cursor>, event: &str, json: &[u8]) {
    // Writing into memory cannot fail.
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}");
    }
    let _ = write!(out, "event: {event}\ndata: ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}
