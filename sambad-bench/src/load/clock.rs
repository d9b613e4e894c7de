//! Time as all threads of a run share it: nanoseconds since one origin.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the time; copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    /// Wall-clock microseconds since 1970 at the origin.
    wall_us: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), wall_us: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX) }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    pub(crate) fn instant(&self, ns: u64) -> Instant {
        self.origin + Duration::from_nanos(ns)
    }

    /// The wall clock at `ns`, in microseconds since 1970; it follows the steady clock, so that a step of the wall clock
    /// during a run bends no latency.
    pub(crate) fn wall_us(&self, ns: u64) -> i64 {
        self.wall_us.saturating_add_unsigned(ns / 1000)
    }
}

/// A duration in nanoseconds; 584 years and more count as that.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
