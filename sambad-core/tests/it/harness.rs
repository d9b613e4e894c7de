//! A core on a database of its own.

use std::time::Duration;

use sambad_core::{Command, Config, Limits, Outcome, Receipt, Retention, Sambad, Seq};

use crate::database::TestDatabase;

/// Between two looks at what changes without a word.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Core {
    pub(crate) sambad: Sambad,
    pub(crate) database: TestDatabase,
}

impl Core {
    pub(crate) async fn start(database: TestDatabase, limits: Limits) -> Self {
        Self::start_keeping(database, limits, Retention::Forever).await
    }

    pub(crate) async fn start_keeping(database: TestDatabase, limits: Limits, retention: Retention) -> Self {
        let sambad = Sambad::open(Config { limits, retention, ..Config::new(database.url()) }).await.unwrap();
        Self { sambad, database }
    }

    /// Waits until what is old may go.
    pub(crate) async fn trusts_its_clock(&self) {
        while !self.sambad.clock().is_trusted() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Stops the core and gives back its database.
    pub(crate) async fn stop(self) -> TestDatabase {
        self.sambad.shutdown().await;
        drop(self.sambad);
        self.database
    }
}

/// The limits of a core whose clock is trusted soon: nothing grows old before.
pub(crate) fn settling_soon() -> Limits {
    Limits { clock_settle: Duration::from_millis(100), ..Limits::default() }
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
