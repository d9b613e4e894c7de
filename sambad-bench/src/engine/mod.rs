//! One run, from the first user to the last delivery.

mod chaos;
mod collector;
mod fault;
mod outcome;
mod setup;
mod storm;
mod target;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub(crate) use chaos::Chaos;
pub(crate) use collector::Snapshot;
pub(crate) use fault::Fault;
pub(crate) use outcome::{Outcome, Window};
pub(crate) use storm::{Storm, storm};
pub(crate) use target::{DashboardsOn, Target};

use crate::audit;
use crate::exit::Exit;
use crate::host::{interrupt, usage};
use crate::load::clock::{Clock, nanos};
use crate::load::plan::{Phase, Plan, Shared};
use crate::load::recorder::Recorder;
use crate::thread::{self, Message};
use crate::{watcher, writer};
use collector::Collector;

/// How often the coordinator looks up from its messages.
const STEP: Duration = Duration::from_millis(50);
/// Where writers and watchers share a core, a write whose time has come goes before deliveries that wait to be read.
const WATCHER_NICENESS: i32 = 10;
/// From the last session's opening to the first operation: the server's memory settles.
const SETTLE: Duration = Duration::from_millis(300);
/// Without a single delivery for so long, what is missing is lost.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long it is listened after everything has arrived.
const LINGER: Duration = Duration::from_millis(500);
/// How long sessions may take to catch up, however busy.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// Runs `plan` against `target` and calls `show` with how it goes.
///
/// # Errors
/// Usage, when the target cannot be used; invalid, when the run had to be given up.
pub(crate) fn execute(plan: Plan, target: &mut Target, chaos: Chaos, show: &mut dyn FnMut(&Snapshot)) -> anyhow::Result<Outcome> {
    let prepared = setup::prepare(&target.places(), &plan)?;
    let shared = Shared::new(plan, prepared.places, Clock::start(), prepared.workload, prepared.users);
    let mut coordinator = Coordinator::new(shared, target, chaos);
    let outcome = coordinator.run(show);
    coordinator.finish(outcome)
}

/// What directs a run.
struct Coordinator<'t> {
    shared: Arc<Shared>,
    target: &'t mut Target,
    chaos: Chaos,
    collector: Collector,
    handles: Vec<std::thread::JoinHandle<()>>,
    window: Window,
    opened: u32,
    writers_running: u32,
    watchers_running: u32,
}

impl<'t> Coordinator<'t> {
    fn new(shared: Arc<Shared>, target: &'t mut Target, chaos: Chaos) -> Self {
        Self {
            shared,
            target,
            chaos,
            collector: Collector::default(),
            handles: Vec::new(),
            window: Window::default(),
            opened: 0,
            writers_running: 0,
            watchers_running: 0,
        }
    }

    /// However it ended, no thread is left behind.
    fn finish<T>(mut self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        self.shared.enter(Phase::Stopped);
        for handle in self.handles.drain(..) {
            handle.join().map_err(|_| Exit::Invalid.because("a thread of the load generator panicked"))?;
        }
        outcome
    }

    fn run(&mut self, show: &mut dyn FnMut(&Snapshot)) -> anyhow::Result<Outcome> {
        self.window.rss_before = self.target.rss_bytes();
        let watchers = self.open_sessions()?;
        if self.shared.plan.sessions() > 0 {
            std::thread::sleep(SETTLE);
        }
        self.window.rss_idle = self.target.rss_bytes();
        let begin_ns = self.shared.clock.now_ns() + nanos(Duration::from_millis(20));
        self.shared.set_begin(begin_ns);
        self.shared.enter(Phase::Load);
        self.chaos.begin(begin_ns);
        let writers = self.start_writers()?;
        self.load(&writers, &watchers, show)?;
        self.drain(&watchers, show)?;
        self.window.rss_end = self.target.rss_bytes();
        self.shared.enter(Phase::Stopped);
        while self.watchers_running > 0 {
            self.receive(&watchers, Side::Watcher)?;
        }
        self.collector.finish();
        audit::settle_rest(&self.shared, &mut self.collector.total.tally);
        Ok(Outcome {
            plan: self.shared.plan.clone(),
            total: std::mem::take(&mut self.collector.total),
            intervals: std::mem::take(&mut self.collector.intervals),
            window: self.window.clone(),
            chaos: self.chaos.summary(),
        })
    }

    fn open_sessions(&mut self) -> anyhow::Result<Receiver<Message>> {
        let (sender, messages) = channel();
        for index in 0..self.shared.plan.watcher_threads {
            let (shared, messages) = (Arc::clone(&self.shared), sender.clone());
            let work = move || watcher::run(shared, index, messages);
            self.handles.push(thread::spawn(format!("watcher-{index}"), WATCHER_NICENESS, sender.clone(), work)?);
            self.watchers_running += 1;
        }
        while self.opened < self.shared.plan.watcher_threads {
            self.receive(&messages, Side::Watcher)?;
        }
        Ok(messages)
    }

    fn start_writers(&mut self) -> anyhow::Result<Receiver<Message>> {
        let (sender, messages) = channel();
        for index in 0..self.shared.plan.writer_threads {
            let (shared, messages) = (Arc::clone(&self.shared), sender.clone());
            let work = move || writer::run(shared, index, messages);
            self.handles.push(thread::spawn(format!("writer-{index}"), 0, sender.clone(), work)?);
            self.writers_running += 1;
        }
        Ok(messages)
    }

