//! Sessions in awkward moments: a filter changed during a replay, goodbyes of those who do not read, silence that is no silence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sambad_core::Limits;
use sambad_server::ServerConfig;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Dashboard, Ended, PATIENCE, World, soon};
use crate::slow_readers::{flood, short_tail};

/// Goal: a filter counts from the cursor that `subscribed` names, also when a page of the store was under way for the old
/// one. Method: a replay that a filter leaves empty, opened up at different moments; the next event must be the next seq.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_changed_during_a_replay_loses_nothing() {
    const N: u64 = 8_001;
    let world = World::start_with(ServerConfig::default(), short_tail()).await;
    let user = world.api.user("+919876543210").await;
    flood(&world, &user, 8_000, 500).await;
    let mut during_the_replay = 0;
    for round in 0..20 {
        let mut client = world.dashboard("after=0&types=user_created").await;
        for _ in 0..round {
            world.api.get("/livez").await;
        }
        client.send(json!({"type": "subscribe"}).to_string()).await;
        let subscribed = loop {
            let frame = client.frame().await;
            if frame["type"] == "subscribed" {
                break frame;
            }
        };
        let cursor = subscribed["data"]["cursor"].as_str().expect("a cursor");
        let seq: u64 = cursor.split('-').nth(1).and_then(|seq| seq.parse().ok()).expect("a cursor has a seq");
        if seq < N {
            assert_eq!(client.frame().await["seq"], seq + 1, "round {round}");
            during_the_replay += 1;
        }
    }
    assert!(during_the_replay > 0, "every replay was over before its filter changed");
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a ping is answered at once, not with whatever happens next. Method: one ping on a silent connection, whose next
/// heartbeat lies beyond the test's patience.
#[tokio::test]
async fn a_lone_ping_is_answered() {
    let config = ServerConfig { heartbeat: 20 * PATIENCE, ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let mut client = world.dashboard("").await;
    client.send(Message::Ping(vec![7].into())).await;
    client.pong().await;
    drop(client);
    world.finish().await;
}

/// Goal: who says goodbye and reads nothing is let go. Method: a socket that is full, a close frame, the server's own count.
#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_on_a_full_socket_ends_the_session() {
    let config = ServerConfig { stall_timeout: Duration::from_secs(600), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    let mut client = Dashboard::with_small_buffer(world.server.address(), "").await;
    flood(&world, &user, 15_000, 500).await;
    world.sessions(1).await;
    client.send(Message::Close(None)).await;
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a client that hangs up without a goodbye is told nothing: it did nothing wrong. Method: a connection closed on one
/// side only, so that it would hear of it.
#[tokio::test]
async fn a_hang_up_is_no_bad_frame() {
    let world = World::start().await;
    let mut client = world.dashboard("").await;
    client.stream().shutdown().await.expect("an open connection");
    assert_eq!(client.ended().await, Ended::Gone);
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a reader that is slow is not idle: its ping waits behind what it has not read. Method: a replay that fills its
/// socket at once, many heartbeats in which it reads nothing, then everything, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_not_idle() {
    const N: u64 = 15_000;
    let (heartbeat, pong_grace) = (Duration::from_millis(250), Duration::from_secs(1));
    let config = ServerConfig { heartbeat, pong_grace, ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    flood(&world, &user, 15_000, 500).await;
    let mut slow = Dashboard::with_small_buffer(world.server.address(), "after=1").await;
    let begun = Instant::now();
    while begun.elapsed() < heartbeat + 3 * pong_grace {
        world.api.get("/api/health").await;
    }
    for seq in 2..N + 2 {
        let frame = slow.text().await.expect("the session is open");
        assert!(frame.ends_with(&format!(r#","seq":{seq}}}"#)), "{frame} is not {seq}");
    }
    drop(slow);
    world.finish().await;
}

/// Goal: a log that grows all the time keeps nobody from coming in. Method: many readers, writers that never pause, and
/// sessions opened among them, each of which hears an answer.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_open_under_load() {
    let world = Arc::new(World::start().await);
    let user = world.api.user("+919876543210").await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut reader = world.dashboard("").await;
        readers.push(tokio::spawn(async move { while reader.text().await.is_ok() {} }));
    }
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (world, user) = (Arc::clone(&world), user.clone());
            tokio::spawn(async move { flood(&world, &user, 400, 1).await })
        })
        .collect();
    for _ in 0..10 {
        let mut client = world.dashboard("types=user_created").await;
        client.send(json!({"type": "ping"}).to_string()).await;
        client.expect("pong").await;
    }
    for writer in writers {
        soon("end of the writer", writer).await.expect("a writer does not panic");
    }
    for reader in readers {
        reader.abort();
        let _ = reader.await;
    }
    world.sessions(0).await;
    Arc::into_inner(world).expect("writers are gone").finish().await;
}
