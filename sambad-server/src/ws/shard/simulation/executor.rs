//! Polls tasks in an order that the seed decides, inside a runtime whose clock stands still while anybody can go on.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::chance::{Conditions, locked};

/// Virtual time after which a run that has not ended is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(3600);
/// Polls after which a run that has not ended goes round in circles.
const STEPS_MAX: u64 = 100_000;

pub(super) type Task = usize;

/// Tasks of one run. All are polled by one future, one a poll, so that the runtime sees to timers and yields in between.
pub(super) struct Executor {
    conditions: Arc<Conditions>,
    tasks: Vec<Spawned>,
    ready: Arc<Ready>,
    steps: u64,
}

struct Spawned {
    name: &'static str,
    /// `None` once it has ended.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Arc<TaskWaker>,
}

#[derive(Default)]
struct Ready {
    /// In the order of their numbers, as tokio wakes those who watch the same value in an order of its own.
    tasks: Mutex<BTreeSet<Task>>,
    executor: Mutex<Option<Waker>>,
}

struct TaskWaker {
    task: Task,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        locked(&self.ready.tasks).insert(self.task);
        if let Some(executor) = &*locked(&self.ready.executor) {
            executor.wake_by_ref();
        }
    }
}

impl Executor {
    pub(super) fn new(conditions: &Arc<Conditions>) -> Self {
        Self { conditions: Arc::clone(conditions), tasks: Vec::new(), ready: Arc::default(), steps: 0 }
    }

    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + 'static) -> Task {
        let number = self.tasks.len();
        let waker = Arc::new(TaskWaker { task: number, ready: Arc::clone(&self.ready) });
        // All tasks share the budget of one poll, and one that has used it up would not be polled in earnest.
        let future = Box::pin(tokio::task::unconstrained(task));
        self.tasks.push(Spawned { name, future: Some(future), waker: Arc::clone(&waker) });
        waker.wake();
        number
    }

    /// Lets all tasks go on until those of `until` have ended; `check` runs after each step.
    pub(super) async fn run_until(&mut self, until: &[Task], mut check: impl FnMut()) {
        let running = poll_fn(|cx| {
            if until.iter().all(|task| self.tasks[*task].future.is_none()) {
                return Poll::Ready(());
            }
            *locked(&self.ready.executor) = Some(cx.waker().clone());
            if self.step() {
                check();
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        if tokio::time::timeout(STUCK_AFTER, running).await.is_err() {
            let waiting = self.tasks.iter().filter(|task| task.future.is_some()).map(|task| task.name);
            panic!("nothing happens any more; unfinished: {:?}", waiting.collect::<Vec<_>>());
        }
    }

    /// Polls one of the tasks that can go on; `false` when none can.
    fn step(&mut self) -> bool {
        let task = {
            let mut ready = locked(&self.ready.tasks);
            let Some(chosen) = ready.iter().nth(self.conditions.chance.index(ready.len())).copied() else { return false };
            ready.remove(&chosen);
            chosen
        };
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the run goes round in circles");
        let Spawned { name, future, waker } = &mut self.tasks[task];
        self.conditions.note(name, task as u64, self.steps);
        if let Some(running) = future
            && running.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker)))).is_ready()
        {
            *future = None;
        }
        true
    }
}
