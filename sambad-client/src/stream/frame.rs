//! What the server says, by any transport.

use std::borrow::Cow;
use std::time::Duration;

use sambad_core::{Cursor, ResyncReason, Seq, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Event;

/// Heartbeats that a server may announce; longer ones would make silence go unnoticed.
const HEARTBEAT_MAX_S: f64 = 3600.0;

/// A frame, as far as it matters here.
#[derive(Debug)]
pub(super) enum Frame {
    /// The first of a session.
    Connected(Connected),
    /// An event of the log.
    Event(Event),
    /// A replay has caught up.
    Live(Position),
    /// The position asked for cannot be served.
    Resync(Resync),
    /// Up to here there is nothing else that was asked for.
    Passed(Cursor),
    /// The token that the connection goes by is about to end.
    TokenExpiring(Until),
    /// The server goes on by the token that it was given.
    Authenticated,
    /// What was sent is refused.
    Refused { code: String, message: String },
    /// The stream ends, as a WebSocket does with this code and reason.
    Closed { code: u16, reason: String },
    /// Something that needs no reaction, or that this crate does not know.
    Other,
}

/// What the first frame says about the session.
#[derive(Debug, Deserialize)]
pub(super) struct Connected {
    pub(super) cursor: Cursor,
    pub(super) head: Seq,
    heartbeat_s: f64,
}

/// When a token ends.
#[derive(Debug, Deserialize)]
pub(super) struct Until {
    pub(super) expires_at: Option<Timestamp>,
}

/// A place in the log.
#[derive(Debug, Deserialize)]
pub(super) struct Position {
    pub(super) cursor: Cursor,
}

/// Where to go on, and why.
#[derive(Debug, Deserialize)]
pub(super) struct Resync {
    pub(super) reason: ResyncReason,
    pub(super) cursor: Cursor,
}

impl Connected {
    /// What a server would say whose heartbeat is below an hour.
    pub(super) fn new(cursor: Cursor, head: Seq, heartbeat: Duration) -> Self {
        Self { cursor, head, heartbeat_s: heartbeat.as_secs_f64() }
    }

    /// How often something is heard from the server, at the least.
    pub(super) fn heartbeat(&self) -> Duration {
        Duration::try_from_secs_f64(self.heartbeat_s.min(HEARTBEAT_MAX_S)).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    frame_type: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    timestamp: Option<Timestamp>,
    seq: Option<Seq>,
}

impl Frame {
    /// Reads a text frame. Whatever has a seq is an event, of a known type or not; other unknown frames are `Other`.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        // A struct could also be read from an array, by position: no server means that.
        if text.trim_start().starts_with('[') {
            return Err(serde::de::Error::custom("expected an object"));
        }
        let Envelope { frame_type, data, timestamp, seq } = serde_json::from_str(text)?;
        if let Some(seq) = seq {
            let timestamp = timestamp.ok_or_else(|| serde::de::Error::missing_field("timestamp"))?;
            let data = data.ok_or_else(|| serde::de::Error::missing_field("data"))?.to_owned();
            return Ok(Self::Event(Event { event_type: frame_type.into_owned(), data, timestamp, seq }));
        }
        let data = data.map_or("{}", RawValue::get);
        Ok(match &*frame_type {
            "connected" => Self::Connected(serde_json::from_str(data)?),
            "live" => Self::Live(serde_json::from_str(data)?),
            "heartbeat" => Self::Passed(serde_json::from_str::<Position>(data)?.cursor),
            "resync" => Self::Resync(serde_json::from_str(data)?),
            "token_expiring" => Self::TokenExpiring(serde_json::from_str(data)?),
            "authenticated" => Self::Authenticated,
            "error" => refused(text),
            "closed" => closed(text)?,
            _ => Self::Other,
        })
    }
}

/// Reads what a refusal says, if it says so in the contract's form.
fn refused(text: &str) -> Frame {
    #[derive(Deserialize)]
    struct Refused {
        code: String,
        message: String,
    }
    match serde_json::from_str(text) {
        Ok(Refused { code, message }) => Frame::Refused { code, message },
        Err(_) => Frame::Other,
    }
}

/// Reads how a stream ends.
fn closed(text: &str) -> Result<Frame, serde_json::Error> {
    #[derive(Deserialize)]
    struct Closed {
        code: u16,
        reason: String,
    }
    serde_json::from_str(text).map(|Closed { code, reason }| Frame::Closed { code, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: an event comes out as it went in, known or not. Method: there and back.
    #[test]
    fn events_keep_their_bytes() {
        for text in [
            r#"{"type":"contact_added","data":{"id":"x","n":1.50},"timestamp":"2025-01-15T12:00:00.000000Z","seq":7}"#,
            r#"{"type":"from_the_future","data":[1, 2],"timestamp":"2025-01-15T12:00:00.000001Z","seq":8}"#,
        ] {
            let Frame::Event(event) = Frame::parse(text).unwrap() else { panic!("no event: {text}") };
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }

    /// Goal: what is unknown is passed over, what is broken is not. Method: frames of each sort.
    #[test]
    fn tells_unknown_from_broken() {
        for text in [
            r#"{"type":"pong"}"#,
            r#"{"type":"subscribed","data":{}}"#,
            r#"{"type":"error","code":7}"#,
            r#"{"type":"new","x":{}}"#,
        ] {
            assert!(matches!(Frame::parse(text), Ok(Frame::Other)), "{text}");
        }
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"connected"}"#,
            r#"{"type":"x","seq":1}"#,
            r#"["x",{},"2025-01-15T12:00:00.000000Z",1]"#,
            r#"{"type":"x","data":{},"timestamp":"2025-01-15T12:00:00.000000Z","seq":9223372036854775808}"#,
            r#"{"type":"live","data":{"cursor":"bad"}}"#,
            r#"{"type":"heartbeat","data":{}}"#,
            r#"{"type":"resync","data":{"reason":"mood","cursor":"00000001-1"}}"#,
        ] {
            assert!(Frame::parse(text).is_err(), "{text}");
        }
    }

    /// Goal: a nonsensical heartbeat cannot stop the watch for silence. Method: values at and beyond the ends.
    #[test]
    fn heartbeats_are_bounded() {
        for (text, seconds) in [("25", 25), ("0", 0), ("-1", 0), ("1e300", 3600)] {
            let text = format!(r#"{{"cursor":"00000001-1","head":1,"heartbeat_s":{text}}}"#);
            let connected: Connected = serde_json::from_str(&text).unwrap();
            assert_eq!(connected.heartbeat(), Duration::from_secs(seconds), "{text}");
        }
    }
}
