//! `kill -9`: what was acknowledged is on disk.

use std::collections::HashMap;
use std::path::Path;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::mpsc;

use crate::harness::process::Process;
use crate::harness::{Api, Dashboard, audit, soon};

const KILLS: u64 = 5;
const CONNECTIONS: u64 = 16;

/// An acknowledged write: its seq and the id of its row.
type Acknowledged = (u64, String);

/// Goal: whatever was acknowledged before a `kill -9` is a row and an event, seq has no hole, and rows = events. Method: writers
/// over many connections, kills after a random number of answers, and a recount on each restart. SAMBAD_TEST_SEED repeats a run.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kills() {
    let seed = std::env::var("SAMBAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SAMBAD_TEST_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        let (written, delivered) = write_until_killed(directory.path(), round, rng.usize(1..400)).await;
        acknowledged.extend(written);
        recount(directory.path(), &acknowledged, delivered).await;
    }
}

/// Writes over many connections and kills the server after `answers` of them. Gives what was acknowledged, and the last seq
/// that a dashboard saw.
async fn write_until_killed(directory: &Path, round: u64, answers: usize) -> (Vec<Acknowledged>, u64) {
    let server = Process::start(directory).await;
    let users = server.api.users(4).await;
    let mut dashboard = Dashboard::connect(server.address, "after=0").await;
    let (progress, mut progressed) = mpsc::unbounded_channel();
    let writers: Vec<_> = (0..CONNECTIONS)
        .map(|writer| tokio::spawn(write(server.api.clone(), users.clone(), round * CONNECTIONS + writer, progress.clone())))
        .collect();
    for _ in 0..answers {
        soon("answer", progressed.recv()).await;
    }
    server.kill().await;
    let written = join_all(writers).await.into_iter().flat_map(|written| written.expect("writers do not panic")).collect();
    let mut delivered = 0;
    while let Ok(text) = dashboard.text().await {
        let frame: serde_json::Value = serde_json::from_str(&text).expect("frames are JSON");
        delivered = frame["seq"].as_u64().unwrap_or(delivered);
    }
    (written, delivered)
}

/// Writes messages and users, each until the server is gone.
async fn write(api: Api, users: Vec<String>, writer: u64, progress: mpsc::UnboundedSender<()>) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for i in 0.. {
        let (path, body) = if i % 4 == 0 {
            ("/api/users/login", json!({ "phone": format!("+44{writer:03}{i:06}") }))
        } else {
            ("/api/messages", json!({ "fromUserId": users[i % 4], "toUserId": users[(i + 1) % 4], "content": "x" }))
        };
        let Ok(answer) = api.try_post(path, &body).await else { break };
        acknowledged.push((answer.seq().unwrap_or_else(|| panic!("no event: {answer:?}")), answer.text_at("id")));
        let _ = progress.send(());
    }
    acknowledged
}

/// Restarts the server and compares rows, events, what was acknowledged and what was delivered.
async fn recount(directory: &Path, acknowledged: &[Acknowledged], delivered: u64) {
    let server = Process::start(directory).await;
    let log = audit(&server.api).await;
    assert!(delivered <= log.len() as u64, "{delivered} was seen and is not stored: a crash took it back");
    let mut rows = HashMap::new();
    for path in ["/api/users?limit=500", "/api/messages?limit=500"] {
        for row in server.api.walk(path).await.0 {
            rows.insert(row["id"].to_string(), row["created_at"].clone());
        }
    }
    assert_eq!(rows.len(), log.len(), "rows and events differ in number");
    for event in &log {
        assert_eq!(rows.get(&event["data"]["id"].to_string()), Some(&event["timestamp"]), "{event} has no row");
    }
    for (seq, id) in acknowledged {
        let event = usize::try_from(*seq).ok().and_then(|seq| log.get(seq - 1));
        assert_eq!(event.and_then(|event| event["data"]["id"].as_str()), Some(id.as_str()), "{seq} was acknowledged");
    }
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
}
