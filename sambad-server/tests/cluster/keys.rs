//! An idempotency key is good on every server.

use sambad_server::testing::Database;
use serde_json::json;

use crate::harness::audit_shared;
use crate::harness::process::Process;

/// Keys that two servers get at the same time.
const KEYS: usize = 40;

/// Goal: a write that is tried again on another server is stored once, and both answers are the first one's. Method: each key to
/// two servers at the same time, and then once more; another body with it is refused on both.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_may_go_to_another_server() {
    let database = Database::new().await;
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url()];
    let (one, other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&flags, &[]));
    let me = one.api.user("+442071838750").await;
    for n in 0..KEYS {
        let (key, body) = (format!("key-{n}"), json!({ "fromUserId": me, "toUserId": me, "content": format!("message {n}") }));
        let headers = [("idempotency-key", key.as_str())];
        let send = async |server: &Process| server.api.post_with("/api/messages", &headers, &body).await;
        let (first, second) = tokio::join!(send(&one), send(&other));
        assert_eq!((first.status, second.status), (201, 201), "{first:?} {second:?}");
        let replays = [&first, &second].map(|answer| answer.header("idempotent-replayed").is_some());
        assert!(replays[0] != replays[1], "one of them is the first: {first:?} {second:?}");
        let third = send(if replays[0] { &one } else { &other }).await;
        assert_eq!((&first.text, &first.text), (&second.text, &third.text));
        let another = json!({ "fromUserId": me, "toUserId": me, "content": "something else" });
        for server in [&one, &other] {
            server.api.post_with("/api/messages", &headers, &another).await.refused(422, "idempotency_key_reused");
        }
    }
    assert_eq!(audit_shared(&one.api).await.len(), KEYS + 1);
}
