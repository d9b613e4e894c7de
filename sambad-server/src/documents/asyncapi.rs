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
    summary = "The frames of /ws and the messages of /api/events/stream, as AsyncAPI 3.",
    description = "",
    responses((status = 200, description = "The document.", body = Object)),
)]
pub(crate) async fn show(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers)
}

/// The document.
fn document() -> Value {
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    schemas.extend(schema::values().into_iter().map(|(name, schema)| (name, json!(schema))));
    for kind in EventKind::ALL {
        let (name, data) = schema::event_data(kind);
        schemas.insert(name.into(), json!(data));
        messages.insert(kind.as_str().into(), event(kind, name));
    }
    messages.extend(from_server());
    messages.extend(from_client());
    let events = EventKind::ALL.map(EventKind::as_str);
    let control = ["connected", "live", "resync", "heartbeat", "subscribed", "pong", "token_expiring", "authenticated", "error"];
    let commands = ["ping", "subscribe", "auth"];
    // What a stream that nobody can write to has.
    let one_way = [&events[..], &control[..4], &["closed"]].concat();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sambad events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One gap-free event log, followed from a cursor. docs/protocol.md is the contract in full; REST is in \
                            /api/openapi.json.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "websocket": { "host": "127.0.0.1:4000", "protocol": "ws" },
            "stream": { "host": "127.0.0.1:4000", "protocol": "http" },
        },
        "channels": {
            "ws": channel("/ws", "websocket", &[&events[..], &control, &commands].concat(), "One JSON object a text frame."),
            "stream": channel("/api/events/stream", "stream", &one_way, "Server-Sent Events: `event:` is the type, `data:` the \
                object, `id:` the cursor, which a client that comes back sends as Last-Event-ID."),
        },
        "operations": {
            "send_frames": operation("send", "ws", &[&events[..], &control].concat(), "`connected` first, then events by seq, each \
                once, and control frames between them."),
            "receive_frames": operation("receive", "ws", &commands, "Anything else is answered by `error`."),
            "send_messages": operation("send", "stream", &one_way, "`connected` first, then events by seq, each once; `closed` last, if \
                the server ends the stream for good."),
        },
        "components": { "messages": messages, "schemas": schemas },
    })
}

fn channel(address: &str, server: &str, messages: &[&str], told: &str) -> Value {
    let named = messages.iter().map(|name| ((*name).to_owned(), reference("messages", name)));
    let mut channel = json!({
        "address": address,
        "description": told,
        "servers": [{ "$ref": format!("#/servers/{server}") }],
        "messages": named.collect::<Map<_, _>>(),
    });
    let query = json!({
        "type": "object",
        "properties": {
            "after": {
                "type": "string",
                "description": "A cursor or a seq to go on after; 0 is the whole stored log, nothing is from now on.",
                "pattern": "^([0-9a-f]{8}-)?(0|[1-9][0-9]*)$",
            },
            "types": { "type": "string", "description": "Types of events, parted by commas; nothing is all." },
            "user": { "type": "string", "format": "uuid", "description": "Events that involve this user; nothing is all." },
        },
    });
    if server == "websocket" {
        channel["bindings"] = json!({ "ws": { "method": "GET", "query": query, "bindingVersion": "0.1.0" } });
        channel["x-close-codes"] = ENDINGS.map(close_code).into_iter().collect();
    } else {
        channel["x-query"] = query;
        channel["x-query"]["properties"]["lastEventId"] = json!({
            "type": "string",
            "description": "The header Last-Event-ID for clients that cannot set it; also Last-Event-ID.",
            "pattern": "^([0-9a-f]{8}-(0|[1-9][0-9]*))?$",
        });
    }
    channel
}

fn operation(action: &str, channel: &str, messages: &[&str], told: &str) -> Value {
    let of_channel = |name: &&str| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "description": told,
        "messages": messages.iter().map(of_channel).collect::<Vec<_>>(),
    })
}

/// How a session ends, as clients are to understand it: below 4500 they come back.
fn close_code(reason: CloseReason) -> Value {
    let text = reason.reason();
    let key = text.split(' ').next().unwrap_or_default();
    json!({ "code": reason.code(), "reason": key, "reconnect": reason.code() < 4500, "description": ending(reason) })
}

fn ending(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Drain { .. } => "The server shuts down; `reconnect_after_ms=` after the key says when to come back.",
        CloseReason::Idle => "Nothing arrived for too long after a ping.",
        CloseReason::Stalled => "The socket accepted no byte for too long.",
        CloseReason::RateLimited => "The client sent more frames a second than a session may.",
        CloseReason::BadFrames => "Too many frames that are none of the contract's, or one after which the next cannot be found.",
        CloseReason::Unauthorized => "The token has ended or was revoked.",
        CloseReason::Forbidden => "An admin closed the session.",
    }
}

fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

