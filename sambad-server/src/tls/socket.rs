//! A TLS connection whose halves belong to two tasks: one reads, the other writes what the socket takes at once.
//!
//! rustls has one state for both directions, so a lock is needed; it is held while bytes are en- or decrypted and offered to
//! the kernel, and never while anybody waits. Waiting is for the TCP socket beneath, which needs no lock.
//!
//! **Invariant:** what was encrypted and the kernel did not take is written before anything else is encrypted, and if nobody
//! writes any more, whoever reads writes it: the last frame does not wait for the next.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::server::TlsStream;

/// Bytes that are encrypted at a time: one record at most, since what the kernel does not take of them is kept.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// What both halves share.
#[derive(Debug)]
struct Shared {
    tcp: TcpStream,
    tls: Mutex<ServerConnection>,
    /// Wakes whoever reads when a write leaves something behind.
    reader: AtomicWaker,
}

/// The half that reads, and that writes what the other half leaves behind.
#[derive(Debug)]
pub(crate) struct TlsReadHalf(Arc<Shared>);

/// The half that writes; dropping it says to the client that nothing follows.
#[derive(Debug)]
pub(crate) struct TlsWriteHalf(Arc<Shared>);

/// Parts a connection after its handshake.
pub(crate) fn split(stream: TlsStream<TcpStream>) -> (TlsReadHalf, TlsWriteHalf) {
    let (tcp, tls) = stream.into_inner();
    let shared = Arc::new(Shared { tcp, tls: Mutex::new(tls), reader: AtomicWaker::new() });
    (TlsReadHalf(Arc::clone(&shared)), TlsWriteHalf(shared))
}

/// The TCP socket for rustls, which asks for blocking traits: `WouldBlock` where it would.
struct Now<'a>(&'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ServerConnection> {
        // rustls keeps its own state whole; after a panic the session ends in any case.
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers the kernel what is encrypted; `WouldBlock` when it does not take all of it.
    fn flush(&self, tls: &mut ServerConnection) -> io::Result<()> {
        while tls.wants_write() {
            match tls.write_tls(&mut Now(&self.tcp)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes what was left behind as far as the kernel takes it, and has the task woken when it takes more.
    fn poll_leftover(&self, tls: &mut ServerConnection, cx: &mut Context<'_>) -> io::Result<()> {
        while tls.wants_write() {
            match self.tcp.poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            match self.flush(tls) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                // After `WouldBlock` the socket counts as not ready, so that the next turn ends the loop.
                _ => {}
            }
        }
        Ok(())
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Before looking: a write that leaves something behind from now on wakes this task.
        self.reader.register(cx.waker());
        let mut tls = self.lock();
        loop {
            match tls.reader().read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // The connection ended without TLS's goodbye: for WebSockets the end is said in the frames.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
            self.poll_leftover(&mut tls, cx)?;
            ready!(self.tcp.poll_read_ready(cx))?;
            match tls.read_tls(&mut Now(&self.tcp)) {
                Ok(_) => {
                    if let Err(error) = tls.process_new_packets() {
                        // The alert that says why.
                        let _ = self.flush(&mut tls);
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for TlsReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buffer)
    }
}

impl TlsWriteHalf {
    /// Encrypts the first bytes of `bytes` and says how many; `WouldBlock` while the kernel has not taken what went before.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut tls = self.0.lock();
        self.0.flush(&mut tls)?;
        let taken = tls.writer().write(&bytes[..bytes.len().min(RECORD_BYTES_MAX)])?;
        match self.0.flush(&mut tls) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(tls);
                self.0.reader.wake();
            }
            flushed => flushed?,
        }
        Ok(taken)
    }

    /// Waits until the kernel has taken all that is encrypted and may take more.
    ///
    /// # Cancel safety
    /// Nothing is lost: what is written meanwhile was encrypted before.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        loop {
            self.0.tcp.writable().await?;
            let flushed = self.0.flush(&mut self.0.lock());
            match flushed {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                flushed => return flushed,
            }
        }
    }
}

impl Drop for TlsWriteHalf {
    fn drop(&mut self) {
        let mut tls = self.0.lock();
        tls.send_close_notify();
        // What the kernel does not take now, whoever still reads sends on.
        if self.0.flush(&mut tls).is_err() {
            drop(tls);
            self.0.reader.wake();
        }
    }
}
