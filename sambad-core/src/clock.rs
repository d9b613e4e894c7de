//! The one clock by which data is stamped, and by which its age is judged.
//!
//! A source of wall time (the system, or the database that several servers share) is believed only as far as elapsed time
//! explains it. A step of the source changes nothing until it has agreed with elapsed time for [`Limits::clock_settle`].
//!
//! **Invariant:** nothing is deleted for its age while the clock is not trusted, and however wrong a trusted clock is, an hour
//! of running ages what is stored by at most two hours.
//!
//! [`Limits::clock_settle`]: crate::Limits::clock_settle

mod steady;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::steady::{Change, Steady};
use crate::time::Timestamp;

/// By how much the log's last instant may lie ahead of the clock before that is a fault: servers of one database may differ.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(5);

/// The clock of one core; clones share it.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    /// The log's last instant, in microseconds. Relaxed: a figure to show and to warn of.
    last_at: AtomicI64,
}

#[derive(Debug)]
enum Source {
    /// The system's wall clock, read with each use.
    System(Mutex<Steady>),
    /// What the database says, handed over by whoever asked it.
    Database(Mutex<Steady>),
    /// Stands still and is trusted: for simulations and tests, which have time of their own.
    #[cfg(any(test, feature = "simulation"))]
    Fixed(Timestamp),
}

impl Clock {
    /// The system's clock, trusted once it has agreed with elapsed time for `settle`.
    pub(crate) fn system(settle: Duration) -> Self {
        Self::new(Source::System(Mutex::new(Steady::new(elapsed(), Timestamp::now(), settle))))
    }

    /// The clock of a database, which said `wall` just now.
    pub(crate) fn database(wall: Timestamp, settle: Duration) -> Self {
        Self::new(Source::Database(Mutex::new(Steady::new(elapsed(), wall, settle))))
    }

    /// A clock that stands still.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn fixed(at: Timestamp) -> Self {
        Self::new(Source::Fixed(at))
    }

    fn new(source: Source) -> Self {
        Self(Arc::new(Shared { source, last_at: AtomicI64::new(0) }))
    }

    /// The time of day. It moves by elapsed time, whatever steps the source makes.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let (steady, wall) = match &self.0.source {
            Source::System(steady) => (steady, true),
            Source::Database(steady) => (steady, false),
            #[cfg(any(test, feature = "simulation"))]
            Source::Fixed(at) => return *at,
        };
        let mut steady = lock(steady);
        let before = elapsed();
        let change = wall.then(Timestamp::now).and_then(|wall| steady.observe(before, elapsed(), wall));
        let now = steady.now(before);
        // A log line may block: not while others wait for the time of day.
        drop(steady);
        report(change);
        now
    }

    /// The instant from which the age of what may live for `ttl` is counted; `None` while the clock is not trusted, and nothing
    /// may be deleted for its age.
    ///
    /// It is [`Clock::now`] once the clock has run without a step for `ttl`. Before that it lags: behind the start by the time
    /// that no server ran, and behind a step by the step. The lag shrinks by one second a second.
    #[must_use]
    pub fn aged(&self, ttl: Duration) -> Option<Timestamp> {
        // A look at the source, which may have made a step since the last.
        let _ = self.now();
        match &self.0.source {
            Source::System(steady) | Source::Database(steady) => lock(steady).aged(elapsed(), ttl),
            #[cfg(any(test, feature = "simulation"))]
            Source::Fixed(at) => Some(*at),
        }
    }

    /// What was made at this instant or before has lived for longer than `ttl`.
    pub(crate) fn expired(&self, ttl: Duration) -> Timestamp {
        self.aged(ttl).map_or(Timestamp::from_micros(i64::MIN), |at| at.minus(ttl))
    }

    /// Whether ages are judged at all.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.aged(Duration::MAX).is_some()
    }

    /// Takes over the log's last instant, and how far age was judged by servers before this one: of a log without such a note,
    /// up to that instant.
    pub(crate) fn open_log(&self, last_at: Timestamp, aged_at: Option<Timestamp>) {
        self.note_log(last_at);
        let aged_at = aged_at.or_else(|| (last_at.as_micros() > 0).then(|| last_at.min(self.now())));
        if let (Source::System(steady) | Source::Database(steady), Some(aged_at)) = (&self.0.source, aged_at) {
            lock(steady).resume(elapsed(), aged_at);
        }
    }

    /// Takes note of what the database's clock said between `before` and now, both by [`elapsed`].
    pub(crate) fn observe(&self, before: Duration, wall: Timestamp) {
        if let Source::Database(steady) = &self.0.source {
            let change = lock(steady).observe(before, elapsed(), wall);
            report(change);
        }
    }

    /// Takes note of the log's last instant.
    pub(crate) fn note_log(&self, last_at: Timestamp) {
        self.0.last_at.store(last_at.as_micros(), Ordering::Relaxed);
    }

    /// By how much the log's last instant lies ahead of the clock: events get that instant until the clock has reached it.
    #[must_use]
    pub fn log_ahead(&self) -> Duration {
        Timestamp::from_micros(self.0.last_at.load(Ordering::Relaxed)).since(self.now())
    }
}

/// A few instructions, or one read of the clock.
fn lock(steady: &Mutex<Steady>) -> MutexGuard<'_, Steady> {
    steady.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs what became of a step.
fn report(change: Option<Change>) {
    match change {
        None => {}
        Some(Change::Doubted { step_s }) => {
            tracing::warn!(step_s, "the clock jumped: events are stamped by elapsed time until the clock is trusted again");
        }
        Some(Change::Returned) => tracing::warn!("the clock agrees with elapsed time again"),
        Some(Change::Adopted { step_s }) => {
            tracing::warn!(step_s, "the clock is trusted again after its jump: events are stamped by it from now on");
        }
    }
}

/// Time since the machine was started, suspensions included; only differences mean anything.
///
/// Read past the C library, so that whatever fakes the wall clock of this process does not fake this as well.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn elapsed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

/// Time since this was first asked; a suspension may be missing from it, and then looks like a step of the clock.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn elapsed() -> Duration {
    static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    STARTED.get_or_init(std::time::Instant::now).elapsed()
}
