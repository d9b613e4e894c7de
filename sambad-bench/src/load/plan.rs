//! Everything that is settled before a run begins.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::watch;

use super::clock::{Clock, nanos};
use super::dialect::Dialect;
use super::ledger::Ledger;
use super::mix::Mix;
use super::workload::Workload;

/// How writes are paced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// By plan.
    Open { rate: f64, poisson: bool },
    /// By answers: so many writers.
    Closed { writers: u32 },
}

/// What is to be done; valid by construction (see `args`).
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) pace: Pace,
    pub(crate) users: u32,
    pub(crate) dashboards: u32,
    pub(crate) slow_dashboards: u32,
    pub(crate) app_sessions: u32,
    pub(crate) mix: Mix,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) ramp_up: Duration,
    pub(crate) seed: u64,
    pub(crate) connections: u32,
    pub(crate) dialect: Dialect,
    /// Who asks, of a target that wants to know.
    pub(crate) authorization: Option<HeaderValue>,
    /// Others write to the target too: their events are counted and not judged.
    pub(crate) shared_target: bool,
    /// Threads that send, and threads that receive.
    pub(crate) writer_threads: u32,
    pub(crate) watcher_threads: u32,
    /// Writes carry an idempotency key and are repeated until they are answered.
    pub(crate) retries: bool,
    /// Sends later than this by the generator's own fault are late.
    pub(crate) late_after: Duration,
}

impl Plan {
    pub(crate) fn sessions(&self) -> u32 {
        self.dashboards + self.slow_dashboards + self.app_sessions
    }

    /// Operations a second, as far as that is known beforehand.
    pub(crate) fn rate(&self) -> Option<f64> {
        match self.pace {
            Pace::Open { rate, .. } => Some(rate),
            Pace::Closed { .. } => None,
        }
    }
}

/// Threads of one kind, at most.
pub(crate) const THREADS_MAX: u32 = 64;

/// What one thread has done so far; a cache line of its own, so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Progress {
    pub(crate) deliveries: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    /// Sessions that were opened again.
    pub(crate) returned: AtomicU64,
    /// Whether all its dashboards stand where they have to.
    pub(crate) caught_up: AtomicBool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Sessions are being opened.
    Opening,
    /// Sessions are open, and operations are sent when their time comes.
    Load,
    /// All operations are answered; sessions catch up, slow ones at full speed.
    Draining,
    /// Everything is over: threads hand over what they have and end.
    Stopped,
}

/// The users that were created before the load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Users {
    /// Ids, by number.
    pub(crate) ids: Vec<String>,
    /// Seq of the last of their events. Sessions begin behind it, but on a server that has not heard of it yet.
    pub(crate) head: u64,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Looked up once.
    pub(crate) address: SocketAddr,
    /// `host:port`, as requests name it.
    pub(crate) authority: String,
}

/// Where writers and sessions connect: each begins at one and, when that is gone, moves to another.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) writers: Vec<Place>,
    pub(crate) sessions: Vec<Place>,
}

/// Any of `many` but `place`, if there is another.
pub(crate) fn another(place: usize, many: usize) -> usize {
    if many < 2 { place } else { (place + fastrand::usize(1..many)) % many }
}

/// What all threads of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) places: Places,
    pub(crate) clock: Clock,
    pub(crate) workload: Workload,
    pub(crate) users: Users,
    pub(crate) ledger: Ledger,
    /// When the load begins; `u64::MAX` until that is decided.
    begin_ns: AtomicU64,
    phase: watch::Sender<Phase>,
    /// Where every dashboard has to arrive: the head of the log when the last operation was answered. What comes later, from
    /// others or late, is judged but not waited for.
    goal: AtomicU64,
    /// Events received and writes acknowledged so far, one pair a thread: for rates over an exact time.
    progress: Vec<Progress>,
    /// Places of events that were reported as unexplained, so that each is reported once, whichever thread sees it first.
    judged: Mutex<HashSet<u64>>,
}

impl Shared {
    pub(crate) fn new(plan: Plan, places: Places, clock: Clock, workload: Workload, users: Users) -> Arc<Self> {
        // A minute of operations: whatever is later than that is not timed, and counts as lost.
        const REMEMBERED_S: f64 = 60.0;
        const CLOSED_LOOP: u64 = 1 << 20;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate with a bound")]
        let remembered = plan.rate().map_or(CLOSED_LOOP, |rate| (rate * REMEMBERED_S) as u64);
        Arc::new(Self {
            ledger: Ledger::new(remembered),
            plan,
            places,
            judged: Mutex::default(),
            clock,
            workload,
            users,
            begin_ns: AtomicU64::new(u64::MAX),
            progress: (0..THREADS_MAX).map(|_| Progress::default()).collect(),
            goal: AtomicU64::new(0),
            phase: watch::Sender::new(Phase::Opening),
        })
    }

    /// Whether both ends read the same clock.
    pub(crate) fn is_local(&self) -> bool {
        self.places.sessions.iter().chain(&self.places.writers).all(|place| place.address.ip().is_loopback())
    }

    /// Whether nobody has judged the event at that place yet.
    pub(crate) fn is_first_to_judge(&self, place: u64) -> bool {
        /// Events that nothing explains and that are told apart; a run with more of them is beyond help.
        const JUDGED_MAX: usize = 1 << 20;
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        judged.len() < JUDGED_MAX && judged.insert(place)
    }

    /// The counters of the thread with that number among its kind.
    pub(crate) fn progress(&self, thread: u32) -> &Progress {
        &self.progress[thread as usize]
    }

    /// Deliveries and acknowledgements of all threads so far.
    pub(crate) fn progress_sum(&self) -> (u64, u64) {
        self.progress.iter().fold((0, 0), |(deliveries, acknowledged), progress| {
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (deliveries + load(&progress.deliveries), acknowledged + load(&progress.acknowledged))
        })
    }

    /// Settles where every dashboard has to arrive.
    pub(crate) fn set_goal(&self) {
        self.goal.store(self.ledger.head(), Ordering::Release);
    }

    pub(crate) fn goal(&self) -> u64 {
        self.goal.load(Ordering::Acquire)
    }

    /// Whether the dashboards of all watchers stand where they have to.
    pub(crate) fn is_caught_up(&self) -> bool {
        let watchers = self.plan.watcher_threads as usize;
        self.progress[..watchers].iter().all(|progress| progress.caught_up.load(Ordering::Relaxed))
    }

    /// Sessions that were opened again, each as often as it was.
    pub(crate) fn returned_sessions(&self) -> u64 {
        self.progress.iter().map(|progress| progress.returned.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn set_begin(&self, ns: u64) {
        self.begin_ns.store(ns, Ordering::Release);
    }

    pub(crate) fn begin_ns(&self) -> u64 {
        self.begin_ns.load(Ordering::Acquire)
    }

    /// When measuring begins: what was intended earlier is warm-up.
    pub(crate) fn measure_from_ns(&self) -> u64 {
        self.begin_ns().saturating_add(nanos(self.plan.warmup))
    }

    /// When the last operation may be intended, exclusively.
    pub(crate) fn end_ns(&self) -> u64 {
        self.measure_from_ns().saturating_add(nanos(self.plan.duration))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the run is in `phase` or a later one.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }
}
