//! A core on a database of its own.

use sambad_core::{Command, Config, Limits, Outcome, Receipt, Retention, Sambad, Seq};
use tempfile::TempDir;

pub(crate) struct Core {
    pub(crate) sambad: Sambad,
    directory: TempDir,
}

impl Core {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), limits).await
    }

    pub(crate) async fn start_in(directory: TempDir, limits: Limits) -> Self {
        Self::start_keeping(directory, limits, Retention::Forever).await
    }

    pub(crate) async fn start_keeping(directory: TempDir, limits: Limits, retention: Retention) -> Self {
        let sambad = Sambad::open(Config { limits, retention, ..Config::new(database(&directory)) }).await.unwrap();
        Self { sambad, directory }
    }

    /// Stops the core and gives back its database.
    pub(crate) async fn stop(self) -> TempDir {
        self.sambad.shutdown().await;
        drop(self.sambad);
        self.directory
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("test.db")
    }
}

fn database(directory: &TempDir) -> String {
    format!("sqlite:{}", directory.path().join("test.db").display())
}

/// A login of user number `number`.
pub(crate) fn login(number: u64) -> Command {
    Command::Login { phone: format!("+91{:010}", 9_000_000_000 + number).parse().unwrap(), name: None }
}

pub(crate) fn seq(receipt: &Receipt) -> Option<u64> {
    receipt.seq.map(|Seq(seq)| seq)
}

pub(crate) fn user_id(receipt: &Receipt) -> sambad_core::UserId {
    match &receipt.outcome {
        Outcome::LoggedIn { user, .. } => user.id,
        other => panic!("{other:?}"),
    }
}
