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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio_rustls::{TlsAcceptor, TlsConnector, client};

    use super::*;

    const SMALL_BUFFER: u32 = 4096;
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Both halves of a server's end, and a client, over a connection whose buffers hold little.
    async fn small_connection() -> (TlsReadHalf, TlsWriteHalf, client::TlsStream<TcpStream>) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], signing_key.into()).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let listener = TcpSocket::new_v4().unwrap();
        listener.set_send_buffer_size(SMALL_BUFFER).unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = listener.listen(1).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let (client, server) = tokio::join!(
            TlsConnector::from(Arc::new(client)).connect(name, stream),
            TlsAcceptor::from(Arc::new(server)).accept(accepted),
        );
        let (read, write) = split(server.unwrap());
        (read, write, client.unwrap())
    }

    /// Writes until the socket takes no more; adds what was taken.
    fn fill(write: &TlsWriteHalf, chunk: usize, taken: &mut Vec<u8>) {
        loop {
            let bytes: Vec<u8> = (taken.len()..taken.len() + chunk).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            match write.try_write(&bytes) {
                Ok(n) => taken.extend_from_slice(&bytes[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Goal: the last bytes arrive although nobody writes after them, be the write half still there or not. Method: a full
    /// socket with encrypted bytes left behind, and then nothing but a task that waits to read.
    #[tokio::test]
    async fn what_is_left_behind_is_sent_by_whoever_reads() {
        for chunk in [1, 1_000, 16 << 10, 100_000] {
            for dropped in [false, true] {
                let (mut read, write, mut client) = small_connection().await;
                let reading = tokio::spawn(async move { read.read(&mut [0; 16]).await });
                tokio::task::yield_now().await;
                let mut taken = Vec::new();
                fill(&write, chunk, &mut taken);
                assert!(write.0.lock().wants_write(), "something is left behind");
                let write = Some(write).filter(|_| !dropped);
                let mut got = vec![0; taken.len()];
                timeout(PATIENCE, client.read_exact(&mut got)).await.expect("all bytes arrive").unwrap();
                assert!(got == taken, "{chunk} {dropped}");
                if dropped {
                    let end = timeout(PATIENCE, client.read(&mut got)).await.expect("the end is said");
                    assert_eq!(end.unwrap(), 0);
                }
                drop((write, client));
                // A reset is an end as well.
                let _ = timeout(PATIENCE, reading).await.expect("the end is seen").unwrap();
            }
        }
    }

    /// Goal: a writer that waits is woken once there is room, and only then. Method: a full socket, on which a wait
    /// takes longer than the kernel needs; then it is read.
    #[tokio::test]
    async fn a_full_socket_is_writable_once_it_is_read() {
        let (read, write, mut client) = small_connection().await;
        let mut total = 0;
        for _ in 0..5 {
            let mut taken = Vec::new();
            // The kernel moves bytes to the other end for a while.
            while timeout(Duration::from_millis(50), write.writable()).await.is_ok() {
                fill(&write, 5_000, &mut taken);
            }
            let mut got = vec![0; taken.len()];
            let (writable, read) = tokio::join!(timeout(PATIENCE, write.writable()), async {
                timeout(PATIENCE, client.read_exact(&mut got)).await.expect("bytes arrive")
            });
            writable.expect("there is room").unwrap();
            read.unwrap();
            assert!(got == taken);
            total += taken.len();
        }
        assert!(total > 5 * 5_000);
        drop(client);
        drop(read);
    }
}
