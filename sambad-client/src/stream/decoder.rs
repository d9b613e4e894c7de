//! From the bytes of an event stream to its messages, however the network cuts them.
//!
//! Source: HTML Living Standard, 9.2.6 "Interpreting an event stream". Own work, since what there is in libraries does not
//! bound the message that it waits to be complete.

use std::time::Duration;

/// Bytes of a message, at most; the contract's longest event is below 32 KiB.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One message: what stood between two blank lines, comments left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// By which a client comes back.
    pub(super) id: Option<String>,
    /// The lines of data; `None` for a message that only sets the id.
    pub(super) data: Option<String>,
}

/// Says that a message is longer than is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message is longer than {MESSAGE_BYTES_MAX} bytes")]
pub(super) struct TooLong;

/// Takes chunks, gives messages; holds at most one incomplete message beside the chunk that was pushed last.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// What was pushed and not read, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// Up to here there is no end of line: a long line that comes in many chunks is searched once.
    searched: usize,
    /// Whether the last line ended in a carriage return, with which a line feed right behind it belongs.
    after_return: bool,
    /// Whether the first line was read, before which a byte order mark may stand.
    begun: bool,
    message: Message,
    retry: Option<Duration>,
}

impl Decoder {
    /// Adds what has arrived.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// How long the server asks to wait before another connection, if it said.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The next complete message; `None` when more has to be pushed.
    pub(super) fn next(&mut self) -> Result<Option<Message>, TooLong> {
        while let Some((begin, end)) = self.line() {
            if begin == end {
                let message = std::mem::take(&mut self.message);
                if message != Message::default() {
                    return Ok(Some(message));
                }
            } else {
                self.field(begin, end)?;
            }
        }
        self.bounded(self.buffer.len() - self.start)?;
        Ok(None)
    }

    /// The bounds in the buffer of the next complete line, without what ends it.
    fn line(&mut self) -> Option<(usize, usize)> {
        if self.after_return && self.start < self.buffer.len() {
            self.after_return = false;
            if self.buffer[self.start] == b'\n' {
                self.start += 1;
            }
        }
        let from = self.searched.max(self.start);
        let Some(end) = self.buffer[from..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).map(|at| from + at) else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut begin = self.start;
        if !std::mem::replace(&mut self.begun, true) && self.buffer[begin..end].starts_with(BYTE_ORDER_MARK) {
            begin += BYTE_ORDER_MARK.len();
        }
        self.after_return = self.buffer[end] == b'\r';
        self.start = end + 1;
        self.searched = self.start;
        Some((begin, end))
    }

    /// Reads a line that is not blank: `name`, `name:value` or `name: value`; without a name it is a comment.
    fn field(&mut self, begin: usize, end: usize) -> Result<(), TooLong> {
        let line = &self.buffer[begin..end];
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match name {
            b"data" => {
                let data = match self.message.data.take() {
                    Some(lines) => lines + "\n" + &value,
                    None => value.into_owned(),
                };
                self.message.data = Some(data);
                self.bounded(0)?;
            }
            b"id" if !value.contains('\0') => self.message.id = Some(value.into_owned()),
            // The time counts at once, also in a message that is never completed.
            b"retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // The type stands in the data as well.
            _ => {}
        }
        Ok(())
    }

    fn bounded(&self, more: usize) -> Result<(), TooLong> {
        let data = self.message.data.as_ref().map_or(0, String::len);
        if data + more > MESSAGE_BYTES_MAX { Err(TooLong) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(id: Option<&str>, data: Option<&str>) -> Message {
        Message { id: id.map(Into::into), data: data.map(Into::into) }
    }

    /// Every message of a stream that arrives in these chunks.
    fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, Option<Duration>) {
        let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(message) = decoder.next().unwrap() {
                messages.push(message);
            }
        }
        (messages, decoder.retry())
    }

