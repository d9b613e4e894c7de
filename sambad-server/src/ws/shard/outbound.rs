//! The write half of one session: a cursor, a filter, and at most one frame that the socket took part of.

use std::io;

use bytes::{Buf, Bytes};
use futures_util::future::AbortHandle;
use sambad_core::{Filter, Seq};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::run::Run;
use super::socket::Socket;
use crate::sessions::About;
use crate::ws::close::CloseReason;

/// Bytes of answers that may wait for a socket: a client that asks on and reads nothing is stuck.
const ANSWERS_BYTES_MAX: usize = 64 << 10;

/// Where a session is between the log and its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// At the shard's position, with nothing left to write: gets what is fanned out.
    Live,
    /// At its own cursor: reads on as its socket allows.
    Behind,
    /// Beyond the shard's position: it read a snapshot of what is about to be fanned out.
    Ahead,
    /// Behind the tail: a page of the store is being read for it.
    Reading,
    /// Gets no more events; whoever reads from it says goodbye.
    Silent,
    /// The close frame is the last that it gets: stays until the client has answered it.
    Closing,
    /// The same, and ends once what is left has been written.
    Leaving,
}

impl Phase {
    /// Whether a session can still get events. One that cannot is nobody's who counts sessions or asks for a list of them.
    pub(super) fn is_open(self) -> bool {
        !matches!(self, Self::Silent | Self::Closing | Self::Leaving)
    }
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The socket took everything.
    All,
    /// The socket is full; what is left is kept.
    Blocked,
    /// The socket is gone.
    Broken,
}

/// One session's write half.
///
/// **Invariant:** a `Live` session has nothing in `rest` or `answers`, and its socket is here.
#[derive(Debug)]
pub(super) struct Outbound<S> {
    pub(super) about: About,
    /// Away while the shard waits for the socket to take more.
    pub(super) socket: Option<S>,
    /// The rest of a frame that the socket took part of.
    rest: Bytes,
    /// Whole frames that answer the client, to be written before the next event.
    answers: Vec<u8>,
    /// Everything up to here was handed over; of a `Live` session the shard's position is.
    pub(super) cursor: Seq,
    /// The last position that the client learns from what was handed over or waits in `answers`: from an event, or from a
    /// control frame with a cursor. Under a filter it falls behind the cursor.
    pub(super) known: Seq,
    pub(super) filter: Filter,
    pub(super) phase: Phase,
    /// Whether the client is to be told when it has caught up.
    pub(super) replaying: bool,
    /// Whether it stands in the shard's queue of those that can go on.
    pub(super) queued: bool,
    /// Ends the wait for the socket while that is away.
    pub(super) waiting: Option<AbortHandle>,
    /// Since when the socket has taken no byte; `None` while it does.
    pub(super) stuck_since: Option<Instant>,
    /// Tells the reading half how the session ends; dropping it tells that it is over.
    pub(super) notice: Option<oneshot::Sender<CloseReason>>,
    /// Events that were handed over, be it only their first byte.
    pub(super) events: u64,
}

impl<S: Socket> Outbound<S> {
    pub(super) fn new(
        about: About,
        socket: S,
        cursor: Seq,
        filter: Filter,
        replaying: bool,
        notice: oneshot::Sender<CloseReason>,
    ) -> Self {
        Self {
            about,
            socket: Some(socket),
            rest: Bytes::new(),
            answers: Vec::new(),
            cursor,
            known: cursor,
            filter,
            phase: Phase::Behind,
            replaying,
            queued: false,
            waiting: None,
            stuck_since: None,
            notice: Some(notice),
            events: 0,
        }
    }

    /// Adds whole frames to what is written before the next event; `false` when too much waits already.
    #[must_use]
    pub(super) fn answer(&mut self, frames: &[u8]) -> bool {
        let fits = self.answers.len() + frames.len() <= ANSWERS_BYTES_MAX;
        if fits {
            self.answers.extend_from_slice(frames);
        }
        fits
    }

