//! The half of a socket that tungstenite gets: it reads from the network, and what it writes is kept for the shard.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::boundaries::Boundaries;
use crate::tls::TlsReadHalf;

/// Bytes that a client may still send once its session closes, before the socket is dropped on it.
const DISCARDED_BYTES_MAX: usize = 4 << 20;
/// Bytes that are read and discarded at a time.
const DISCARD_BYTES: usize = 8 << 10;

/// The fragments of a message have no end, which tungstenite would read for ever: no bound on messages is met by empty ones.
#[derive(Debug, thiserror::Error)]
#[error("no message ends")]
pub(super) struct EndlessMessage;

/// Up to where the bytes of a client are discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Its close frame.
    Close,
    /// The end of the connection.
    End,
}

/// The half of a socket that is read.
#[derive(Debug)]
pub(super) enum SocketReadHalf {
    Plain(OwnedReadHalf),
    Tls(TlsReadHalf),
}

/// A stream that reads a socket and writes into memory.
///
/// What is written is small: single control frames and answers, which the session takes as soon as they are there.
#[derive(Debug)]
pub(super) struct Inbound {
    socket: SocketReadHalf,
    written: Vec<u8>,
    boundaries: Boundaries,
}

impl Inbound {
    /// A stream that begins with `already_read`, which somebody else hands over.
    pub(super) fn new(socket: SocketReadHalf, already_read: &[u8]) -> Self {
        let mut boundaries = Boundaries::default();
        boundaries.follow(already_read);
        Self { socket, written: Vec::new(), boundaries }
    }

    /// Takes what was written since the last call: whole frames.
    pub(super) fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }

    /// Reads and discards what the client still sends; returns earlier if the connection ends, or after 4 MiB.
    ///
    /// # Cancel safety
    /// What was read is gone in any case.
    pub(super) async fn discard(&mut self, until: Until) {
        let mut space = vec![0; DISCARD_BYTES];
        let mut discarded = 0;
        while discarded < DISCARDED_BYTES_MAX && !(until == Until::Close && self.boundaries.is_closed()) {
            let mut buffer = ReadBuf::new(&mut space);
            let read = poll_fn(|cx| self.poll_socket(cx, &mut buffer)).await;
            if read.is_err() || buffer.filled().is_empty() {
                return;
            }
            discarded += buffer.filled().len();
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.socket {
            SocketReadHalf::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            SocketReadHalf::Tls(socket) => Pin::new(socket).poll_read(cx, buffer),
        };
        self.boundaries.follow(&buffer.filled()[before..]);
        read
    }
}

impl AsyncRead for Inbound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Only with the next read, so that what came before is heard.
        if self.boundaries.is_endless() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, EndlessMessage)));
        }
        self.poll_socket(cx, buffer)
    }
}

impl AsyncWrite for Inbound {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
