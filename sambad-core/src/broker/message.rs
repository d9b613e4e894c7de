//! A message between servers: events with their frames, as bytes.
//!
//! All numbers are big-endian. What is not understood is no message: a server of another version, or of another program, may
//! send anything.

use bytes::{Buf as _, BufMut as _, Bytes};
use uuid::Uuid;

use crate::cursor::Seq;
use crate::event::{Event, is_text_frame};
use crate::id::UserId;
use crate::kind::{EventKind, Involved};
use crate::time::Timestamp;

/// What every message begins with: a mark, and the version of the form.
const MARK: [u8; 4] = *b"SMB\x01";
/// Bytes of a message before its events.
const HEADER_BYTES: usize = MARK.len() + 16 + 8 + 8;
/// Bytes of an event beside its frame, at most.
const EVENT_BYTES_MAX: usize = 8 + 1 + 16 + 1 + 16 + 4;

/// The highest seq that a database can hold.
const SEQ_MAX: Seq = Seq(i64::MAX.unsigned_abs());

/// What one server tells the others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The sender: messages come back to it as well.
    pub(super) server: Uuid,
    /// When it was sent, by the sender's clock.
    pub(super) sent_at: Timestamp,
    /// How far the log reaches at least.
    pub(super) head: Seq,
    /// Events of rising seq; none in a heartbeat.
    pub(super) events: Vec<Event>,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let frames: usize = self.events.iter().map(|event| event.frame().len() + EVENT_BYTES_MAX).sum();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + frames);
        bytes.put_slice(&MARK);
        bytes.put_slice(self.server.as_bytes());
        bytes.put_i64(self.sent_at.as_micros());
        bytes.put_u64(self.head.0);
        for event in &self.events {
            bytes.put_u64(event.seq.0);
            bytes.put_u8(event.kind as u8);
            bytes.put_slice(event.involved.user.uuid().as_bytes());
            bytes.put_u8(u8::from(event.involved.other.is_some()));
            if let Some(other) = event.involved.other {
                bytes.put_slice(other.uuid().as_bytes());
            }
            bytes.put_u32(u32::try_from(event.frame().len()).unwrap_or(u32::MAX));
            bytes.put_slice(event.frame());
        }
        bytes
    }

    /// Reads a message, whose events share `bytes`; `None` if it is none.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || bytes.split_to(MARK.len()) != MARK[..] {
            return None;
        }
        let server = Uuid::from_u128(bytes.get_u128());
        let (sent_at, head) = (Timestamp::from_micros(bytes.get_i64()), Seq(bytes.get_u64()));
        if head > SEQ_MAX {
            return None;
        }
        let mut events: Vec<Event> = Vec::new();
        while bytes.has_remaining() {
            let event = decode_event(&mut bytes)?;
            let rises = event.seq > events.last().map_or(Seq::ZERO, |last| last.seq);
            if !rises || event.seq > head {
                return None;
            }
            events.push(event);
        }
        Some(Self { server, sent_at, head, events })
    }
}

fn decode_event(bytes: &mut Bytes) -> Option<Event> {
    let seq = Seq(bytes.try_get_u64().ok()?);
    let kind = *EventKind::ALL.get(usize::from(bytes.try_get_u8().ok()?))?;
    let user = user(bytes)?;
    let other = match bytes.try_get_u8().ok()? {
        0 => None,
        1 => Some(self::user(bytes)?),
        _ => return None,
    };
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    if bytes.remaining() < length {
        return None;
    }
    let frame = bytes.split_to(length);
    is_text_frame(&frame).then(|| Event::with_frame(seq, kind, Involved { user, other }, frame))
}

fn user(bytes: &mut Bytes) -> Option<UserId> {
    bytes.try_get_u128().ok().map(Uuid::from_u128).map(UserId::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventRow, encode};

    fn message(first: u64, count: u64) -> Message {
        let row = |seq: u64| EventRow {
            seq: Seq(seq),
            kind: EventKind::ALL[usize::try_from(seq % 4).unwrap()],
            involved: Involved {
                user: UserId::new(Uuid::from_u128(u128::from(seq))),
                other: seq.is_multiple_of(2).then(|| UserId::new(Uuid::from_u128(7))),
            },
            created_at: Timestamp::from_micros(5),
            data: format!(r#"{{"x":"{}"}}"#, "y".repeat(usize::try_from(seq * 100).unwrap())),
        };
        let head = Seq(first + count);
        let events = encode(&(first..first + count).map(row).collect::<Vec<_>>());
        Message { server: Uuid::from_u128(1), sent_at: Timestamp::from_micros(-3), head, events }
    }

    /// Goal: what is sent arrives. Method: messages with and without events, there and back.
    #[test]
    fn messages_arrive_as_they_were_sent() {
        for message in [message(1, 0), message(1, 1), message(5, 8)] {
            assert_eq!(Message::decode(message.encode().into()).as_ref(), Some(&message));
        }
    }

    /// Goal: whatever comes, nothing panics, and nothing that was changed on its way passes for events that were not sent.
    /// Method: every prefix of a message, and each byte of it changed.
    #[test]
    fn garbage_is_no_message() {
        let whole = message(5, 3);
        let bytes = whole.encode();
        let ends: Vec<usize> = (0..bytes.len()).filter(|end| Message::decode(bytes[..*end].to_vec().into()).is_some()).collect();
        assert_eq!(ends.len(), 3, "cut between events: {ends:?}");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x80;
            let Some(decoded) = Message::decode(changed.into()) else { continue };
            assert_eq!(decoded.events.len(), 3, "byte {at}");
            assert!(decoded.events.iter().all(|event| is_text_frame(event.frame())), "byte {at}");
        }
        assert!(Message::decode(Bytes::from_static(b"hello")).is_none());
    }
}