/// A message with these fields beside its type, and no others.
fn message(kind: &str, told: &str, optional: &[&str], fields: &Value) -> Value {
    let mut properties = Map::from_iter([("type".to_owned(), json!({ "type": "string", "const": kind }))]);
    properties.extend(fields.as_object().cloned().unwrap_or_default());
    let required: Vec<_> = properties.keys().filter(|name| !optional.contains(&name.as_str())).cloned().collect();
    json!({
        "name": kind,
        "summary": told,
        "payload": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        },
    })
}

fn event(kind: EventKind, data: &str) -> Value {
    let fields = json!({
        "data": reference("schemas", data),
        "timestamp": reference("schemas", "Timestamp"),
        "seq": reference("schemas", "Seq"),
    });
    let told = match kind {
        EventKind::UserCreated => "A user logged in for the first time.",
        EventKind::ContactAdded => "A user added another.",
        EventKind::ContactRemoved => "A contact was removed.",
        EventKind::MessageSent => "A user sent a message.",
    };
    message(kind.as_str(), told, &[], &fields)
}

/// An object with these fields and no others, all of them there.
fn closed(fields: &Value) -> Value {
    let required: Vec<_> = fields.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "properties": fields, "required": required, "additionalProperties": false })
}

fn from_server() -> [(String, Value); 10] {
    let (cursor, seq) = (reference("schemas", "Cursor"), reference("schemas", "Seq"));
    let reasons = [ResyncReason::CursorExpired, ResyncReason::EpochChanged, ResyncReason::CursorAhead].map(ResyncReason::as_str);
    let text = json!({ "type": "string" });
    let connected = json!({
        "session": { "type": "string", "format": "uuid" },
        "cursor": cursor,
        "head": seq,
        "first": seq,
        "heartbeat_s": { "type": "integer", "minimum": 1 },
    });
    let subscribed = json!({
        "types": { "type": "array", "items": reference("schemas", "EventKind") },
        "user": { "anyOf": [reference("schemas", "UserId"), { "type": "null" }] },
        "cursor": cursor,
    });
    let greeting = json!({ "message": text, "data": closed(&connected), "timestamp": reference("schemas", "Timestamp") });
    let at = json!({ "data": closed(&json!({ "cursor": cursor })) });
    let resync = json!({ "data": closed(&json!({ "reason": { "type": "string", "enum": reasons }, "cursor": cursor })) });
    let until = |told: &str| {
        let at = json!({ "anyOf": [reference("schemas", "Timestamp"), { "type": "null" }], "description": told });
        json!({ "data": closed(&json!({ "expires_at": at })) })
    };
    let error = json!({ "code": { "type": "string", "enum": BAD_FRAME_CODES }, "message": text });
    let closing = [CloseReason::Unauthorized, CloseReason::Forbidden];
    let end = json!({
        "code": { "type": "integer", "enum": closing.map(CloseReason::code) },
        "reason": { "type": "string", "enum": closing.map(CloseReason::key) },
    });
    [
        ("connected", "The first: `cursor` is where this stream goes on from.", greeting),
        ("live", "A replay has caught up; only where a position was asked for.", at.clone()),
        ("resync", "The position cannot be served: reload state, then go on from here. The stream goes on live.", resync),
        ("heartbeat", "The filter let nothing through up to here: the client's cursor moves to this one.", at),
        ("subscribed", "The filter from the next event on.", json!({ "data": closed(&subscribed) })),
        ("pong", "The answer to `ping`.", json!({})),
        ("token_expiring", "The token ends within a minute: send `auth` with a new one.", until("When the token ends.")),
        ("authenticated", "The new token is taken.", until("When it ends.")),
        ("error", "A frame was refused; the session goes on, for a few of them.", error),
        ("closed", "The stream ends, as a WebSocket does with this close code: do not reconnect as before.", end),
    ]
    .map(|(kind, told, fields)| (kind.to_owned(), message(kind, told, &[], &fields)))
}

fn from_client() -> [(String, Value); 3] {
    let subscribe = json!({
        "types": {
            "type": ["array", "null"],
            "items": reference("schemas", "EventKind"),
            "description": "Nothing, or none, is all.",
        },
        "user": {
            "anyOf": [{ "type": "string", "format": "uuid" }, { "type": "null" }],
            "description": "Events that involve this user; nothing is all.",
        },
    });
    let messages = [
        ("ping", "Asks for `pong`.", json!({})),
        ("subscribe", "Replaces the filter from the next event on.", subscribe),
        ("auth", "Goes on with a new token of the same principal.", json!({ "token": { "type": "string" } })),
    ];
    messages.map(|(kind, told, fields)| {
        let mut message = message(kind, told, &["types", "user"], &fields);
        // Unknown fields are ignored.
        message["payload"]["additionalProperties"] = true.into();
        (kind.to_owned(), message)
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
        let reasons = &from_server().into_iter().find(|(name, _)| name == "resync").unwrap().1;
        let reasons = reasons["payload"]["properties"]["data"]["properties"]["reason"]["enum"].as_array().unwrap().clone();
        assert_eq!(listed("Resync reasons"), reasons);
    }
}
