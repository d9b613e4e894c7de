//! When there is too much or too little: what cannot be had is refused at once, and everything else goes on.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::harness::process::{Process, database};
use crate::harness::{Dashboard, Raw, audit, soon};

const HEAD: &str = "POST /api/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

/// Goal: while writes queue up, another is refused before its body is read, health and sessions go on, and what waited is
/// written. Method: the database locked by another connection, a queue of one that is full, a request whose body never comes.
#[tokio::test(flavor = "multi_thread")]
async fn writes_are_refused_before_their_body_is_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = database(directory.path());
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--queue-commands-max", "1"];
    let server = Process::start_with(&args, &[]).await;
    let asha = server.api.user("+919876543210").await;
    let mut dashboard = Dashboard::connect(server.address, "").await;
    let mut lock = SqliteConnection::connect(&database).await.expect("the database opens");
    sqlx::query("begin immediate").execute(&mut lock).await.expect("nobody else writes");
    let waiting: Vec<_> = (0..20)
        .map(|i| {
            let (api, body) = (server.api.clone(), json!({ "fromUserId": asha, "toUserId": asha, "content": format!("{i}") }));
            tokio::spawn(async move { api.post("/api/messages", body).await })
        })
        .collect();
    soon("refusal", async {
        loop {
            let mut raw = Raw::connect(server.address).await;
            raw.write(format!("{HEAD}content-length: 60000\r\n\r\n")).await;
            // Without a full queue no answer comes, as the body does not.
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(200), raw.answer()).await {
                answer.refused(503, "overloaded");
                assert_eq!(answer.header("retry-after"), Some("1"));
                break;
            }
        }
    })
    .await;
    assert_eq!(server.api.get("/api/health").await.status, 200);
    assert_eq!(server.api.get("/api/users").await.status, 200);
    dashboard.send(r#"{"type":"ping"}"#.to_owned()).await;
    dashboard.expect("pong").await;
    sqlx::query("rollback").execute(&mut lock).await.expect("the lock is ours");
    let answers = join_all(waiting).await.into_iter().map(|answer| answer.expect("no task panics"));
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 201);
    assert!(!accepted.is_empty() && !refused.is_empty(), "{} accepted, {} refused", accepted.len(), refused.len());
    for answer in refused {
        answer.refused(503, "overloaded");
    }
    assert_eq!(dashboard.seqs(accepted.len()).await.len(), accepted.len());
    assert_eq!(audit(&server.api).await.len(), 1 + accepted.len());
}

/// Goal: a server without a descriptor left goes on serving those it has, and takes new connections once there are some.
/// Method: a limit of 64, more connections than that, a write and its delivery meanwhile, then all of them dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_descriptors_goes_on() {
    const LIMIT: usize = 64;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start_limited(LIMIT, directory.path()).await;
    let mut dashboard = Dashboard::connect(server.address, "").await;
    let mut writer = Raw::connect(server.address).await;
    let login = |phone: &str| {
        let body = json!({ "phone": phone }).to_string();
        let length = body.len();
        format!(
            "POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    assert_eq!(writer.ask(login("+919000000001")).await.status, 200);
    let others = join_all((0..2 * LIMIT).map(|_| Raw::connect(server.address))).await;
    soon("exhaustion", async {
        while server.descriptors() < LIMIT {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(writer.ask(login("+919000000002")).await.status, 200);
    assert_eq!(dashboard.seqs(2).await, [1, 2]);
    drop(others);
    assert_eq!(server.api.get("/api/health").await.status, 200);
    assert_eq!(audit(&server.api).await.len(), 2);
}
