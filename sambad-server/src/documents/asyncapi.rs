//! `/api/asyncapi.json`: every frame of `/ws` and every message of `/api/events/stream`.
//!
//! Source: AsyncAPI 3.0.0, with schemas that are also JSON Schema draft 7.

use std::sync::LazyLock;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use sambad_core::{EventKind, ResyncReason, schema};
use serde_json::{Map, Value, json};

use crate::compression::Document;
use crate::ws::BAD_FRAME_CODES;
use crate::ws::close::CloseReason;

/// Every way in which the server ends a session; [`ending`] does not compile without a new one.
const ENDINGS: [CloseReason; 7] = [
    CloseReason::Drain { reconnect_after: Duration::ZERO },
    CloseReason::Idle,
    CloseReason::Stalled,
    CloseReason::RateLimited,
    CloseReason::BadFrames,
    CloseReason::Unauthorized,
    CloseReason::Forbidden,
];

static DOCUMENT: LazyLock<Document> =
    LazyLock::new(|| Document::new(serde_json::to_string_pretty(&document()).expect("a document is plain data")));

/// `GET /api/asyncapi.json`
#[utoipa::path(
    get,
    path = "/api/asyncapi.json",
    operation_id = "asyncapi",
    summary = "AsyncAPI document",
    description = "Describes the frames of `/ws` and the messages of `/api/events/stream`, as AsyncAPI 3.0.",
    responses((status = 200, description = "The document.", body = Object)),
)]
pub(crate) async fn show(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers)
}

/// The document.
fn document() -> Value {
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    // `Day` is in no event.
    schemas.extend(schema::values().into_iter().filter(|(name, _)| name != "Day").map(|(name, schema)| (name, json!(schema))));
    schemas.extend(data_of_control_frames());
    for kind in EventKind::ALL {
        let (name, data) = schema::event_data(kind);
        schemas.insert(name.into(), json!(data));
    }
    let frames = EventKind::ALL.map(event).into_iter().chain(from_server()).chain(from_client());
    for (kind, about, payload) in frames {
        let name = frame_name(kind);
        messages.insert(kind.into(), json!({ "name": kind, "summary": about, "payload": reference("schemas", &name) }));
        schemas.insert(name, payload);
    }
    let events = EventKind::ALL.map(EventKind::as_str);
    let control = ["connected", "live", "resync", "heartbeat", "subscribed", "pong", "token_expiring", "authenticated", "error"];
    let commands = ["ping", "subscribe", "auth"];
    // A client cannot write to an event stream.
    let one_way = [&events[..], &control[..4], &["closed"]].concat();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sambad events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The gap-free event log of Sambad, followed from a cursor. docs/protocol.md is the contract; \
                            /api/openapi.json describes HTTP requests.",
            "license": { "name": "MIT OR Apache-2.0" },
            "contact": { "name": "Sambad" },
            "tags": [{ "name": "events", "description": "The event log, over WebSocket and Server-Sent Events." }],
        },
        "defaultContentType": "application/json",
        "servers": {
            "websocket": { "host": "127.0.0.1:4000", "protocol": "ws", "description": "The default address, for WebSockets." },
            "stream": { "host": "127.0.0.1:4000", "protocol": "http", "description": "The default address, for event streams." },
        },
        "channels": {
            "ws": channel("/ws", "websocket", &[&events[..], &control, &commands].concat(), "Each text frame is one JSON object."),
            "stream": channel("/api/events/stream", "stream", &one_way, "Server-Sent Events: `event:` is the type, `data:` the \
                JSON object, and `id:` the cursor. A client that reconnects sends the last `id:` in the header Last-Event-ID."),
        },
        "operations": {
            "send_frames": operation("send", "ws", &[&events[..], &control].concat(), "`connected` is first. Events follow by \
                seq, each once, with control frames between them."),
            "receive_frames": operation("receive", "ws", &commands, "The server responds to any other frame with `error`."),
            "send_messages": operation("send", "stream", &one_way, "`connected` is first. Events follow by seq, each once. \
                `closed` is last if the client must not reconnect as before."),
        },
        "components": { "messages": messages, "schemas": schemas },
    })
}

