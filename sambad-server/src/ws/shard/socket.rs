//! What a shard needs of a session's write half.

use std::io;

use tokio::net::tcp::OwnedWriteHalf;

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

impl Socket for OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::writable(self)
    }
}
