//! The threads of a run: each has a runtime and a recorder of its own and talks to the coordinator by messages.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::LocalSet;

use crate::load::plan::{Phase, Shared};
use crate::load::recorder::Recorder;

/// What a thread tells the coordinator.
#[derive(Debug)]
pub(crate) enum Message {
    /// What it recorded in the given second of the load.
    Recorded(u32, Box<Recorder>),
    /// All its sessions are open.
    Opened,
    /// It is done; what it recorded since the last second, or why it could not go on.
    Ended(Box<anyhow::Result<Recorder>>),
}

/// Starts a thread that runs `work` on a runtime of its own and reports how it ended, whatever happens.
///
/// # Errors
/// When the system has no thread left.
pub(crate) fn spawn<F>(
    name: String,
    niceness: i32,
    messages: Sender<Message>,
    work: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<JoinHandle<()>>
where
    F: Future<Output = anyhow::Result<Recorder>> + 'static,
{
    let body = move || {
        // On Linux this is the thread's own. Without the right to it, threads are equal: good enough.
        let _ = rustix::process::nice(niceness);
        let outcome = runtime().and_then(|runtime| {
            let local = LocalSet::new();
            let outcome = local.block_on(&runtime, work());
            // A name look-up that hangs must not keep the thread.
            runtime.shutdown_background();
            outcome
        });
        // Nobody listens when the coordinator has given up.
        let _ = messages.send(Message::Ended(Box::new(outcome)));
    };
    Builder::new().name(name).spawn(body).context("cannot start a thread")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // Sockets and the timer are looked at after so many tasks: a thousand deliveries in hand must not keep a write
    // waiting for long.
    const EVENT_INTERVAL: u32 = 31;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build()
        .context("cannot start a runtime")
}

/// Sends what was recorded at the end of each second of the load.
pub(crate) async fn hand_over_every_second(shared: Arc<Shared>, recorder: Rc<RefCell<Recorder>>, messages: Sender<Message>) {
    shared.reached(Phase::Load).await;
    for second in 0.. {
        let at = shared.clock.instant(shared.begin_ns()) + Duration::from_secs(u64::from(second) + 1);
        tokio::time::sleep_until(at.into()).await;
        let sample = recorder.borrow_mut().take();
        if messages.send(Message::Recorded(second, Box::new(sample))).is_err() {
            return;
        }
    }
}