/// The name of a frame's schema: `TokenExpiringFrame` of `token_expiring`.
fn frame_name(kind: &str) -> String {
    kind.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).chain(["Frame".into()]).collect()
}

fn channel(address: &str, server: &str, messages: &[&str], about: &str) -> Value {
    let named = messages.iter().map(|name| ((*name).to_owned(), reference("messages", name)));
    let mut channel = json!({
        "address": address,
        "description": about,
        "servers": [{ "$ref": format!("#/servers/{server}") }],
        "messages": named.collect::<Map<_, _>>(),
    });
    let query = json!({
        "type": "object",
        "properties": {
            "after": {
                "type": "string",
                "description": "Events after this cursor or seq. 0 means the whole stored log. Default: from now on.",
                "pattern": "^([0-9a-f]{8}-)?(0|[1-9][0-9]*)$",
            },
            "types": { "type": "string", "description": "Events of these types, separated by commas. Default: all types." },
            "user": { "type": "string", "format": "uuid", "description": "Events that involve this user. Default: all users." },
        },
    });
    if server == "websocket" {
        channel["bindings"] = json!({ "ws": { "method": "GET", "query": query, "bindingVersion": "0.1.0" } });
        channel["x-close-codes"] = ENDINGS.map(close_code).into_iter().collect();
    } else {
        channel["x-query"] = query;
        channel["x-query"]["properties"]["lastEventId"] = json!({
            "type": "string",
            "description": "As the header Last-Event-ID, for clients that cannot set headers. `Last-Event-ID` is another spelling.",
            "pattern": "^([0-9a-f]{8}-(0|[1-9][0-9]*))?$",
        });
    }
    channel
}

fn operation(action: &str, channel: &str, messages: &[&str], about: &str) -> Value {
    let of_channel = |name: &&str| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "description": about,
        "messages": messages.iter().map(of_channel).collect::<Vec<_>>(),
    })
}

/// A close code, and whether the client reconnects: it does below 4500.
fn close_code(reason: CloseReason) -> Value {
    let text = reason.reason();
    let key = text.split(' ').next().unwrap_or_default();
    json!({ "code": reason.code(), "reason": key, "reconnect": reason.code() < 4500, "description": ending(reason) })
}

fn ending(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Drain { .. } => "The server shuts down. Reconnect after `reconnect_after_ms`, which follows the key.",
        CloseReason::Idle => "The client sent nothing for too long after a ping.",
        CloseReason::Stalled => "The client's socket accepted no byte for too long.",
        CloseReason::RateLimited => "The client exceeded the rate limit for frames.",
        CloseReason::BadFrames => "The client sent too many invalid frames, or one after which the next frame cannot be found.",
        CloseReason::Unauthorized => "The token expired or was revoked.",
        CloseReason::Forbidden => "An admin closed the session.",
    }
}

fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

/// A frame: its type, what it is, and the schema of its payload.
type Frame = (&'static str, &'static str, Value);

/// A frame with these fields beside its type, and no others.
fn frame(kind: &'static str, about: &'static str, optional: &[&str], fields: &Value) -> Frame {
    let mut properties = Map::from_iter([("type".to_owned(), json!({ "type": "string", "const": kind }))]);
    properties.extend(fields.as_object().cloned().unwrap_or_default());
    let required: Vec<_> = properties.keys().filter(|name| !optional.contains(&name.as_str())).cloned().collect();
    let payload = json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    (kind, about, payload)
}

fn event(kind: EventKind) -> Frame {
    let fields = json!({
        "data": reference("schemas", schema::event_data(kind).0),
        "timestamp": reference("schemas", "Timestamp"),
        "seq": reference("schemas", "Seq"),
    });
    let about = match kind {
        EventKind::UserCreated => "A user logged in for the first time.",
        EventKind::ContactAdded => "A user added a contact.",
        EventKind::ContactRemoved => "A contact was removed.",
        EventKind::MessageSent => "A user sent a message.",
    };
    frame(kind.as_str(), about, &[], &fields)
}

/// An object with these fields and no others, all of them required.
fn closed(about: &str, fields: &Value) -> Value {
    let required: Vec<_> = fields.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "description": about, "properties": fields, "required": required, "additionalProperties": false })
}

