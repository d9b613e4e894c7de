//! PostgreSQL between servers: NOTIFY says how far the log reaches.
//!
//! It is sent after COMMIT and apart from it, on a connection that reads: within the transaction it would make all servers'
//! commits wait for each other from its beginning to its end. What is committed while one is sent goes with the next.

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Backoff, Context, HEARTBEAT_INTERVAL, SILENCE_MAX};
use crate::cursor::Seq;
use crate::error::Error;
use crate::store::{Notices, Store};

const NAME: &str = "postgres";

/// Connects, and starts to send and to receive.
pub(super) async fn start(store: &Store, context: Context) -> Result<(watch::Sender<Seq>, Vec<JoinHandle<()>>), Error> {
    let notices = store.notices(context.epoch).await?;
    context.note(true, NAME, None);
    let (heads, committed) = watch::channel(context.merge.log().bounds().head);
    let tasks =
        vec![tokio::spawn(send(store.clone(), committed, context.clone())), tokio::spawn(run(store.clone(), notices, context))];
    Ok((heads, tasks))
}

/// Sends the head whenever it has moved here, and now and then, until the committer has ended.
async fn send(store: Store, mut committed: watch::Receiver<Seq>, context: Context) {
    loop {
        if let Ok(Err(_)) = timeout(HEARTBEAT_INTERVAL, committed.changed()).await {
            return;
        }
        let head = (*committed.borrow_and_update()).max(context.merge.log().bounds().head);
        match store.notify(context.epoch, head).await {
            Ok(()) => context.stats.broker.sent.add(1),
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "notification was not sent"),
        }
    }
}

async fn run(store: Store, notices: Notices, context: Context) {
    let stop = context.stop.clone();
    let _ = stop.run_until_cancelled(receive(&store, notices, &context)).await;
}

async fn receive(store: &Store, notices: Notices, context: &Context) {
    let mut notices = Some(notices);
    let mut backoff = Backoff::new();
    loop {
        let error = match notices.take() {
            Some(notices) => take_all(notices, context, &mut backoff).await,
            None => match store.notices(context.epoch).await {
                Ok(again) => {
                    notices = Some(again);
                    continue;
                }
                Err(error) => error,
            },
        };
        context.note(false, NAME, Some(&error));
        sleep(backoff.next()).await;
    }
}

/// Takes notices until the connection ends or falls silent: there are heartbeats, our own among them.
async fn take_all(mut notices: Notices, context: &Context, backoff: &mut Backoff) -> Error {
    loop {
        let head = match timeout(SILENCE_MAX, notices.next()).await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return error,
            Err(elapsed) => return Error::Unavailable(Some(elapsed.into())),
        };
        context.note(true, NAME, None);
        *backoff = Backoff::new();
        match head {
            Some(head) => {
                context.stats.broker.received.add(1);
                context.merge.offer(&[], head);
            }
            None => context.reject(NAME),
        }
    }
}
