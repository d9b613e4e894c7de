//! The shipped binary under libfaketime, whose wall clock a file moves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sambad_core::Timestamp;
use serde_json::{Value, json};

use super::process::Process;
use super::soon;

/// The wall clock of a process: by how much it is wrong can be changed while the process runs.
pub(crate) struct WrongClock {
    offset: PathBuf,
    library: PathBuf,
}

impl WrongClock {
    /// A clock that is right, with its file in `directory`.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
            .map(|triplet| PathBuf::from(format!("/usr/lib/{triplet}/faketime/libfaketime.so.1")))
            .into_iter()
            .find(|library| library.exists())
            .expect("libfaketime is installed: see scripts/test.sh");
        let clock = Self { offset: directory.join(name), library };
        clock.set("+0");
        clock
    }

    /// Makes a step, such as `+26h`.
    pub(crate) fn set(&self, offset: &str) {
        let fresh = self.offset.with_extension("new");
        std::fs::write(&fresh, offset).expect("the offset can be written");
        std::fs::rename(fresh, &self.offset).expect("the offset takes effect at once");
    }

    /// The environment of a process with this clock, which believes a step after `settle`.
    pub(crate) fn env<'a>(&'a self, settle: &'a str) -> [(&'a str, &'a str); 5] {
        [
            ("LD_PRELOAD", text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.offset)),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("SAMBAD_CLOCK_SETTLE", settle),
        ]
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// Waits until the server's health says so.
pub(crate) async fn until(server: &Process, what: &str, holds: impl Fn(&Value) -> bool) {
    soon(what, async {
        while !holds(&server.api.get("/api/health").await.json()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

pub(crate) async fn trusted(server: &Process) {
    until(server, "trusted clock", |health| health["clock_trusted"] == true).await;
}

/// Logs a user in under a key; when the user was made, the seq and whether that is the answer of a retry.
pub(crate) async fn login(server: &Process, number: u64, key: &str) -> (Timestamp, Option<u64>, bool) {
    let key = key.replace(' ', "-");
    let body = json!({ "phone": format!("+91{}", 9_000_000_000 + number) });
    let answer = server.api.post_with("/api/users/login", &[("idempotency-key", &key)], body).await;
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    let created_at = answer.json()["user"]["created_at"].as_str().expect("an instant").parse().expect("RFC 3339");
    (created_at, answer.seq(), answer.header("idempotent-replayed").is_some())
}
