//! Everything that is left to chance, from one seed; and the trace by which two runs of a seed are compared.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sambad_core::simulation::{Fault, FaultPoint, FaultScript};

/// The one source of chance of a run.
#[derive(Debug, Clone)]
pub(super) struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A number below `bound`; 0 below 0.
    pub(super) fn below(&self, bound: u64) -> u64 {
        locked(&self.0).u64(0..bound.max(1))
    }

    pub(super) fn index(&self, len: usize) -> usize {
        locked(&self.0).usize(0..len.max(1))
    }

    pub(super) fn between(&self, low: usize, high: usize) -> usize {
        low + self.index(high - low + 1)
    }

    /// True `permille` times in a thousand.
    pub(super) fn hits(&self, permille: u64) -> bool {
        permille > 0 && self.below(1000) < permille
    }

    pub(super) fn shuffle<T>(&self, values: &mut [T]) {
        locked(&self.0).shuffle(values);
    }

    pub(super) fn millis(&self, bound: u64) -> Duration {
        Duration::from_millis(1 + self.below(bound))
    }
}

/// How likely each fault is in this run, in a thousand. Each is absent from some runs: a fault that is always there hides
/// what happens without it.
///
/// Source: Groce et al., "Swarm Testing" (ISSTA 2012).
#[derive(Debug, Clone, Copy)]
pub(super) struct Odds {
    pub(super) begin_fails: u64,
    pub(super) commit_fails: u64,
    pub(super) answer_lost: u64,
    pub(super) read_fails: u64,
    pub(super) waits: u64,
    pub(super) disk_stalls: u64,
    pub(super) trims: u64,
    pub(super) short_writes: u64,
    pub(super) full_sockets: u64,
    pub(super) breaks: u64,
    pub(super) stalls: u64,
    pub(super) abandons: u64,
    pub(super) foreign_cursors: u64,
}

impl Odds {
    fn draw(chance: &Chance) -> Self {
        let odds = |most: u64| if chance.hits(400) { 0 } else { 1 + chance.below(most) };
        Self {
            begin_fails: odds(200),
            commit_fails: odds(200),
            answer_lost: odds(300),
            read_fails: odds(200),
            waits: odds(600),
            disk_stalls: odds(30),
            trims: odds(500),
            short_writes: odds(700),
            full_sockets: odds(500),
            breaks: odds(60),
            stalls: odds(60),
            abandons: odds(400),
            foreign_cursors: odds(400),
        }
    }
}

/// What a run is exposed to, and what has been seen of it.
#[derive(Debug)]
pub(super) struct Conditions {
    pub(super) chance: Chance,
    pub(super) odds: Odds,
    /// While set, nothing goes wrong any more.
    calm: AtomicBool,
    /// Whether a read of the store has failed: the only reason to be sent away by a shard that can go on.
    read_failed: AtomicBool,
    trace: Mutex<Trace>,
}

#[derive(Debug)]
struct Trace {
    digest: u64,
    seen: BTreeMap<&'static str, u64>,
    printing: bool,
}

impl Conditions {
    /// Calm until [`Conditions::set_calm`] says otherwise.
    pub(super) fn new(seed: u64, printing: bool) -> Arc<Self> {
        let chance = Chance::new(seed);
        let odds = Odds::draw(&chance);
        let trace = Trace { digest: 0xcbf2_9ce4_8422_2325, seen: BTreeMap::new(), printing };
        Arc::new(Self {
            chance,
            odds,
            calm: AtomicBool::new(true),
            read_failed: AtomicBool::new(false),
            trace: Mutex::new(trace),
        })
    }

    pub(super) fn is_calm(&self) -> bool {
        // Relaxed, as everything here: a run has one thread.
        self.calm.load(Ordering::Relaxed)
    }

    pub(super) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Relaxed);
    }

    pub(super) fn read_failed(&self) -> bool {
        self.read_failed.load(Ordering::Relaxed)
    }

    /// Whether something goes wrong now that does so `permille` times in a thousand.
    pub(super) fn strikes(&self, permille: u64) -> bool {
        !self.is_calm() && self.chance.hits(permille)
    }

    /// Adds a fact to the trace. Facts are what a run decides and what came of it, never an id or a time of day.
    pub(super) fn note(&self, what: &'static str, a: u64, b: u64) {
        let mut trace = locked(&self.trace);
        let mut digest = trace.digest;
        for word in [what.len() as u64 ^ u64::from(what.as_bytes()[0]) << 8, a, b] {
            // FNV-1a, a word at a time.
            digest = (digest ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        trace.digest = digest;
        *trace.seen.entry(what).or_default() += 1;
        if trace.printing {
            println!("{what} {a} {b}");
        }
    }

    pub(super) fn digest(&self) -> u64 {
        locked(&self.trace).digest
    }

    /// How often each fact was noted.
    pub(super) fn seen(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.trace).seen.clone()
    }

    /// What the store's disk does.
    pub(super) fn script(self: &Arc<Self>) -> FaultScript {
        let conditions = Arc::clone(self);
        Box::new(move |point| conditions.fault(point))
    }

    fn fault(&self, point: FaultPoint) -> Fault {
        let Odds { begin_fails, commit_fails, answer_lost, read_fails, waits, disk_stalls, .. } = self.odds;
        let (name, fails) = match point {
            FaultPoint::Begin => ("begin fails", begin_fails),
            FaultPoint::Commit => ("commit fails", commit_fails),
            FaultPoint::Committed => ("answer of commit lost", answer_lost),
            FaultPoint::Trim => ("trim fails", begin_fails),
            FaultPoint::Trimmed => ("answer of trim lost", begin_fails),
            FaultPoint::Read => ("read fails", read_fails),
            FaultPoint::HaveRead => ("answer of read lost", read_fails),
        };
        if self.strikes(fails) {
            self.note(name, 0, 0);
            if matches!(point, FaultPoint::Read | FaultPoint::HaveRead) {
                self.read_failed.store(true, Ordering::Relaxed);
            }
            return Fault::Fail;
        }
        if self.strikes(disk_stalls) {
            self.note("disk stalls", 0, 0);
            return Fault::Wait(self.chance.millis(20_000));
        }
        if self.strikes(waits) {
            return if self.chance.hits(500) { Fault::Yield(1) } else { Fault::Wait(self.chance.millis(20)) };
        }
        Fault::None
    }
}

/// A panic elsewhere in the run is what matters, not that a lock was held then.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
