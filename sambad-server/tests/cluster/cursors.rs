//! A place in the log is the same on every server.

use sambad_server::testing::{Database, Redis};

use crate::harness::process::Process;
use crate::harness::{Dashboard, EventSource};

/// Goal: a cursor that one server gave is good on another, by every transport. Method: writes to the one, resumed on the other
/// from the middle, with the broker that carries events and with those that carry a hint or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_on_another_server() {
    let redis = Redis::start().await;
    for broker in [&["--redis", &redis.url()][..], &["--broker", "postgres"], &["--broker", "local"]] {
        let database = Database::new().await;
        let flags = [&["--listen", "127.0.0.1:0", "--database", database.url()], broker].concat();
        let (one, other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&flags, &[]));
        one.api.users(3).await;
        let cursor = one.api.cursor().await;
        one.api.users(6).await;

        let mut dashboard = Dashboard::connect(other.address, &format!("after={cursor}")).await;
        assert_eq!(dashboard.seqs_past_live(3).await, [4, 5, 6], "{broker:?}");
        let mut source = EventSource::open(other.address, &format!("after={cursor}")).await;
        let page = other.api.get(&format!("/api/events?after={cursor}")).await.json();
        assert_eq!((&page["events"][0]["seq"], &page["head"]), (&4.into(), &6.into()), "{broker:?}: {page}");

        // And what is written from now on arrives there as well, whichever way the news takes.
        one.api.user("+442071838750").await;
        assert_eq!(dashboard.seqs_past_live(1).await, [7], "{broker:?}");
        other.api.user("+442071838751").await;
        assert_eq!(dashboard.seqs(1).await, [8], "{broker:?}");
        let mut seqs = Vec::new();
        while seqs.last() != Some(&8) {
            let message = source.message().await.expect("the stream goes on");
            seqs.extend(crate::harness::source::seq(&message));
        }
        assert_eq!(seqs, [4, 5, 6, 7, 8], "{broker:?}");
    }
}

/// Goal: a cursor may come to a server before the news of it does, and is then no cursor from the future. Method: a server that
/// hears of nothing and looks at the log once a minute, asked by WebSocket, stream and poll for what follows a cursor of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_may_be_ahead_of_the_news() {
    let database = Database::new().await;
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--broker", "local"];
    let deaf = [&flags[..], &["--poll-interval", "60s"]].concat();
    let (one, other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&deaf, &[]));
    one.api.users(3).await;
    let cursor = one.api.cursor().await;
    let page = other.api.get(&format!("/api/events?after={cursor}")).await;
    assert_eq!((page.status, page.json()["cursor"].as_str()), (200, Some(&*cursor)), "{page:?}");
    let mut dashboard = Dashboard::connect(other.address, &format!("after={cursor}")).await;
    let mut source = EventSource::open(other.address, &format!("after={cursor}")).await;
    // Its own write takes the place after what it has not heard of, and makes it read that.
    assert_eq!(other.api.post("/api/users/login", serde_json::json!({ "phone": "+442071838750" })).await.seq(), Some(4));
    assert_eq!(dashboard.seqs_past_live(1).await, [4]);
    let mut told = Vec::new();
    while told.last().and_then(|message: &String| crate::harness::source::seq(message)).is_none() {
        told.push(source.message().await.expect("the stream goes on"));
    }
    assert_eq!(crate::harness::source::seq(told.last().unwrap()), Some(4), "{told:?}");
    assert!(!told.iter().any(|message| message.contains("resync")), "{told:?}");
}
