//! WebSockets over TLS: the same promises through encryption.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sambad_server::ServerConfig;
use serde_json::json;
use tokio::time::sleep;

use crate::tls::secure;

/// Events of about 4 KiB each: together far more than sockets and records hold.
async fn fill(world: &crate::harness::World, n: usize) {
    let user = world.api.user("+919876543210").await;
    let content = "x".repeat(4_000);
    let send = |_| {
        let (api, user, content) = (world.api.clone(), user.clone(), content.clone());
        async move { api.send_message(&user, &user, &content).await.seq().expect("a message is an event") }
    };
    assert_eq!(stream::iter(0..n).map(send).buffer_unordered(32).count().await, n);
}

/// Goal: a replay of many records, what is said meanwhile, and live events come whole and in order. Method: 4 MiB from the
/// beginning of the log; pings, a new filter, then an event.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_replay_comes_whole() {
    const N: usize = 1_000;
    let (world, certificate) = secure(ServerConfig::default()).await;
    fill(&world, N).await;
    let mut dashboard = certificate.dashboard(world.server.address(), "after=0", false).await;
    let expected: Vec<u64> = (1..=N as u64 + 1).collect();
    assert_eq!(dashboard.seqs(N + 1).await, expected);
    dashboard.send(r#"{"type":"ping"}"#).await;
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "pong") {
        kinds
            .push(dashboard.frame().await.expect("the session is open")["type"].as_str().expect("frames have a type").to_owned());
    }
    assert!(kinds == ["live", "pong"] || kinds == ["pong"], "{kinds:?}");
    world.api.user("+919876543211").await;
    assert_eq!(dashboard.seqs(1).await, [N as u64 + 2]);
    drop(dashboard);
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a client slower than the log loses nothing, and its last frame does not wait for the next event. Method: a receive
/// buffer of 4 KiB that is read in small steps while 3 MiB are written; then silence, without a heartbeat, in which
/// the last event must come.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything() {
    const N: usize = 800;
    let (world, certificate) = secure(ServerConfig { heartbeat: Duration::from_secs(3_600), ..ServerConfig::default() }).await;
    let mut slow = certificate.dashboard(world.server.address(), "", true).await;
    assert_eq!(slow.frame().await.expect("a session")["type"], "connected");
    fill(&world, N).await;
    for expected in 1..=N as u64 + 1 {
        if expected % 100 == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(slow.seqs(1).await, [expected]);
    }
    world.finish().await;
}

/// Goal: a client that reads nothing is given up in time, and nobody else notices. Method: a stall time of 2 s, more than
/// the socket holds; the session's end, and the events at another client.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_is_given_up() {
    const N: usize = 2_000;
    let config = ServerConfig { stall_timeout: Duration::from_secs(2), ..ServerConfig::default() };
    let (world, certificate) = secure(config).await;
    let stalled = certificate.dashboard(world.server.address(), "", true).await;
    let mut healthy = certificate.dashboard(world.server.address(), "", false).await;
    let reading = tokio::spawn(async move {
        let seqs = healthy.seqs(N + 1).await;
        (healthy, seqs)
    });
    fill(&world, N).await;
    let (healthy, seqs) = reading.await.expect("it does not panic");
    assert_eq!(seqs, (1..=N as u64 + 1).collect::<Vec<_>>());
    world.sessions(1).await;
    drop((stalled, healthy));
    world.finish().await;
}

/// Goal: goodbyes go both ways, and a client that vanishes leaves nothing behind. Method: sessions that are closed, dropped,
/// and drained.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_as_they_should() {
    let (world, certificate) = secure(ServerConfig { heartbeat: Duration::from_millis(200), ..ServerConfig::default() }).await;
    let address = world.server.address();
    let mut pinged = certificate.dashboard(address, "", false).await;
    drop(certificate.dashboard(address, "", false).await);
    assert_eq!(pinged.frame().await.expect("a session")["type"], "connected");
    // Frames that nobody asked for end a session.
    let mut rude = certificate.dashboard(address, "", false).await;
    rude.frame().await.expect("a session");
    for _ in 0..5 {
        rude.send("nonsense").await;
        assert_eq!(rude.frame().await.expect("an answer")["type"], "error");
    }
    assert_eq!(rude.frame().await, Err(Some(4500)));
    world.sessions(1).await;
    // Heartbeats are answered: several times the grace of a silent peer is no problem.
    let user = world.api.user("+919876543210").await;
    assert_eq!(pinged.seqs(1).await, [1]);
    let listed = world.api.get("/api/admin/sessions").await.json();
    assert_eq!(listed["total"], json!(1), "{user}");
    let server = world.server;
    let (ended, ()) = tokio::join!(pinged.frame(), async { drop(server.stop().await) });
    assert_eq!(ended, Err(Some(4000)));
}