/// The `data` of control frames, by name.
fn data_of_control_frames() -> [(String, Value); 5] {
    let (cursor, seq) = (reference("schemas", "Cursor"), reference("schemas", "Seq"));
    let reasons = [ResyncReason::CursorExpired, ResyncReason::EpochChanged, ResyncReason::CursorAhead].map(ResyncReason::as_str);
    let connected = json!({
        "session": { "type": "string", "format": "uuid" },
        "cursor": cursor,
        "head": seq,
        "first": seq,
        "heartbeat_s": { "type": "integer", "minimum": 1, "description": "Seconds between two pings of the server." },
    });
    let subscribed = json!({
        "types": { "type": "array", "items": reference("schemas", "EventKind") },
        "user": { "anyOf": [reference("schemas", "UserId"), { "type": "null" }] },
        "cursor": cursor,
    });
    let expires_at = json!({
        "anyOf": [reference("schemas", "Timestamp"), { "type": "null" }],
        "description": "The time at which the token expires. Null while authentication is off.",
    });
    [
        ("ConnectedData", closed("The session, and the bounds of the log.", &connected)),
        ("PositionData", closed("A position in the event log.", &json!({ "cursor": cursor }))),
        (
            "ResyncData",
            closed(
                "The position to continue from, and why the requested one cannot be served.",
                &json!({ "reason": { "type": "string", "enum": reasons }, "cursor": cursor }),
            ),
        ),
        ("SubscribedData", closed("The filter, and the position from which it applies.", &subscribed)),
        ("ExpiryData", closed("The end of a token.", &json!({ "expires_at": expires_at }))),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
}

fn from_server() -> [Frame; 10] {
    let data = |name: &str| json!({ "data": reference("schemas", name) });
    let text = json!({ "type": "string" });
    let mut greeting = data("ConnectedData");
    (greeting["message"], greeting["timestamp"]) = (text.clone(), reference("schemas", "Timestamp"));
    let error = json!({ "code": { "type": "string", "enum": BAD_FRAME_CODES }, "message": text });
    let closing = [CloseReason::Unauthorized, CloseReason::Forbidden];
    let end = json!({
        "code": { "type": "integer", "enum": closing.map(CloseReason::code) },
        "reason": { "type": "string", "enum": closing.map(CloseReason::key) },
    });
    [
        ("connected", "The first frame. The stream continues from `cursor`.", greeting),
        (
            "live",
            "The replay has reached the head of the log. Sent only if the client requested a position.",
            data("PositionData"),
        ),
        (
            "resync",
            "The log cannot serve the requested position. Reload your state, then continue from `cursor`.",
            data("ResyncData"),
        ),
        ("heartbeat", "The filter left out all events up to `cursor`. Move your cursor there.", data("PositionData")),
        ("subscribed", "The new filter applies from the next event on.", data("SubscribedData")),
        ("pong", "The response to `ping`.", json!({})),
        ("token_expiring", "The token expires within a minute. Send `auth` with a new token.", data("ExpiryData")),
        ("authenticated", "The session uses the new token.", data("ExpiryData")),
        ("error", "The server rejected a frame. After a few such frames it closes the session.", error),
        ("closed", "The server closes the stream, with a close code of WebSockets. Do not reconnect as before.", end),
    ]
    .map(|(kind, about, fields)| frame(kind, about, &[], &fields))
}

fn from_client() -> [Frame; 3] {
    let subscribe = json!({
        "types": {
            "type": ["array", "null"],
            "items": reference("schemas", "EventKind"),
            "description": "Events of these types. Default, and for an empty list: all types.",
        },
        "user": {
            "anyOf": [{ "type": "string", "format": "uuid" }, { "type": "null" }],
            "description": "Events that involve this user. Default: all users.",
        },
    });
    [
        ("ping", "Requests `pong`.", json!({})),
        ("subscribe", "Replaces the filter, from the next event on.", subscribe),
        ("auth", "Continues the session with a new token of the same principal.", json!({ "token": { "type": "string" } })),
    ]
    .map(|(kind, about, fields)| {
        let (kind, about, mut payload) = frame(kind, about, &["types", "user"], &fields);
        // Unknown fields are ignored.
        payload["additionalProperties"] = true.into();
        (kind, about, payload)
    })
}

#[cfg(test)]
mod tests {
    use sambad_core::{Cursor, Epoch, Filter, LogBounds, Seq, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::ws::{BadFrame, ServerFrame};

    /// Whether this is a frame of the document; by its type, which is its message's name.
    fn is_valid(frame: &Value) -> bool {
        let mut document = document();
        let kind = frame["type"].as_str().unwrap_or_default();
        // With a reference to a part of itself, the document is that part's schema.
        document["$ref"] = format!("#/components/messages/{kind}/payload").into();
        jsonschema::draft7::new(&document).unwrap().is_valid(frame)
    }

    /// Goal: no control frame is missing, and none has more than the document says. Method: one of each; the compiler asks for
    /// new ones here.
    #[test]
    fn every_control_frame_is_documented() {
        let cursor = Cursor { epoch: Epoch(0x9f3a_01c7), seq: Seq(1042) };
        let bounds = LogBounds { epoch: cursor.epoch, first: Seq(1), head: Seq(1042) };
        let frames = [
            ServerFrame::connected("hello", Uuid::now_v7(), cursor, bounds, 25),
            ServerFrame::live(cursor),
            ServerFrame::resync(ResyncReason::EpochChanged, cursor),
            ServerFrame::heartbeat(cursor),
            ServerFrame::subscribed(&Filter::default(), cursor),
            ServerFrame::Pong,
            ServerFrame::token_expiring(Timestamp::now()),
            ServerFrame::authenticated(None),
            ServerFrame::error(BadFrame::new("binary_frame", "expected text")),
            ServerFrame::closed(CloseReason::Forbidden),
        ];
        for frame in frames {
            match frame {
                ServerFrame::Connected { .. }
                | ServerFrame::Live { .. }
                | ServerFrame::Resync { .. }
                | ServerFrame::Heartbeat { .. }
                | ServerFrame::Pong
                | ServerFrame::Subscribed { .. }
                | ServerFrame::TokenExpiring { .. }
                | ServerFrame::Authenticated { .. }
                | ServerFrame::Error { .. }
                | ServerFrame::Closed { .. } => {}
            }
            let mut json: Value = serde_json::from_str(&frame.to_json()).unwrap();
            assert!(is_valid(&json), "{json}");
            json["more"] = 1.into();
            assert!(!is_valid(&json), "{json}");
        }
    }

    /// Goal: an ending that is added is in the document and in the reference, and so is whether to come back. Method: the table of
    /// close codes against the document.
    #[test]
    fn close_codes_are_the_contract() {
        let rows = crate::documents::documented("Close codes");
        let agreed: Vec<(u64, &str, bool)> =
            rows.iter().map(|row| (row[0].parse().unwrap(), row[1].as_str(), row.last().unwrap().starts_with("yes"))).collect();
        assert!(rows.iter().all(|row| ["yes", "no"].iter().any(|word| row.last().unwrap().starts_with(word))), "{rows:?}");
        let document = document();
        let codes = document["channels"]["ws"]["x-close-codes"].as_array().unwrap();
        let said: Vec<(u64, &str, bool)> = codes
            .iter()
            .map(|code| (code["code"].as_u64().unwrap(), code["reason"].as_str().unwrap(), code["reconnect"].as_bool().unwrap()))
            .collect();
        assert_eq!(said, agreed);
        assert!(codes.iter().all(|code| code["reconnect"] == (code["code"].as_u64() < Some(4500))));
    }

    /// Goal: the reference has every code of an `error` frame and every reason for a resync. Method: its tables against the code.
    #[test]
    fn codes_of_frames_are_in_the_reference() {
        let listed = |heading| -> Vec<String> {
            crate::documents::documented(heading).into_iter().map(|row| row.into_iter().next().unwrap()).collect()
        };
        assert_eq!(listed("Error frames"), BAD_FRAME_CODES);
        let (_, resync) = data_of_control_frames().into_iter().find(|(name, _)| name == "ResyncData").unwrap();
        let reasons = resync["properties"]["reason"]["enum"].as_array().unwrap().clone();
        assert_eq!(listed("Resync reasons"), reasons);
    }
}
