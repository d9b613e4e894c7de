//! Watchers: threads that keep sessions open, and judge and time every event that arrives.

mod judge;
mod seen;
mod session;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::load::plan::{Phase, Plan, Shared};
use crate::load::recorder::Recorder;
use crate::thread::{Message, hand_over_every_second};
use judge::{Judge, Role};
use session::Sessions;

/// Connections in the making at a time, for each thread: well below what a listener queues.
const DIALING_MAX: usize = 128;
/// How often it is looked whether all sessions have caught up.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Opens this thread's sessions and keeps them until the run stops.
pub(crate) async fn run(shared: Arc<Shared>, index: u32, messages: Sender<Message>) -> anyhow::Result<Recorder> {
    let recorder = Rc::new(RefCell::new(Recorder::default()));
    let (numbers, roles): (Vec<u32>, Vec<Role>) = roles(&shared.plan, index).unzip();
    let sessions = Rc::new(Sessions {
        shared: Arc::clone(&shared),
        thread: index,
        judge: RefCell::new(Judge::new(Arc::clone(&shared), index, roles)),
        recorder: Rc::clone(&recorder),
        dialing: Semaphore::new(DIALING_MAX),
        unopened: Cell::new(numbers.len()),
        opened: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    for (place, number) in numbers.iter().enumerate() {
        let delay = shared.plan.ramp_up.mul_f64(f64::from(*number) / f64::from(shared.plan.sessions()));
        tasks.spawn_local(session::run(Rc::clone(&sessions), place, delay));
    }
    let samples = tokio::task::spawn_local(hand_over_every_second(Arc::clone(&shared), Rc::clone(&recorder), messages.clone()));
    let life = async {
        if !numbers.is_empty() {
            sessions.opened.notified().await;
        }
        // The coordinator ends when it has given up; then there is nobody to tell.
        let _ = messages.send(Message::Opened);
        shared.reached(Phase::Draining).await;
        loop {
            let caught_up = sessions.judge.borrow().is_caught_up();
            shared.progress(index).caught_up.store(caught_up, Ordering::Relaxed);
            tokio::time::sleep(DRAIN_STEP).await;
        }
    };
    let failed = async {
        // A session that the server has ended for good is counted and gone; any other end is a failure.
        while let Some(ended) = tasks.join_next().await {
            ended.context("a session failed")??;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        () = life => {}
        () = shared.reached(Phase::Stopped) => {}
        failed = failed => failed?,
    }
    samples.abort();
    tasks.abort_all();
    let mut rest = recorder.borrow_mut().take();
    sessions.judge.borrow().close(&mut rest.tally);
    Ok(rest)
}

/// This thread's sessions, with their numbers among all: dashboards first, then slow ones, then apps.
fn roles(plan: &Plan, thread: u32) -> impl Iterator<Item = (u32, Role)> {
    let dashboards = (0..plan.dashboards).map(Role::Dashboard);
    let slow = (0..plan.slow_dashboards).map(Role::SlowDashboard);
    let apps = (0..plan.app_sessions).map(Role::App);
    let threads = plan.watcher_threads;
    (0..).zip(dashboards.chain(slow).chain(apps)).filter(move |(number, _)| number % threads == thread)
}