    /// Goal: a stream is read as the standard says. Method: its examples and corners, each with what comes of it.
    #[test]
    fn reads_what_the_standard_says() {
        for (text, expected) in [
            ("data: x\n\n", vec![message(None, Some("x"))]),
            ("data:x\r\rdata:  y\r\n\r\n", vec![message(None, Some("x")), message(None, Some(" y"))]),
            ("data: a\ndata\ndata: b\n\n", vec![message(None, Some("a\n\nb"))]),
            ("id: 1\nevent: t\ndata: {}\n\n", vec![message(Some("1"), Some("{}"))]),
            (": heartbeat\n\n: heartbeat\nid: 2\n\n", vec![message(Some("2"), None)]),
            ("id\n\n", vec![message(Some(""), None)]),
            ("id: 1\0\n\n\n\n", vec![]),
            ("\u{feff}data: x\n\n", vec![message(None, Some("x"))]),
            ("data: x\n\n\u{feff}data: y\n\n", vec![message(None, Some("x"))]),
            ("unknown: x\ndata : y\n:data: z\n\n", vec![]),
            ("data: cut off", vec![]),
            ("data: never completed\n", vec![]),
        ] {
            assert_eq!(decode([text.as_bytes()]).0, expected, "{text:?}");
        }
        assert_eq!(decode([&b"data: \xff\n\n"[..]]).0, [message(None, Some("\u{fffd}"))]);
    }

    /// Goal: the server's delay is taken, nonsense is not. Method: a table.
    #[test]
    fn reads_the_delay() {
        for (text, millis) in [
            ("retry: 1500\n", Some(1500)),
            ("retry: 1\n\nretry: 2\n\n", Some(2)),
            ("retry: soon\n", None),
            ("retry: -1\n", None),
            ("retry\n", None),
            ("retry: 5\nretry: 99999999999999999999999\n", Some(5)),
            ("retry: 5", None),
        ] {
            assert_eq!(decode([text.as_bytes()]).1, millis.map(Duration::from_millis), "{text:?}");
        }
    }

    /// Goal: nothing without an end fills the memory, and much that is short passes. Method: one line, many lines, comments.
    #[test]
    fn is_bounded() {
        let fill = |text: &str, times: usize| {
            let mut decoder = Decoder::default();
            (0..times).try_for_each(|_| {
                decoder.push(text.as_bytes());
                while decoder.next()?.is_some() {}
                assert!(decoder.buffer.len() <= MESSAGE_BYTES_MAX + text.len());
                Ok(())
            })
        };
        let kib = "x".repeat(1024);
        assert_eq!(fill(&kib, 2000), Err(TooLong));
        assert_eq!(fill(&format!("data: {kib}\n"), 2000), Err(TooLong));
        assert_eq!(fill(&format!("data: {kib}\n\n"), 2000), Ok(()));
        assert_eq!(fill(&format!(": {kib}\n"), 2000), Ok(()));
    }

    proptest! {
        /// Goal: the network's cuts do not matter. Method: streams of telling bytes, cut anywhere, against the same in one piece.
        #[test]
        fn cuts_do_not_matter(
            words in prop::collection::vec(prop::sample::select(vec![
                "data: ", "data:", "id: ", "retry: 7", "event: x", ": c", "\n", "\n\n", "\r", "\r\n", "\u{feff}", "é", "स", "x", " ", ":",
            ]), 0..60),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let bytes = words.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
            prop_assert_eq!(decode(parts), decode([&bytes[..]]));
        }

        /// Goal: what was written is read. Method: messages of any text, written as the server writes, cut into single bytes.
        #[test]
        fn what_was_written_is_read(texts in prop::collection::vec("[^\r\n\0]{0,40}", 1..10)) {
            let text: String = texts.iter().map(|text| format!("id: {text}\nevent: x\ndata: {text}\n\n")).collect();
            let expected: Vec<Message> = texts.iter().map(|text| message(Some(text), Some(text))).collect();
            prop_assert_eq!(decode(text.as_bytes().chunks(1)).0, expected);
        }
    }
}
