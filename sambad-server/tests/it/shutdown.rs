//! How a server ends: what it accepted is kept, and everybody is told to come back.

use std::time::Duration;

use futures_util::future::join_all;
use sambad_core::Limits;
use sambad_server::ServerConfig;

use crate::harness::{Dashboard, Ended, World, audit, soon};

/// Goal: every session is told when to come back, spread over the window. Method: 20 sessions, idle and replaying.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_told_to_come_back() {
    let config = ServerConfig { drain_window: Duration::from_secs(1000), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    world.api.users(10).await;
    let mut dashboards = Vec::new();
    for _ in 0..20 {
        dashboards.push(world.dashboard("").await);
    }
    let ends = tokio::spawn(async move { join_all(dashboards.iter_mut().map(Dashboard::ended)).await });
    audit(&world.api).await;
    soon("end of the server", world.server.stop()).await;
    let mut delays = Vec::new();
    for ended in ends.await.expect("no dashboard panics") {
        let Ended::Closed(4000, reason) = ended else { panic!("expected a drain, not {ended:?}") };
        let delay = reason.strip_prefix("drain reconnect_after_ms=").and_then(|delay| delay.parse::<u64>().ok());
        delays.push(delay.unwrap_or_else(|| panic!("no delay in {reason}")));
    }
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 10 && delays.iter().all(|delay| *delay < 1_000_000), "{delays:?}");
}

/// Goal: readiness fails first, while everything is still served; then sessions are told, and new ones are refused. Method: a
/// drain that is announced for three seconds, within which a write, its delivery and a new session go as ever.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_fails_first() {
    let config = ServerConfig { drain_delay: Duration::from_secs(3), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let mut dashboard = world.dashboard("").await;
    let (api, address) = (world.api.clone(), world.server.address());
    let stopped = tokio::spawn(world.server.stop());
    soon("readiness to fail", async {
        while api.get("/readyz").await.status == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    api.get("/readyz").await.refused(503, "unavailable");
    assert_eq!(api.get("/livez").await.status, 200);
    api.user("+919876543210").await;
    assert_eq!(dashboard.seq().await, 1);
    let mut late = Dashboard::connect(address, "after=0").await;
    assert_eq!(late.seq().await, 1);
    late.expect("live").await;
    for mut dashboard in [dashboard, late] {
        let Ended::Closed(4000, reason) = dashboard.ended().await else { panic!("expected a drain") };
        assert!(reason.starts_with("drain reconnect_after_ms="), "{reason}");
    }
    soon("end of the server", stopped).await.expect("the server does not panic");
}

/// Goal: a browser that comes back too early is told again when to, in a form that it understands. Method: a session that does not
/// answer its goodbye keeps the door open; a stream is asked for meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_come_early_are_told_again() {
    let world = World::start().await;
    let mut deaf = world.raw().await;
    deaf.write(crate::ws::handshake("after=0")).await;
    world.sessions(1).await;
    let (api, mut early) = (world.api.clone(), world.raw().await);
    let stopped = tokio::spawn(world.server.stop());
    soon("readiness to fail", async {
        while api.get("/readyz").await.status == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer = early.ask("GET /api/events/stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let delay = answer.text.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
    assert!(delay.is_some_and(|millis| millis.parse::<u64>().is_ok()), "{answer:?}");
    soon("end of the server", stopped).await.expect("the server does not panic");
}

/// Goal: a poll that waits is answered when the server stops. Method: the longest wait, then a stop once it is under way.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_polls_are_answered() {
    let world = World::start().await;
    let mut raw = world.raw().await;
    // Two requests on one connection: the answer to the first says that the server has begun to read the second.
    raw.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /api/events?after=0&wait=30 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.text, "ok\n");
    soon("end of the server", world.server.stop()).await;
    let answer = raw.answer().await;
    answer.is(200, r#"{"events":[],"cursor":"EPOCH-0","head":0,"first":1}"#);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(answer.header("sambad-reconnect-after-ms").is_some_and(|millis| millis.parse::<u64>().is_ok()), "{answer:?}");
    raw.end().await;
}

/// Goal: what was acknowledged before the stop is there after it. Method: writers that go on until they are refused, a restart,
/// and each acknowledged seq looked up.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_outlive_a_stop() {
    let world = World::start().await;
    let asha = world.api.user("+919876543210").await;
    let (progress, mut progressed) = tokio::sync::mpsc::unbounded_channel();
    let writers = (0..8).map(|writer| {
        let (api, asha, progress) = (world.api.clone(), asha.clone(), progress.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            loop {
                let content = format!("{writer} {}", acknowledged.len());
                let body = serde_json::json!({ "fromUserId": asha, "toUserId": asha, "content": content });
                match api.try_post("/api/messages", &body).await {
                    Ok(answer) if answer.status == 201 => acknowledged.push((answer.seq(), content)),
                    Ok(answer) => {
                        answer.refused(503, "unavailable");
                        return acknowledged;
                    }
                    Err(_) => return acknowledged,
                }
                let _ = progress.send(());
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..100 {
        soon("progress", progressed.recv()).await;
    }
    let directory = soon("end of the server", world.server.stop()).await;
    let world = World::restart(directory).await;
    let log = audit(&world.api).await;
    for (seq, content) in join_all(writers).await.into_iter().flat_map(|acknowledged| acknowledged.expect("no writer panics")) {
        let event = &log[usize::try_from(seq.expect("a message has a seq")).expect("a short log") - 1];
        assert_eq!(event["data"]["content"], content);
    }
    assert!(log.len() > 100);
    world.finish().await;
}

/// Goal: clients that vanish leave nothing behind. Method: 50 sessions dropped without a goodbye, some amid a replay.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_vanished_clients_end() {
    let world = World::start().await;
    world.api.users(200).await;
    let mut dashboards = Vec::new();
    for i in 0..50 {
        dashboards.push(world.dashboard(if i % 2 == 0 { "" } else { "after=0" }).await);
    }
    world.sessions(50).await;
    drop(dashboards);
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a client that hangs up between handshake and upgrade holds no place. Method: as many handshakes as there are places, cut off.
#[tokio::test]
async fn abandoned_handshakes_hold_no_place() {
    let config = ServerConfig { sessions_max: 3, ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    for _ in 0..3 {
        let mut raw = world.raw().await;
        raw.write(crate::ws::handshake("after=0")).await;
    }
    world.sessions(0).await;
    drop(world.dashboard("").await);
    world.sessions(0).await;
    world.finish().await;
}
