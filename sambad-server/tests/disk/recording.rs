//! What was done to a disk while writers were told this and that, and what is left of it when the power is cut.

use std::path::PathBuf;
use std::sync::Arc;

use sambad_core::{Command, Config, Sambad};
use tempfile::TempDir;

use crate::layer::Op;
use crate::load::{Outcome, Write};
use crate::platter::State;
use crate::rows::{self, Stored};

/// All that was done to a disk, and what writers were told meanwhile.
pub(crate) struct Recording {
    pub(crate) ops: Vec<Op>,
    /// How long the log of operations was at an acknowledgement, and the seq; by the first.
    pub(crate) acknowledged: Vec<(u64, u64)>,
    /// What every state's log must be a beginning of.
    pub(crate) log: Arc<[Stored]>,
}

impl Recording {
    pub(crate) fn new(ops: Vec<Op>, writes: &[Write], log: Vec<Stored>) -> Self {
        let acknowledged = |write: &Write| match write.outcome {
            Outcome::Acknowledged { seq, log_bytes, .. } => Some((log_bytes, seq)),
            Outcome::Refused | Outcome::Unknown => None,
        };
        let mut acknowledged: Vec<_> = writes.iter().filter_map(acknowledged).collect();
        acknowledged.sort_unstable();
        Self { ops, acknowledged, log: log.into() }
    }

    /// The highest seq that was acknowledged while the log of operations was at most `bytes` long.
    pub(crate) fn acknowledged_by(&self, bytes: u64) -> u64 {
        let before = self.acknowledged.partition_point(|(at, _)| *at <= bytes);
        self.acknowledged[..before].iter().map(|(_, seq)| *seq).max().unwrap_or(0)
    }
}

/// Opens a state with the core, as a server would, and compares it with what was written and what was acknowledged.
pub(crate) async fn recover(state: State, acknowledged: u64, whole: Arc<[Stored]>, what: String) -> Result<(), String> {
    let folder = memory();
    state.write(folder.path());
    let path = folder.path().join("sambad.db");
    let recovered = async {
        let database = format!("sqlite:{}", path.display());
        let sambad = Sambad::open(Config::new(database)).await.map_err(|error| chain(&error))?;
        let head = sambad.bounds().head;
        if head.0 < acknowledged {
            return Err(format!("{acknowledged} was acknowledged, and the log ends at {head}"));
        }
        rows::check(&path).await?;
        if rows::log(&path).await?[..] != whole[..usize::try_from(head.0).unwrap().min(whole.len())] {
            return Err("the log is not what was written".into());
        }
        // It is a server's database again: the next write is the next event.
        let command = Command::Login { phone: "+14155550109".parse().unwrap(), name: None };
        let receipt = sambad.execute(command, None).await.map_err(|error| chain(&error))?;
        if receipt.seq != Some(head.next()) {
            return Err(format!("the event after {head} is {:?}", receipt.seq));
        }
        sambad.shutdown().await;
        Ok(())
    };
    recovered.await.map_err(|wrong: String| format!("{what}: {wrong}"))
}

/// A folder in memory where there is one: hundreds of databases are opened, and none is to survive.
fn memory() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
