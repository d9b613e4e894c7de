//! What a server on PostgreSQL tells a monitoring system.

use sambad_server::testing::{Database, Redis};

use crate::harness::process::Process;

/// Goal: a figure that there is not is left out, and is no zero that alarms; those of other servers are there. Method: the
/// metrics of two servers with Redis between them.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_disk_and_there_are_others() {
    let (database, redis) = tokio::join!(Database::new(), Redis::start());
    let url = redis.url();
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--redis", &url];
    let (one, other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&flags, &[]));
    one.api.users(3).await;
    // Asking for what comes after the first two waits until it is there.
    assert_eq!(other.api.get("/api/events?after=2&wait=20").await.json()["head"], 3);
    let metrics = other.api.get("/metrics").await.text;
    let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
    assert_eq!(value("sambad_disk_free_bytes"), None);
    assert_eq!(value("sambad_broker_connected"), Some(1.0));
    assert!(value("sambad_broker_messages_received_total") > Some(0.0), "{metrics}");
}
