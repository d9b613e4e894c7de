//! Where a client's frames begin and end, beside what tungstenite makes of them.
//!
//! tungstenite hides two things that a session needs: how long a message has been going on without an end, and the client's
//! close frame once tungstenite itself has given up on the bytes before it.
//!
//! Source: RFC 6455, 5.2.

use super::FRAME_BYTES_MAX;

/// Bytes of the fragments of one message, headers included: a message cut into pieces of a byte has seven times its length.
pub(super) const FRAGMENTS_BYTES_MAX: usize = 8 * FRAME_BYTES_MAX;
/// The first byte's bit that ends a message, and its bits that say what the frame is.
const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
/// Opcodes from here on are those of control frames, which may stand between fragments.
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;
/// The second byte's bit that announces a mask.
const MASKED: u8 = 0x80;

/// Follows the frames in a client's bytes by their headers alone. Of bytes that are no frames it says nothing that can be relied on.
#[derive(Debug, Default)]
pub(super) struct Boundaries {
    /// Bytes of the current frame's payload that have not arrived; while its header arrives, the length as far as it is known.
    payload: u64,
    /// Bytes of the fragments of the message that has not ended.
    fragments: u64,
    header: Header,
    is_closed: bool,
}

/// The header of the current frame.
#[derive(Debug, Default, Clone, Copy)]
struct Header {
    first: u8,
    /// Bytes of it that have arrived.
    arrived: u8,
    /// Where the bytes of its extended length end; there are none if that is at 2.
    length_ends: u8,
    /// Where it ends, mask included; 0 before its second byte.
    ends: u8,
}

impl Boundaries {
    /// Takes the next bytes from the client. What follows its close frame is no frame, and is passed over.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !self.is_closed {
            if self.header.is_complete() {
                let skipped = bytes.len().min(usize::try_from(self.payload).unwrap_or(usize::MAX));
                self.payload -= skipped as u64;
                bytes = &bytes[skipped..];
                if self.payload > 0 {
                    return;
                }
                self.is_closed = self.header.first & OPCODE == CLOSE;
                self.header = Header::default();
            } else if let Some((byte, rest)) = bytes.split_first() {
                self.header_byte(*byte);
                bytes = rest;
            } else {
                return;
            }
        }
    }

    /// Whether the fragments of one message have gone on for longer than any message may.
    pub(super) fn is_endless(&self) -> bool {
        self.fragments > FRAGMENTS_BYTES_MAX as u64
    }

    /// Whether the client's close frame has arrived.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn header_byte(&mut self, byte: u8) {
        let header = &mut self.header;
        header.arrived += 1;
        match header.arrived {
            1 => header.first = byte,
            2 => {
                let (length, mask) = (byte & !MASKED, if byte & MASKED == 0 { 0 } else { 4 });
                (self.payload, header.length_ends) = match length {
                    126 => (0, 4),
                    127 => (0, 10),
                    _ => (length.into(), 2),
                };
                header.ends = header.length_ends + mask;
            }
            arrived if arrived <= header.length_ends => self.payload = self.payload << 8 | u64::from(byte),
            // The mask, which hides what nobody looks at here.
            _ => {}
        }
        if header.is_complete() && header.first & OPCODE < CONTROL {
            let bytes = self.payload.saturating_add(header.ends.into());
            self.fragments = if header.first & FINAL == 0 { self.fragments.saturating_add(bytes) } else { 0 };
        }
    }
}

impl Header {
    fn is_complete(self) -> bool {
        self.arrived >= 2 && self.arrived == self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame with this first byte and so many bytes of payload, its length written as short as possible.
    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match payload {
            0..126 => frame.push(MASKED | u8::try_from(payload).unwrap()),
            126..65_536 => {
                frame.push(MASKED | 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(MASKED | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend([CLOSE | FINAL; 4]);
        frame.resize(frame.len() + payload, CLOSE | FINAL);
        frame
    }

    fn followed(bytes: &[u8], piece: usize) -> Boundaries {
        let mut boundaries = Boundaries::default();
        bytes.chunks(piece).for_each(|piece| boundaries.follow(piece));
        boundaries
    }

    /// Goal: the close frame is found behind frames of any length, when its last byte arrives, and nowhere else. Method: payloads and
    /// masks that look like close frames, cut into pieces of several lengths.
    #[test]
    fn the_close_frame_is_found() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
        let before: Vec<u8> = lengths.iter().flat_map(|length| frame(0x81, *length)).chain(frame(0x89, 5)).collect();
        for close in [frame(0x88, 0), frame(0x88, 2), frame(0x88, 125), vec![0x88, 0]] {
            let all = [&before[..], &close].concat();
            for piece in [1, 2, 3, 7, 1000, all.len()] {
                assert!(!followed(&before, piece).is_closed());
                assert!(!followed(&all[..all.len() - 1], piece).is_closed());
                assert!(followed(&all, piece).is_closed());
                assert!(followed(&[&all[..], &before].concat(), piece).is_closed());
            }
        }
    }

    /// Goal: fragments count until their message ends, whatever control frames stand between them, and whole messages do not count.
    /// Method: fragments up to the bound and one beyond, with and without payload.
    #[test]
    fn endless_fragments_are_counted() {
        for payload in [0, 1, 1000] {
            let within = FRAGMENTS_BYTES_MAX / frame(0, payload).len();
            let fragments = |n: usize| [frame(0x00, payload), frame(0x8a, 3)].concat().repeat(n);
            assert!(!followed(&fragments(within), 100).is_endless(), "{payload}");
            assert!(followed(&fragments(within + 1), 100).is_endless(), "{payload}");
            let ended = [fragments(within), frame(0x80, payload)].concat();
            assert!(!followed(&ended.repeat(3), 100).is_endless(), "{payload}");
        }
        assert!(!followed(&frame(0x81, FRAGMENTS_BYTES_MAX * 2), 1000).is_endless());
        assert!(followed(b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 3).is_endless());
    }
}
