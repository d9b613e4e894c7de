//! The bytes of a WebSocket, as a session reads them.

use std::io::{self, Read, Write};

use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

use super::frame::check_bad_frame;
use crate::ws::{FRAME_BYTES_MAX, Heard, socket_config};

/// What is heard does not depend on how the network cuts the bytes, is bounded by them, and ends at the first failure.
///
/// # Panics
/// When a promise does not hold.
pub fn socket(bytes: &[u8]) {
    let heard = hear(bytes, usize::MAX);
    // Each frame has two bytes of head and four of mask.
    assert!(heard.len() <= bytes.len() / 6 + 1, "{} messages in {} bytes", heard.len(), bytes.len());
    for cut in [1, 3, 64, 1021] {
        assert_eq!(hear(bytes, cut), heard, "cut every {cut} bytes");
    }
    for heard in heard {
        if let Heard::Bad(bad) | Heard::Broken(bad) = heard {
            check_bad_frame(bad);
        }
    }
}

/// Everything that is heard, the end included.
fn hear(bytes: &[u8], cut: usize) -> Vec<Heard> {
    let link = Link { unread: bytes, cut, pause: false, written: 0 };
    let mut socket = WebSocket::from_raw_socket(link, Role::Server, Some(socket_config()));
    let mut all = Vec::new();
    let ended = |heard: &Heard| matches!(heard, Heard::Goodbye | Heard::Broken(_) | Heard::Gone);
    while !all.last().is_some_and(ended) {
        let read = socket.read();
        if matches!(&read, Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock) {
            continue;
        }
        if let Ok(message) = &read {
            assert!(message.len() <= FRAME_BYTES_MAX, "a message of {} bytes", message.len());
        }
        all.push(Heard::from(read));
    }
    // As a session does: the answer to a ping or to a goodbye may still wait to be written.
    let _ = socket.flush();
    // Pongs and the answer to a goodbye say what they were told, without the mask.
    let written = socket.get_ref().written;
    assert!(written <= bytes.len() + 16, "{written} bytes written for {}", bytes.len());
    all
}

/// A connection that brings its bytes in pieces, with nothing to read between any two of them, and then ends.
struct Link<'a> {
    unread: &'a [u8],
    cut: usize,
    pause: bool,
    written: usize,
}

impl Read for Link<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pause = !self.pause && self.cut < usize::MAX;
        if self.pause {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(self.cut).min(self.unread.len());
        let (now, later) = self.unread.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.unread = later;
        Ok(length)
    }
}

impl Write for Link<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
