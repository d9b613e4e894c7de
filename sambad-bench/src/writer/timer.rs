//! Waking up on time.
//!
//! The runtime's own timer counts whole milliseconds, which at 20,000 operations a second would be 20 operations at once.
//! A timerfd wakes the runtime through the same epoll as a socket does, within some 50 µs.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

/// A timer of its own file descriptor.
#[derive(Debug)]
pub(super) struct Timer {
    fd: AsyncFd<OwnedFd>,
}

impl Timer {
    /// # Errors
    /// When there is no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe because of types whose descriptor changes or closes early; an OwnedFd's does neither"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Self { fd })
    }

    /// # Cancel safety
    /// Dropping the future leaves the timer to be set again.
    pub(super) async fn sleep(&self, duration: Duration) -> io::Result<()> {
        // Zero would disarm it.
        let duration = duration.max(Duration::from_nanos(1));
        let value =
            Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.fd.readable().await?;
            let mut expirations = [0; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations)?)) {
                Ok(read) => return read.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}