    /// Until every operation is answered.
    fn load(
        &mut self,
        writers: &Receiver<Message>,
        watchers: &Receiver<Message>,
        show: &mut dyn FnMut(&Snapshot),
    ) -> anyhow::Result<()> {
        let (measure_from_ns, end_ns) = (self.shared.measure_from_ns(), self.shared.end_ns());
        while self.writers_running > 0 {
            let now_ns = self.shared.clock.now_ns();
            self.window.observe(now_ns, measure_from_ns, end_ns, &self.shared, self.target);
            self.chaos.step(now_ns, end_ns, self.target).map_err(gone)?;
            self.check_target()?;
            let next_ns = [measure_from_ns, end_ns].into_iter().filter(|at| *at > now_ns).min().unwrap_or(u64::MAX);
            let step = STEP.min(Duration::from_nanos(next_ns - now_ns)).min(self.chaos.next_in(now_ns));
            self.poll(watchers, Side::Watcher, Duration::ZERO)?;
            self.poll(writers, Side::Writer, step)?;
            show(&self.snapshot(now_ns));
        }
        self.chaos.end(self.target).map_err(gone)?;
        let now_ns = self.shared.clock.now_ns();
        self.window.observe(now_ns.max(end_ns), measure_from_ns, end_ns, &self.shared, self.target);
        Ok(())
    }

    /// Until every session has seen everything, or nothing more comes.
    fn drain(&mut self, watchers: &Receiver<Message>, show: &mut dyn FnMut(&Snapshot)) -> anyhow::Result<()> {
        self.shared.set_goal();
        self.shared.enter(Phase::Draining);
        let mut complete_ns: Option<u64> = None;
        let begun_ns = self.shared.clock.now_ns();
        let mut latest = (self.shared.progress_sum().0, begun_ns);
        loop {
            let now_ns = self.shared.clock.now_ns();
            // What comes when nothing should come any more is judged as well.
            let is_complete = self.shared.is_caught_up() && !self.is_waiting();
            let since_ns = if is_complete { complete_ns.unwrap_or(now_ns) } else { now_ns };
            complete_ns = is_complete.then_some(since_ns);
            if is_complete && now_ns - since_ns > nanos(LINGER) {
                return Ok(());
            }
            let deliveries = self.shared.progress_sum().0;
            if deliveries != latest.0 {
                latest = (deliveries, now_ns);
            }
            if now_ns - latest.1 > nanos(SILENCE_MAX) || now_ns - begun_ns > nanos(DRAIN_MAX) {
                return Ok(());
            }
            self.check_target()?;
            self.poll(watchers, Side::Watcher, STEP)?;
            show(&self.snapshot(now_ns));
        }
    }

    /// Whether an event is still owed that no dashboard's place in the log tells of.
    fn is_waiting(&self) -> bool {
        let shared = &self.shared;
        let by_operation = shared.plan.app_sessions > 0 || !shared.plan.dialect.has_log();
        by_operation && shared.ledger.entries().any(|entry| audit::is_outstanding(shared, entry))
    }

    fn check_target(&mut self) -> anyhow::Result<()> {
        interrupt::check()?;
        self.target.check().map_err(gone)
    }

    /// Takes messages until there are none, waiting for the first for at most `wait`.
    fn poll(&mut self, messages: &Receiver<Message>, side: Side, wait: Duration) -> anyhow::Result<()> {
        let mut wait = wait;
        loop {
            match messages.recv_timeout(wait) {
                Ok(message) => self.take(message, side)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    let running = match side {
                        Side::Writer => self.writers_running,
                        Side::Watcher => self.watchers_running,
                    };
                    return if running == 0 { Ok(()) } else { Err(ended_early()) };
                }
            }
            wait = Duration::ZERO;
        }
    }

    fn receive(&mut self, messages: &Receiver<Message>, side: Side) -> anyhow::Result<()> {
        match messages.recv_timeout(STEP) {
            Ok(message) => self.take(message, side),
            Err(RecvTimeoutError::Timeout) => self.check_target(),
            Err(RecvTimeoutError::Disconnected) => Err(ended_early()),
        }
    }

    fn take(&mut self, message: Message, side: Side) -> anyhow::Result<()> {
        match message {
            Message::Recorded(second, recorder) => self.collector.add(second, *recorder),
            Message::Opened => self.opened += 1,
            Message::Ended(outcome) => {
                let rest: Recorder = outcome.map_err(|error| match Exit::of(&error) {
                    Exit::Usage => error,
                    _ => Exit::Invalid.because(format!("{error:#}")),
                })?;
                self.collector.add(self.second(), rest);
                match side {
                    Side::Writer => self.writers_running -= 1,
                    Side::Watcher => self.watchers_running -= 1,
                }
            }
        }
        Ok(())
    }

    /// The second of the load that it is; the last one for all that comes later.
    fn second(&self) -> u32 {
        let now_ns = self.shared.clock.now_ns().min(self.shared.end_ns().saturating_sub(1));
        let second = now_ns.saturating_sub(self.shared.begin_ns()) / nanos(Duration::from_secs(1));
        u32::try_from(second).unwrap_or(u32::MAX)
    }

    fn snapshot(&mut self, now_ns: u64) -> Snapshot {
        if let Some(own) = usage::own() {
            self.window.own_rss_max = self.window.own_rss_max.max(own.rss_bytes);
        }
        let elapsed = Duration::from_nanos(now_ns.saturating_sub(self.shared.begin_ns()));
        self.collector.snapshot(elapsed)
    }
}

/// What is said of a target that is gone, or does not come back.
fn gone(error: anyhow::Error) -> anyhow::Error {
    Exit::Invalid.because(format!("{error:#}"))
}

fn ended_early() -> anyhow::Error {
    Exit::Invalid.because("a thread of the load generator ended early")
}

/// Whose messages.
#[derive(Debug, Clone, Copy)]
enum Side {
    Writer,
    Watcher,
}
