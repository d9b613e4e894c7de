//! Events: encoded once, shared by every reader.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Serialize;

use crate::cursor::Seq;
use crate::id::{ContactId, UserId};
use crate::kind::{EventKind, Filter, Involved};
use crate::model::{Contact, User};
use crate::phone::Phone;
use crate::time::Timestamp;

/// One event of the log, ready to be sent. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position in the log.
    pub seq: Seq,
    /// What happened.
    pub kind: EventKind,
    /// Whom it involves.
    pub involved: Involved,
    frame: Bytes,
}

impl Event {
    /// An event as another server encoded it; `frame` must be a text frame.
    pub(crate) fn with_frame(seq: Seq, kind: EventKind, involved: Involved, frame: Bytes) -> Self {
        debug_assert!(is_text_frame(&frame));
        Self { seq, kind, involved, frame }
    }

    /// The event as one unmasked WebSocket text frame (RFC 6455, 5.2).
    #[must_use]
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The event as the contract's JSON: what the frame carries.
    #[must_use]
    pub fn json(&self) -> Bytes {
        let header = match self.frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        self.frame.slice(header..)
    }

    /// Whether `filter` asks for this event.
    #[must_use]
    pub fn matches(&self, filter: &Filter) -> bool {
        filter.matches(self.kind, self.involved)
    }
}

/// An event as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRow {
    pub(crate) seq: Seq,
    pub(crate) kind: EventKind,
    pub(crate) involved: Involved,
    pub(crate) created_at: Timestamp,
    /// The contract's `data` object.
    pub(crate) data: String,
}

/// Encodes `rows` into one buffer that all resulting events share.
pub(crate) fn encode(rows: &[EventRow]) -> Vec<Event> {
    const AROUND_DATA: usize = 96;
    let mut frames = Vec::with_capacity(rows.iter().map(|row| row.data.len() + AROUND_DATA).sum());
    let mut bounds = Vec::with_capacity(rows.len());
    let mut json = String::new();
    for EventRow { seq, kind, created_at, data, .. } in rows {
        json.clear();
        // Writing into a String cannot fail.
        let _ = write!(json, r#"{{"type":"{kind}","data":{data},"timestamp":"{created_at}","seq":{seq}}}"#);
        let start = frames.len();
        push_text_header(&mut frames, json.len());
        frames.extend_from_slice(json.as_bytes());
        bounds.push(start..frames.len());
    }
    let frames = Bytes::from(frames);
    rows.iter()
        .zip(bounds)
        .map(|(row, range)| Event { seq: row.seq, kind: row.kind, involved: row.involved, frame: frames.slice(range) })
        .collect()
}

/// Makes a text frame of any other JSON text that goes between events.
#[must_use]
pub fn text_frame(json: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(json.len() + 4);
    push_text_header(&mut frame, json.len());
    frame.extend_from_slice(json.as_bytes());
    frame
}

/// Whether `frame` is one whole final, unmasked text frame, its length in the shortest form.
pub(crate) fn is_text_frame(frame: &[u8]) -> bool {
    let header = match frame.len() {
        0..=127 => 2,
        128..=65_539 => 4,
        _ => 10,
    };
    let Some(payload) = frame.len().checked_sub(header) else { return false };
    let mut expected = Vec::with_capacity(header);
    push_text_header(&mut expected, payload);
    frame.starts_with(&expected) && std::str::from_utf8(&frame[header..]).is_ok()
}

/// Appends the header of a final, unmasked text frame with `len` bytes of payload.
///
/// Source: RFC 6455, 5.2.
fn push_text_header(out: &mut Vec<u8>, len: usize) {
    const FINAL_TEXT: u8 = 0x81;
    out.push(FINAL_TEXT);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..126), _) => out.push(len),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The `data` of `user_created`.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub(crate) struct UserData<'a> {
    id: UserId,
    username: &'a Phone,
    email: &'a str,
    created_at: Timestamp,
}

/// The `data` of `contact_added` and `contact_removed`.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub(crate) struct ContactData<'a> {
    id: ContactId,
    user_id: UserId,
    user_username: &'a Phone,
    contact_user_id: UserId,
    contact_user_username: &'a Phone,
    created_at: Timestamp,
}

pub(crate) fn user_data(user: &User) -> String {
    to_json(&UserData { id: user.id, username: &user.phone, email: &user.email, created_at: user.created_at })
}

pub(crate) fn contact_data(contact: &Contact) -> String {
    to_json(&ContactData {
        id: contact.id,
        user_id: contact.user_id,
        user_username: &contact.user_username,
        contact_user_id: contact.contact_user_id,
        contact_user_username: &contact.contact_user_username,
        created_at: contact.created_at,
    })
}

/// Serializes plain data: structs of strings, numbers and arrays, which always have a JSON form.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, data_len: usize) -> EventRow {
        let user = UserId::new(uuid::Uuid::from_u128(seq.into()));
        let data = format!(r#"{{"x":"{}"}}"#, "y".repeat(data_len));
        EventRow {
            seq: Seq(seq),
            kind: EventKind::UserCreated,
            involved: Involved { user, other: None },
            created_at: Timestamp::from_micros(0),
            data,
        }
    }

    /// Goal: header and payload agree at each length form. Method: payloads around 126 and 65,536 bytes.
    #[test]
    fn frames_carry_their_json() {
        let around = 89;
        for (len, header) in [(0, 2), (125 - around, 2), (126 - around, 4), (65_535 - around, 4), (65_536 - around, 10)] {
            let rows = [row(1, len), row(2, 3)];
            let events = encode(&rows);
            let json = events[0].json();
            assert_eq!(json.len(), len + around);
            assert_eq!(events[0].frame().len(), json.len() + header, "payload of {} bytes", json.len());
            let parsed: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(parsed["seq"], 1);
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&events[1].json()).unwrap()["seq"], 2);
        }
    }

    /// Goal: keys stand in the contract's order. Method: the literal text.
    #[test]
    fn json_is_the_contract() {
        let text = encode(&[row(7, 1)])[0].json();
        assert_eq!(&text[..], br#"{"type":"user_created","data":{"x":"y"},"timestamp":"1970-01-01T00:00:00.000000Z","seq":7}"#);
    }
}
