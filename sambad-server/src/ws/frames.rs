//! Control frames, both ways.

use sambad_core::kind::InvalidEventKind;
use sambad_core::{Cursor, Filter, LogBounds, ResyncReason, Seq, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::close::CloseReason;
use crate::error::brief;
use crate::object::Object;

/// What a client may send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientFrame {
    /// Asks for a pong.
    Ping,
    /// Replaces the filter.
    Subscribe(Filter),
    /// Goes on by a new token.
    Auth(String),
}

/// Every code with which a frame can be refused.
pub(crate) const BAD_FRAME_CODES: [&str; 10] = [
    "invalid_json",
    "invalid_field",
    "invalid_id",
    "unknown_type",
    "binary_frame",
    "invalid_utf8",
    "invalid_frame",
    "frame_too_large",
    "unauthorized",
    "forbidden",
];

/// Why a frame is refused; the session goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadFrame {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl BadFrame {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(BAD_FRAME_CODES.contains(&code), "{code} is in no document");
        Self { code, message: message.into() }
    }
}

#[derive(Deserialize)]
struct Incoming {
    #[serde(rename = "type")]
    kind: String,
    types: Option<Vec<String>>,
    user: Option<String>,
    token: Option<String>,
}

impl ClientFrame {
    /// Reads the text of a frame.
    pub(crate) fn parse(text: &str) -> Result<Self, BadFrame> {
        let Object(incoming) = serde_json::from_str::<Object<Incoming>>(text).map_err(|error| {
            let code = if error.is_data() { "invalid_field" } else { "invalid_json" };
            BadFrame::new(code, brief(&error.to_string()))
        })?;
        match incoming.kind.as_str() {
            "ping" => Ok(Self::Ping),
            "subscribe" => incoming.filter().map(Self::Subscribe),
            "auth" => incoming.token.map(Self::Auth).ok_or_else(|| BadFrame::new("invalid_field", "token: missing")),
            _ => Err(BadFrame::new("unknown_type", "expected type ping, subscribe or auth")),
        }
    }
}

impl Incoming {
    fn filter(&self) -> Result<Filter, BadFrame> {
        let mut filter = Filter::default();
        // An empty list means all, as no list does: a filter that nothing passes is never wanted.
        if let Some(types) = self.types.as_ref().filter(|types| !types.is_empty()) {
            let kinds = types.iter().map(|kind| kind.parse()).collect::<Result<_, InvalidEventKind>>();
            filter.kinds = kinds.map_err(|error| BadFrame::new("invalid_field", format!("types: {error}")))?;
        }
        if let Some(user) = &self.user {
            let id: UserId = user.parse().map_err(|_| BadFrame::new("invalid_id", "user: expected a UUID"))?;
            filter.user = Some(id);
        }
        Ok(filter)
    }
}

