//! A message between servers: events with their frames, as bytes.
//!
//! All numbers are big-endian. The last bytes authenticate all before them, and nothing is read before they do: any program
//! that reaches the broker may send anything.

use bytes::{Buf as _, BufMut as _, Bytes};
use uuid::Uuid;

use super::key::{CODE_BYTES, MessageKey};
use crate::cursor::Seq;
use crate::event::{Event, is_text_frame};
use crate::id::UserId;
use crate::kind::{EventKind, Involved};
use crate::time::Timestamp;

/// What every message begins with: a mark, and the version of the form.
const MARK: [u8; 4] = *b"SMB\x02";
/// Bytes of a message before its events.
const HEADER_BYTES: usize = MARK.len() + 16 + 8 + 8;
/// Bytes of an event beside its frame, at most.
pub(super) const EVENT_BYTES_MAX: usize = 8 + 1 + 16 + 1 + 16 + 4;
/// Bytes of a message that is read at all: twice what a server puts into one.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;

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
    pub(super) fn encode(&self, key: &MessageKey) -> Vec<u8> {
        let frames: usize = self.events.iter().map(|event| event.frame().len() + EVENT_BYTES_MAX).sum();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + frames + CODE_BYTES);
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
        key.sign(&mut bytes);
        bytes
    }

    /// Reads a message; `None` if no server of this log made it.
    pub(super) fn decode(payload: &[u8], key: &MessageKey) -> Option<Self> {
        if payload.len() < HEADER_BYTES + CODE_BYTES || payload.len() > MESSAGE_BYTES_MAX || !payload.starts_with(&MARK) {
            return None;
        }
        let (signed, code) = payload.split_at(payload.len() - CODE_BYTES);
        if !key.verifies(signed, code) {
            return None;
        }
        let mut bytes = Bytes::copy_from_slice(&signed[MARK.len()..]);
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
    use crate::cursor::Epoch;
    use crate::event::{EventRow, encode};
    use crate::store::LogSecret;

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

    fn key(secret: u8) -> MessageKey {
        MessageKey::new(&LogSecret { secret: vec![secret; 32], place: "1/2/3".into() }, Epoch(1))
    }

    /// Goal: what is sent arrives. Method: messages with and without events, there and back.
    #[test]
    fn messages_arrive_as_they_were_sent() {
        for message in [message(1, 0), message(1, 1), message(5, 8)] {
            assert_eq!(Message::decode(&message.encode(&key(1)), &key(1)).as_ref(), Some(&message));
        }
    }

    /// Goal: what was changed on its way is no message, wherever and however. Method: every prefix of a message, every bit of it
    /// flipped, each byte taken out or doubled, and another key.
    #[test]
    fn what_was_changed_is_no_message() {
        let (bytes, key, other) = (message(5, 3).encode(&key(1)), key(1), key(2));
        assert!(Message::decode(&bytes, &key).is_some());
        assert!(Message::decode(&bytes, &other).is_none(), "another key");
        for at in 0..bytes.len() {
            assert!(Message::decode(&bytes[..at], &key).is_none(), "{at} bytes");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(Message::decode(&changed, &key).is_none(), "bit {bit} of byte {at}");
            }
            let shorter = [&bytes[..at], &bytes[at + 1..]].concat();
            assert!(Message::decode(&shorter, &key).is_none(), "without byte {at}");
            let longer = [&bytes[..=at], &bytes[at..]].concat();
            assert!(Message::decode(&longer, &key).is_none(), "byte {at} twice");
        }
    }

    /// Goal: nothing that is no message is read as one, not even if a server signed it. Method: garbage, a message of the version
    /// before, one that is too long, and events out of order, all signed.
    #[test]
    fn garbage_is_no_message() {
        let key = key(1);
        let signed = |mut bytes: Vec<u8>| {
            key.sign(&mut bytes);
            Message::decode(&bytes, &key)
        };
        let whole = message(5, 3);
        let bytes = whole.encode(&key);
        let unsigned = bytes[..bytes.len() - CODE_BYTES].to_vec();
        assert_eq!(signed(unsigned.clone()), Some(whole));
        assert_eq!(signed(b"hello".to_vec()), None);
        assert_eq!(signed([b"SMB\x01", &unsigned[MARK.len()..]].concat()), None, "the version before");
        assert_eq!(signed([&unsigned[..], &vec![0; MESSAGE_BYTES_MAX]].concat()), None, "too long");
        assert_eq!(signed([&unsigned[..], &unsigned[HEADER_BYTES..]].concat()), None, "out of order");
        let ends: Vec<_> = (0..unsigned.len()).filter(|end| signed(unsigned[..*end].to_vec()).is_some()).collect();
        assert_eq!(ends.len(), 3, "cut between events: {ends:?}");
    }
}
