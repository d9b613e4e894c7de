//! The write half of one session: a cursor, a filter, and at most one frame that the socket took part of.

use std::io;

use bytes::{Buf, Bytes};
use sambad_core::{Filter, Seq};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::run::Run;
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
    /// Behind the tail: a page of the store is being read for it.
    Reading,
    /// Gets no more events; whoever reads from it says goodbye.
    Silent,
    /// Ends once what is left has been written.
    Closing,
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
pub(super) struct Outbound {
    /// Away while the shard waits for the socket to take more.
    pub(super) socket: Option<OwnedWriteHalf>,
    /// The rest of a frame that the socket took part of.
    rest: Bytes,
    /// Whole frames that answer the client, to be written before the next event.
    answers: Vec<u8>,
    /// Everything up to here was handed over; of a `Live` session the shard's position is.
    pub(super) cursor: Seq,
    pub(super) filter: Filter,
    pub(super) phase: Phase,
    /// Whether the client is to be told when it has caught up.
    pub(super) replaying: bool,
    /// Since when the socket has taken no byte; `None` while it does.
    pub(super) stuck_since: Option<Instant>,
    /// Tells the reading half how the session ends; dropping it tells that it is over.
    pub(super) notice: Option<oneshot::Sender<CloseReason>>,
}

impl Outbound {
    pub(super) fn new(
        socket: OwnedWriteHalf,
        cursor: Seq,
        filter: Filter,
        replaying: bool,
        notice: oneshot::Sender<CloseReason>,
    ) -> Self {
        Self {
            socket: Some(socket),
            rest: Bytes::new(),
            answers: Vec::new(),
            cursor,
            filter,
            phase: Phase::Behind,
            replaying,
            stuck_since: None,
            notice: Some(notice),
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
            Ok(written) if written == run.bytes().len() => Sent::All,
            Ok(written) => {
                let cut = run.cut(written);
                self.cursor = cut.seq.unwrap_or(before);
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