    /// Writes what is left of a frame, then the answers.
    pub(super) fn flush(&mut self) -> Sent {
        loop {
            if self.rest.is_empty() {
                if self.answers.is_empty() {
                    return Sent::All;
                }
                self.rest = std::mem::take(&mut self.answers).into();
            }
            let rest = std::mem::take(&mut self.rest);
            match self.write(&rest) {
                Ok(written) => {
                    self.rest = rest;
                    self.rest.advance(written);
                    if !self.rest.is_empty() {
                        return Sent::Blocked;
                    }
                }
                Err(_) => return Sent::Broken,
            }
        }
    }

    /// Writes a run of events that follow `before`; nothing may be left from earlier writes.
    pub(super) fn send(&mut self, run: &Run, before: Seq) -> Sent {
        match self.write(run.bytes()) {
            Ok(written) if written == run.bytes().len() => {
                self.events += run.events();
                self.known = run.last().unwrap_or(before);
                Sent::All
            }
            Ok(written) => {
                let cut = run.cut(written);
                self.events += cut.events;
                self.cursor = cut.seq.unwrap_or(before);
                self.known = cut.seq.unwrap_or(self.known);
                self.rest = cut.rest;
                Sent::Blocked
            }
            Err(_) => Sent::Broken,
        }
    }

    /// Writes until everything is taken or the socket is full; says how much it took.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(socket) = &self.socket else { return Ok(0) };
        let mut written = 0;
        while written < bytes.len() {
            match socket.try_write(&bytes[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => written += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if written > 0 {
            self.stuck_since = None;
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::io::AsyncReadExt;
    use tokio::net::tcp::OwnedWriteHalf;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::super::run::tests::run;
    use super::*;

    const SMALL_BUFFER: u32 = 4096;

    /// Two ends of a real connection whose buffers hold little and always the same.
    async fn small_connection() -> (OwnedWriteHalf, TcpStream) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(1).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(SMALL_BUFFER).unwrap();
        let writer = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        writer.set_nodelay(true).unwrap();
        let (reader, _) = listener.accept().await.unwrap();
        let (read_half, write_half) = writer.into_split();
        // The reading half only goes with the connection.
        std::mem::forget(read_half);
        (write_half, reader)
    }

    /// Goal: wherever a socket stops taking bytes, what follows is the rest of that frame, then the answers, then the next
    /// event. Method: a real socket that is full after a known number of bytes, and runs whose first frame is one byte longer
    /// each time, so that it stops at every offset of a frame; then it is read to the end.
    #[tokio::test]
    async fn a_socket_may_stop_at_any_byte() {
        const FRAME: usize = 97;
        let mut stopped_at = BTreeSet::new();
        // Once round is enough where the kernel always takes the same number of bytes; elsewhere it takes a few.
        for first in (1..=FRAME).cycle().take(20 * FRAME) {
            if stopped_at.len() == FRAME {
                break;
            }
            let (write_half, mut reader) = small_connection().await;
            let (notice, _ended) = oneshot::channel();
            let mut session = Outbound::new(About::nobody(), write_half, Seq(10), Filter::default(), false, notice);
            let mut lengths = vec![FRAME; 2_000];
            lengths[0] = first;
            let run = run(&lengths);
            assert_eq!(session.send(&run, Seq(10)), Sent::Blocked, "the buffers are smaller than the run");
            stopped_at.insert((FRAME - session.rest.len()) % FRAME);
            assert!(session.answer(b"answer"));

            let begun = usize::try_from(session.cursor.0).unwrap() - 10;
            assert_eq!(session.events, begun as u64, "events are counted once they have begun");
            let handed_over: usize = lengths[..begun].iter().sum();
            let expected: Vec<u8> = run.bytes()[..handed_over].iter().copied().chain(*b"answer").collect();
            let mut received = vec![0; expected.len()];
            let writing = async {
                while session.flush() != Sent::All {
                    session.socket.as_ref().unwrap().writable().await.unwrap();
                }
            };
            let (read, ()) = tokio::join!(reader.read_exact(&mut received), writing);
            read.unwrap();
            assert!(received == expected, "first frame of {first} bytes");
        }
        assert_eq!(stopped_at.len(), FRAME, "a stop at every byte of a frame");
    }
}
