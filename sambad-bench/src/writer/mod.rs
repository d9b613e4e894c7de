//! Writers: threads that send operations when their time comes, whatever the server does.
//!
//! A thread paces its share of the plan and deals the operations out to its lanes. Writers have threads apart from the
//! watchers, so that thousands of deliveries to be read do not keep a write waiting: the kernel lets the one in between
//! the others.

mod connection;
mod lane;
mod request;
mod timer;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(crate) use connection::{Connection, PostError};
pub(crate) use request::{LOGIN, login};

use crate::load::plan::{Pace, Phase, Shared};
use crate::load::recorder::Recorder;
use crate::load::schedule::Schedule;
use crate::load::workload::OpId;
use crate::thread::{Message, hand_over_every_second};
use timer::Timer;

/// Operations that may wait for a connection; beyond it the run is given up rather than memory filled.
const QUEUE_MAX: usize = 1 << 20;

/// An operation whose time has come.
#[derive(Debug, Clone, Copy)]
struct Due {
    k: OpId,
    intended_ns: u64,
    /// When the generator got round to it; what it waits from then on it waits for a connection.
    queued_ns: u64,
}

/// What a thread's tasks share.
#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    recorder: Rc<RefCell<Recorder>>,
    queue: RefCell<VecDeque<Due>>,
    /// Wakes one idle lane.
    wake: Notify,
    /// Lanes that wait for an operation.
    idle: Cell<usize>,
    /// No more operations will come.
    ended: Cell<bool>,
    /// In a closed loop: this thread's next turn.
    turn: Cell<u64>,
    /// When the target last answered anything here.
    answered_ns: Cell<u64>,
    index: u32,
}

/// Sends this thread's share of the plan; ends when every operation is answered, or given up.
pub(crate) async fn run(shared: Arc<Shared>, index: u32, messages: Sender<Message>) -> anyhow::Result<Recorder> {
    let recorder = Rc::new(RefCell::new(Recorder::default()));
    let writer = Rc::new(Writer {
        shared: Arc::clone(&shared),
        recorder: Rc::clone(&recorder),
        queue: RefCell::default(),
        wake: Notify::new(),
        idle: Cell::new(0),
        ended: Cell::new(false),
        turn: Cell::new(0),
        answered_ns: Cell::new(0),
        index,
    });
    let samples = tokio::task::spawn_local(hand_over_every_second(Arc::clone(&shared), Rc::clone(&recorder), messages));
    let mut lanes = JoinSet::new();
    match shared.plan.pace {
        Pace::Open { rate, poisson } => {
            let writers = u64::from(shared.plan.writer_threads);
            let schedule = if poisson {
                Schedule::poisson(rate, index.into(), writers, shared.plan.seed)
            } else {
                Schedule::constant(rate, index.into(), writers)
            };
            tokio::select! {
                // Stopping: what was not sent by now never is.
                () = shared.reached(Phase::Stopped) => {}
                paced = writer.pace(schedule, &mut lanes) => paced?,
            }
        }
        Pace::Closed { writers } => {
            let threads = shared.plan.writer_threads;
            let lanes_here = (writers + threads - 1 - index) / threads;
            for lane in 0..lanes_here {
                lanes.spawn_local(lane::run(Rc::clone(&writer), (index + lane * threads) as usize));
            }
        }
    }
    writer.ended.set(true);
    writer.wake.notify_waiters();
    let answered = async {
        while let Some(lane) = lanes.join_next().await {
            lane.context("a writer failed")??;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        answered = answered => answered?,
        () = shared.reached(Phase::Stopped) => {}
    }
    samples.abort();
    let rest = recorder.borrow_mut().take();
    Ok(rest)
}

impl Writer {
    /// Puts each operation into the queue at its time and sees to it that there is a lane for it.
    async fn pace(self: &Rc<Self>, schedule: Schedule, lanes: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
        let shared = &self.shared;
        let timer = Timer::new().context("cannot use the timer")?;
        let threads = u64::from(shared.plan.writer_threads);
        let lanes_max = (shared.plan.connections / shared.plan.writer_threads).max(1) as usize;
        for (turn, offset_ns) in (0..).zip(schedule) {
            let intended_ns = shared.begin_ns() + offset_ns;
            if intended_ns >= shared.end_ns() {
                return Ok(());
            }
            let queued_ns = loop {
                let now_ns = shared.clock.now_ns();
                if now_ns >= intended_ns {
                    break now_ns;
                }
                timer.sleep(Duration::from_nanos(intended_ns - now_ns)).await.context("cannot use the timer")?;
            };
            // A lane that ends by now has given the target up.
            if let Some(lane) = lanes.try_join_next() {
                lane.context("a writer failed")??;
            }
            if intended_ns >= shared.measure_from_ns() {
                self.recorder.borrow_mut().tally.planned += 1;
            }
            self.queue.borrow_mut().push_back(Due { k: turn * threads + u64::from(self.index), intended_ns, queued_ns });
            let waiting = self.queue.borrow().len();
            if waiting > QUEUE_MAX {
                bail!("the target is {waiting} operations behind: the run was stopped");
            }
            if waiting > self.idle.get() && lanes.len() < lanes_max {
                let home = self.index as usize + lanes.len() * shared.plan.writer_threads as usize;
                lanes.spawn_local(lane::run(Rc::clone(self), home));
            } else {
                self.wake.notify_one();
            }
        }
        Ok(())
    }

    /// The next operation for a lane; `None` when there will be none.
    async fn next(&self) -> Option<Due> {
        if let Pace::Closed { .. } = self.shared.plan.pace {
            return self.next_of_closed_loop();
        }
        loop {
            if self.shared.phase() == Phase::Stopped {
                return None;
            }
            if let Some(due) = self.queue.borrow_mut().pop_front() {
                return Some(due);
            }
            if self.ended.get() {
                return None;
            }
            self.idle.set(self.idle.get() + 1);
            self.wake.notified().await;
            self.idle.set(self.idle.get() - 1);
        }
    }

    /// In a closed loop an operation is due when the last one is answered.
    fn next_of_closed_loop(&self) -> Option<Due> {
        let now_ns = self.shared.clock.now_ns();
        if now_ns >= self.shared.end_ns() || self.shared.phase() == Phase::Stopped {
            return None;
        }
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        let k = turn * u64::from(self.shared.plan.writer_threads) + u64::from(self.index);
        let due = Due { k, intended_ns: now_ns, queued_ns: now_ns };
        if due.intended_ns >= self.shared.measure_from_ns() {
            self.recorder.borrow_mut().tally.planned += 1;
        }
        Some(due)
    }
}