/// What the server sends beside events; over SSE only the first four and `Closed`, which a WebSocket has a frame of its own for.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ServerFrame {
    Connected { message: &'static str, data: Connected, timestamp: Timestamp },
    Live { data: At },
    Resync { data: Resync },
    Heartbeat { data: At },
    Pong,
    Subscribed { data: Subscribed },
    TokenExpiring { data: Until },
    Authenticated { data: Until },
    Error { code: &'static str, message: String },
    Closed { code: u16, reason: &'static str },
}

#[derive(Debug, Serialize)]
pub(crate) struct Connected {
    session: Uuid,
    cursor: Cursor,
    head: Seq,
    first: Seq,
    heartbeat_s: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct At {
    cursor: Cursor,
}

#[derive(Debug, Serialize)]
pub(crate) struct Resync {
    reason: ResyncReason,
    cursor: Cursor,
}

#[derive(Debug, Serialize)]
pub(crate) struct Subscribed {
    types: Vec<&'static str>,
    user: Option<UserId>,
    cursor: Cursor,
}

#[derive(Debug, Serialize)]
pub(crate) struct Until {
    expires_at: Option<Timestamp>,
}

impl ServerFrame {
    pub(crate) fn connected(message: &'static str, session: Uuid, cursor: Cursor, bounds: LogBounds, heartbeat_s: u64) -> Self {
        let data = Connected { session, cursor, head: bounds.head, first: bounds.first, heartbeat_s };
        Self::Connected { message, data, timestamp: Timestamp::now() }
    }

    pub(crate) fn live(cursor: Cursor) -> Self {
        Self::Live { data: At { cursor } }
    }

    /// Says where a session stands that is past events which its filter left out.
    pub(crate) fn heartbeat(cursor: Cursor) -> Self {
        Self::Heartbeat { data: At { cursor } }
    }

    pub(crate) fn resync(reason: ResyncReason, cursor: Cursor) -> Self {
        Self::Resync { data: Resync { reason, cursor } }
    }

    pub(crate) fn subscribed(filter: &Filter, cursor: Cursor) -> Self {
        let types = filter.kinds.iter().map(sambad_core::EventKind::as_str).collect();
        Self::Subscribed { data: Subscribed { types, user: filter.user, cursor } }
    }

    pub(crate) fn token_expiring(expires_at: Timestamp) -> Self {
        Self::TokenExpiring { data: Until { expires_at: Some(expires_at) } }
    }

    /// Without end while nobody has to say who they are.
    pub(crate) fn authenticated(expires_at: Option<Timestamp>) -> Self {
        Self::Authenticated { data: Until { expires_at } }
    }

    pub(crate) fn error(bad: BadFrame) -> Self {
        Self::Error { code: bad.code, message: bad.message }
    }

    /// What a close frame says, where there are none. Only for ends after which nobody comes back as before: its reason has no value.
    pub(crate) fn closed(reason: CloseReason) -> Self {
        Self::Closed { code: reason.code(), reason: reason.key() }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a control frame is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sambad_core::{Epoch, EventKind};

    /// Goal: every frame of the contract is read, everything else refused by name. Method: a table.
    #[test]
    fn reads_frames_of_the_contract_only() {
        assert_eq!(ClientFrame::parse(r#"{"type":"ping"}"#), Ok(ClientFrame::Ping));
        assert_eq!(ClientFrame::parse(r#"{"type":"subscribe"}"#), Ok(ClientFrame::Subscribe(Filter::default())));
        let messages = Filter { kinds: [EventKind::MessageSent].into_iter().collect(), user: None };
        assert_eq!(
            ClientFrame::parse(r#"{"type":"subscribe","types":["message_sent"],"x":1}"#),
            Ok(ClientFrame::Subscribe(messages))
        );
        for (bad, code) in [
            ("", "invalid_json"),
            ("{", "invalid_json"),
            ("[]", "invalid_field"),
            (r#"["ping",null,null]"#, "invalid_field"),
            ("7", "invalid_field"),
            (r#"{"type":1}"#, "invalid_field"),
            (r#"{"type":"shout"}"#, "unknown_type"),
            (r#"{"type":"subscribe","types":["x"]}"#, "invalid_field"),
            (r#"{"type":"subscribe","user":"x"}"#, "invalid_id"),
        ] {
            assert_eq!(ClientFrame::parse(bad).map_err(|bad| bad.code), Err(code), "{bad}");
        }
    }

    /// Goal: control frames are the contract's, key by key. Method: literal text.
    #[test]
    fn writes_frames_of_the_contract() {
        let cursor = Cursor { epoch: Epoch(0x9f3a_01c7), seq: Seq(1042) };
        let bounds = LogBounds { epoch: cursor.epoch, first: Seq(1), head: Seq(1042) };
        let connected = ServerFrame::connected("WebSocket connected successfully", Uuid::nil(), cursor, bounds, 25).to_json();
        let expected = r#"{"type":"connected","message":"WebSocket connected successfully","data":{"session":"00000000-0000-0000-0000-000000000000","cursor":"9f3a01c7-1042","head":1042,"first":1,"heartbeat_s":25},"timestamp":""#;
        assert!(connected.starts_with(expected), "{connected}");
        assert_eq!(ServerFrame::live(cursor).to_json(), r#"{"type":"live","data":{"cursor":"9f3a01c7-1042"}}"#);
        assert_eq!(ServerFrame::heartbeat(cursor).to_json(), r#"{"type":"heartbeat","data":{"cursor":"9f3a01c7-1042"}}"#);
        assert_eq!(
            ServerFrame::resync(ResyncReason::EpochChanged, cursor).to_json(),
            r#"{"type":"resync","data":{"reason":"epoch_changed","cursor":"9f3a01c7-1042"}}"#
        );
        assert_eq!(ServerFrame::Pong.to_json(), r#"{"type":"pong"}"#);
        assert_eq!(
            ServerFrame::error(BadFrame::new("invalid_id", "y")).to_json(),
            r#"{"type":"error","code":"invalid_id","message":"y"}"#
        );
        assert_eq!(
            ServerFrame::closed(CloseReason::Forbidden).to_json(),
            r#"{"type":"closed","code":4503,"reason":"forbidden"}"#
        );
    }
}
