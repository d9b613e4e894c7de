//! A socket that gets every event, and the frames it gets.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;

/// First byte of a frame that is a whole text message.
const TEXT: u8 = 0x81;
/// First byte of a frame that closes.
const CLOSE: u8 = 0x88;

/// Writes `body` as one text frame into `frame`, whatever was there.
pub(super) fn encode(frame: &mut Vec<u8>, body: &[u8]) {
    frame.clear();
    match body.len() {
        length @ 0..=125 => frame.extend([TEXT, length.to_be_bytes()[size_of::<usize>() - 1]]),
        length => match u16::try_from(length) {
            Ok(length) => {
                frame.extend([TEXT, 126]);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.extend([TEXT, 127]);
                frame.extend((length as u64).to_be_bytes());
            }
        },
    }
    frame.extend_from_slice(body);
}

/// The writing side of one session.
#[derive(Debug)]
pub(super) struct Subscriber {
    stream: TcpStream,
    /// Its place among all connections.
    pub(super) id: usize,
    /// What the socket did not take of a frame that it began to take.
    rest: Vec<u8>,
}

impl Subscriber {
    pub(super) fn new(stream: TcpStream, id: usize) -> Self {
        Self { stream, id, rest: Vec::new() }
    }

    /// Sends a frame with one call, or drops it: the floor keeps no log to read later.
    ///
    /// A frame that the socket took in part is finished by [`Self::finish`] before it takes another. A broken socket
    /// says so where it is read.
    #[inline]
    pub(super) fn send(&mut self, frame: &[u8]) {
        if !self.rest.is_empty() {
            return;
        }
        if let Ok(taken) = self.stream.write(frame)
            && taken < frame.len()
        {
            self.rest.extend_from_slice(&frame[taken..]);
        }
    }

    /// Goes on with the rest of a frame, once the socket takes bytes again.
    pub(super) fn finish(&mut self) {
        while !self.rest.is_empty() {
            match self.stream.write(&self.rest) {
                Ok(taken) => drop(self.rest.drain(..taken)),
                Err(_) => return,
            }
        }
        // Memory is only for sockets that are behind.
        self.rest = Vec::new();
    }

    /// Reads and forgets what the client sent, and says whether the session goes on.
    ///
    /// Pings stay unanswered. A read that begins with a close frame ends the session: clients send so little that frames
    /// begin where reads do.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(_) if buffer[0] == CLOSE => {
                    self.send(&[CLOSE, 0]);
                    return false;
                }
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a frame's length has the form that RFC 6455 asks for. Method: lengths at both sides of each bound.
    #[test]
    fn encodes_every_length() {
        let mut frame = Vec::new();
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 255, 255]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            encode(&mut frame, &vec![b'x'; length]);
            assert_eq!(frame.len(), head.len() + length);
            assert!(frame.starts_with(&head) && frame[head.len()..].iter().all(|byte| *byte == b'x'), "{length}");
        }
    }
}
