//! A stream that does not wait for ever: neither for a client that reads nothing nor for one that says nothing.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::limits::CountedConnection;

/// What a connection speaks.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// In a box, so that a plain one stays small.
    Tls(Box<TlsStream<TcpStream>>),
}

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long the socket may accept no byte.
    pub(crate) stall: Duration,
    /// How long the head of a request may take to arrive.
    pub(crate) head: Duration,
    /// How long it may be quiet between requests, at least; twice that at most.
    pub(crate) idle: Duration,
}

/// How many requests a connection has begun, and how many of them are not answered to the end.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    // Relaxed, both: connection and requests are one task, or those who look are content with what was true just now.
    begun: AtomicU32,
    open: AtomicU32,
}

/// A request that is not answered to the end.
#[derive(Debug)]
pub(crate) struct OpenRequest(Arc<Requests>);

impl Requests {
    pub(crate) fn begin(self: &Arc<Self>) -> OpenRequest {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenRequest(Arc::clone(self))
    }

    pub(crate) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn any_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose writes fail once the socket has accepted no byte for too long, and whose reads fail when a request's head
/// does not arrive in time.
///
/// The watch sits here because nothing above can keep it: hyper asks a body for more only when the socket has taken what
/// was there, and has one timer for a head and for the silence before it. A timer of a write or a head exists only while that is
/// pending.
#[derive(Debug)]
pub(crate) struct StallGuard {
    stream: Stream,
    patience: Patience,
    pending: Option<Pin<Box<Sleep>>>,
    heads: Option<Heads>,
    counted: CountedConnection,
}

/// The watch over heads, where one connection has one request at a time.
#[derive(Debug)]
struct Heads {
    requests: Arc<Requests>,
    /// How many requests had begun when the watch last looked.
    seen: u32,
    /// Whether bytes of the next head are there, or it is the first, which is due from the beginning.
    begun: bool,
    /// Exists only while a head is there in part.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs on, whatever happens, so that a request need not set a timer: what it means is seen when it fires.
    idle: Option<Pin<Box<Sleep>>>,
    /// How many requests had begun when that timer was set, and whether one was open.
    idle_since: (u32, bool),
}

impl StallGuard {
    /// Watches writes.
    pub(crate) fn new(stream: Stream, patience: Patience, counted: CountedConnection) -> Self {
        Self { stream, patience, pending: None, heads: None, counted }
    }

    /// Watches heads as well.
    pub(crate) fn with_heads(self, requests: Arc<Requests>) -> Self {
        Self { heads: Some(Heads { requests, seen: 0, begun: true, head: None, idle: None, idle_since: (0, false) }), ..self }
    }

    /// The stream alone, for those who watch it themselves, and what it counts as while it is there.
    pub(crate) fn into_inner(self) -> (Stream, CountedConnection) {
        (self.stream, self.counted)
    }

    /// What a write came to, unless it has been pending for too long.
    fn watch<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.pending = None;
            return written;
        }
        let stall = self.patience.stall;
        let timer = self.pending.get_or_insert_with(|| Box::pin(sleep(stall)));
        timer.as_mut().poll(cx).map(|()| Err(too_late("socket accepted no byte for too long")))
    }
}

impl Heads {
    /// What a read came to, unless a head has been due for too long.
    fn watch(
        &mut self,
        read: Poll<io::Result<()>>,
        heard: bool,
        patience: Patience,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let (begun, open) = (self.requests.begun(), self.requests.any_open());
        if begun != self.seen {
            (self.seen, self.begun, self.head) = (begun, false, None);
        }
        if read.is_ready() {
            self.begun |= heard && !open;
            return read;
        }
        if self.begun && !open {
            let timer = self.head.get_or_insert_with(|| Box::pin(sleep(patience.head)));
            return timer.as_mut().poll(cx).map(|()| Err(too_late("headers did not arrive in time")));
        }
        let now = (begun, open);
        let timer = self.idle.get_or_insert_with(|| {
            self.idle_since = now;
            Box::pin(sleep(patience.idle))
        });
        while timer.as_mut().poll(cx).is_ready() {
            if !open && self.idle_since == now {
                return Poll::Ready(Err(too_late("no request for too long")));
            }
            self.idle_since = now;
            timer.as_mut().reset(Instant::now() + patience.idle);
        }
        Poll::Pending
    }
}

fn too_late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl AsyncRead for StallGuard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let patience = self.patience;
        match &mut self.heads {
            Some(heads) => heads.watch(read, buffer.filled().len() > before, patience, cx),
            None => read,
        }
    }
}

impl AsyncWrite for StallGuard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.watch(written, cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            // Has nothing to flush, and so says nothing about what the socket accepts.
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => {
                let flushed = Pin::new(stream).poll_flush(cx);
                self.watch(flushed, cx)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => {
                let closed = Pin::new(stream).poll_shutdown(cx);
                self.watch(closed, cx)
            }
        }
    }
}
