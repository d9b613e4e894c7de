//! Group commit: one task takes whatever is waiting and writes it in one transaction.
//!
//! **Invariant:** commit, then publish, then acknowledge. A batch is what queued while the one before was written: there is
//! no timer, so a lone command never waits, and the busier it gets the more commands share an fsync.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::command::Receipt;
use crate::error::Error;
use crate::limits::Limits;
use crate::log::Log;
use crate::store::{Request, Writer};

/// A request and where its answer goes.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Result<Receipt, Error>>,
}

/// The one task that writes.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) writer: Writer,
    pub(crate) log: Arc<Log>,
    pub(crate) limits: Limits,
}

impl Committer {
    /// Commits batches until `stop` is cancelled and everything accepted before is answered.
    ///
    /// A panic ends the process: without its committer a server would accept requests and answer none, so it is better
    /// restarted.
    pub(crate) async fn run(self, stop: CancellationToken) {
        if AssertUnwindSafe(self.commit_batches(stop)).catch_unwind().await.is_err() {
            tracing::error!("committer panicked: the process ends");
            std::process::abort();
        }
    }

    pub(crate) async fn commit_batches(mut self, stop: CancellationToken) {
        while let Some(first) = self.wait(&stop).await {
            let (requests, replies) = self.batch(first);
            let results = match self.writer.commit(&requests).await {
                Ok(committed) => {
                    self.log.publish(&committed.events, committed.head);
                    committed.results
                }
                Err(error) => refuse_all(&error, requests.len()),
            };
            for (reply, result) in replies.into_iter().zip(results) {
                // Whoever asked may have gone away; the command is carried out all the same.
                let _ = reply.send(result);
            }
        }
        self.writer.close().await;
    }

    /// Waits for the first job of a batch; `None` when no job can come any more.
    async fn wait(&mut self, stop: &CancellationToken) -> Option<Job> {
        if !self.jobs.is_closed() {
            // Jobs first: what was accepted before the stop is committed, and a stop is not urgent while work comes in.
            tokio::select! {
                biased;
                job = self.jobs.recv() => return job,
                () = stop.cancelled() => self.jobs.close(),
            }
        }
        self.jobs.recv().await
    }

    /// Adds what else is waiting, up to the bounds of a batch.
    fn batch(&mut self, first: Job) -> (Vec<Request>, Vec<oneshot::Sender<Result<Receipt, Error>>>) {
        let mut bytes = first.request.command.text_bytes();
        let mut requests = vec![first.request];
        let mut replies = vec![first.reply];
        while requests.len() < self.limits.batch_commands_max && bytes < self.limits.batch_bytes_max {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += job.request.command.text_bytes();
            requests.push(job.request);
            replies.push(job.reply);
        }
        (requests, replies)
    }
}

/// Answers a whole batch with the same failure; the first answer is logged, the others would say the same.
fn refuse_all(error: &Error, count: usize) -> Vec<Result<Receipt, Error>> {
    tracing::error!(error = error as &dyn std::error::Error, commands = count, "batch failed");
    let again = || match error {
        Error::OutcomeUnknown(_) => Error::OutcomeUnknown(None),
        Error::Internal { what, .. } => Error::Internal { what: what.clone(), source: None },
        _ => Error::Unavailable(None),
    };
    (0..count).map(|_| Err(again())).collect()
}
