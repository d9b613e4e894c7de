//! The half of a socket that tungstenite gets: it reads from the network, and what it writes is kept for the shard.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::FRAME_BYTES_MAX;
use crate::tls::TlsReadHalf;

/// Bytes that may arrive without a message: a frame cut into pieces of a byte has seven times its length.
const BYTES_WITHOUT_MESSAGE_MAX: usize = 8 * FRAME_BYTES_MAX;

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
    /// Bytes read since the last message.
    unanswered: usize,
}

impl Inbound {
    pub(super) fn new(socket: SocketReadHalf) -> Self {
        Self { socket, written: Vec::new(), unanswered: 0 }
    }

    /// Takes note of a message: what was read so far was not in vain.
    pub(super) fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// Takes what was written since the last call: whole frames.
    pub(super) fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }
}

impl AsyncRead for Inbound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.socket {
            SocketReadHalf::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            SocketReadHalf::Tls(socket) => Pin::new(socket).poll_read(cx, buffer),
        };
        self.unanswered += buffer.filled().len() - before;
        if self.unanswered > BYTES_WITHOUT_MESSAGE_MAX {
            // Fragments without end, which tungstenite would read for ever: no bound on messages is met by them.
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "no message ends")));
        }
        read
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
