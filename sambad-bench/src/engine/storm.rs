//! Many sessions and no load: how fast they open, what they cost, and how fast they come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::target::Target;
use super::{Chaos, Coordinator, Side, setup};
use crate::exit::Exit;
use crate::host::usage::Usage;
use crate::load::clock::Clock;
use crate::load::plan::{Phase, Plan, Shared};
use crate::load::recorder::Recorder;

/// How long all sessions together may take to come back.
const RETURN_MAX: Duration = Duration::from_secs(120);
/// How often it is looked whether they are back.
const STEP: Duration = Duration::from_millis(5);

/// What a storm came to.
#[derive(Debug)]
pub(crate) struct Storm {
    /// From the first attempt to the last session's first frame.
    pub(crate) opening: Duration,
    /// From the restarted server's first accepted connection until all sessions were back; `None` without a restart.
    pub(crate) returning: Option<Duration>,
    /// From the kill to that first connection.
    pub(crate) downtime: Option<Duration>,
    /// Of the server: before the first session, when all were open, and after the idle time.
    pub(crate) usage: [Option<Usage>; 3],
    pub(crate) recorder: Recorder,
}

/// Opens the plan's sessions, lets them be for `idle`, and restarts the server if asked to.
///
/// # Errors
/// As [`execute`](super::execute).
pub(crate) fn storm(plan: Plan, target: &mut Target, idle: Duration, restart: bool, say: &dyn Fn(&str)) -> anyhow::Result<Storm> {
    let prepared = setup::prepare(&target.places(), &plan)?;
    let shared = Shared::new(plan, prepared.places, Clock::start(), prepared.workload, prepared.users);
    let mut coordinator = Coordinator::new(Arc::clone(&shared), target, Chaos::new(&[]));
    let outcome = coordinator.storm(idle, restart, say);
    coordinator.finish(outcome)
}

impl Coordinator<'_> {
    fn storm(&mut self, idle: Duration, restart: bool, say: &dyn Fn(&str)) -> anyhow::Result<Storm> {
        let before = self.target.usage();
        let sessions = u64::from(self.shared.plan.sessions());
        say(&format!("opening {sessions} sessions"));
        let begun = Instant::now();
        let watchers = self.open_sessions()?;
        let opening = begun.elapsed();
        std::thread::sleep(super::SETTLE);
        let open = self.target.usage();
        say(&format!("{sessions} sessions are open; idle for {} s", idle.as_secs()));
        let idle_until = Instant::now() + idle;
        while Instant::now() < idle_until {
            self.check_target()?;
            self.poll(&watchers, Side::Watcher, super::STEP.min(idle_until.saturating_duration_since(Instant::now())))?;
        }
        let idle_usage = self.target.usage();
        let (mut downtime, mut returning) = (None, None);
        if let (true, Target::Hosted(server)) = (restart, &mut *self.target) {
            say(&format!("the server restarts; {sessions} sessions reconnect"));
            downtime = Some(server.restart()?);
            let begun = Instant::now();
            // A session counts as open until it notices that it is not: each has to come back once.
            while self.shared.returned_sessions() < sessions {
                self.check_target()?;
                if begun.elapsed() > RETURN_MAX {
                    let back = self.shared.returned_sessions();
                    return Err(Exit::Invalid
                        .because(format!("only {back} of {sessions} sessions reconnected within {} s", RETURN_MAX.as_secs())));
                }
                self.poll(&watchers, Side::Watcher, STEP)?;
            }
            returning = Some(begun.elapsed());
        }
        self.shared.set_goal();
        self.shared.enter(Phase::Stopped);
        while self.watchers_running > 0 {
            self.receive(&watchers, Side::Watcher)?;
        }
        self.collector.finish();
        let recorder = std::mem::take(&mut self.collector.total);
        Ok(Storm { opening, returning, downtime, usage: [before, open, idle_usage], recorder })
    }
}
