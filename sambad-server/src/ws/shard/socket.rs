//! What a shard needs of a session's write half.

use std::io;

use tokio::net::tcp::OwnedWriteHalf;

use crate::tls::TlsWriteHalf;

/// The writing half of a byte stream that takes what it can at once.
pub(in crate::ws) trait Socket: Send + Sync + 'static {
    /// Takes the first bytes of `bytes` and says how many; `WouldBlock` when it takes none now.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until it may take bytes again, or is broken, which the next write then says.
    ///
    /// # Cancel safety
    /// Waiting changes nothing.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
}

/// The writing half of a session's socket.
#[derive(Debug)]
pub(in crate::ws) enum SocketWriteHalf {
    Plain(OwnedWriteHalf),
    Tls(TlsWriteHalf),
}

impl Socket for SocketWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(socket) => socket.try_write(bytes),
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.writable().await,
            Self::Tls(socket) => socket.writable().await,
        }
    }
}

#[cfg(test)]
impl Socket for OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::writable(self)
    }
}
