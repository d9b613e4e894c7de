//! `/api/events/stream`: readers that are slow, that stand still, that go; places, and the end of the server.

use std::time::Duration;

use futures_util::future::join_all;
use sambad_core::Limits;
use sambad_server::ServerConfig;

use crate::harness::{Dashboard, EventSource, World, audit, soon, source};
use crate::slow_readers::{flood, short_tail};

/// Goal: a reader that stands still costs nobody anything and loses nothing. Method: 20,000 events (14 MB, far beyond what
/// the kernel holds) while it does not read; a healthy reader has them all before it begins; then it reads all, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything_and_delays_nobody() {
    const N: u64 = 20_000;
    let config = ServerConfig { stall_timeout: Duration::from_secs(600), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    let mut slow = EventSource::with_small_buffer(world.server.address(), "after=1").await;
    let mut healthy = EventSource::open(world.server.address(), "after=1").await;
    for source in [&mut slow, &mut healthy] {
        source.skip(2).await;
    }
    let reader = tokio::spawn(async move { healthy.seqs(20_000).await });
    flood(&world, &user, 20_000, 500).await;
    let expected: Vec<u64> = (2..N + 2).collect();
    assert_eq!(soon("end of the healthy reader", reader).await.expect("it does not panic"), expected);
    assert_eq!(slow.seqs(20_000).await, expected);
    world.finish().await;
}

/// Goal: a socket that takes nothing is given up, and its client resumes without loss. Method: a short patience, a flood, and
/// a reader that begins when its stream is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_socket_is_given_up_and_resumed() {
    const N: u64 = 15_000;
    let config = ServerConfig { stall_timeout: Duration::from_secs(1), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    let mut stalled = EventSource::with_small_buffer(world.server.address(), "after=1").await;
    world.sessions(1).await;
    flood(&world, &user, 15_000, 500).await;
    world.sessions(0).await;
    stalled.skip(2).await;
    let mut seen = 1;
    while let Some(message) = stalled.message().await {
        seen += 1;
        assert_eq!(source::seq(&message), Some(seen));
    }
    assert!(seen < N, "the socket took everything: nothing stalled");
    assert!(!stalled.ended_well().await, "a stream that was cut must not look complete");
    let mut resumed = EventSource::open(world.server.address(), &format!("after={seen}")).await;
    resumed.message().await;
    let rest = usize::try_from(N + 1 - seen).expect("a short log");
    assert_eq!(resumed.seqs(rest).await, (seen + 1..=N + 1).collect::<Vec<u64>>());
    world.finish().await;
}

/// Goal: a reader that takes its time, but takes, is no stalled one. Method: a patience far shorter than the whole reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_its_time_is_not_given_up() {
    let config = ServerConfig { stall_timeout: Duration::from_secs(3), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    flood(&world, &user, 10_000, 500).await;
    let mut slow = EventSource::with_small_buffer(world.server.address(), "after=0").await;
    slow.message().await;
    for wave in 0..20 {
        // The pace of the reader is what is tested: twenty rests, together twice as long as the patience.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let first = wave * 500 + 1;
        assert_eq!(slow.seqs(500).await, (first..first + 500).collect::<Vec<u64>>());
    }
    world.finish().await;
}

/// Goal: streams and sockets share the places there are, and give them back. Method: two places, three clients, twice.
#[tokio::test(flavor = "multi_thread")]
async fn places_are_shared_with_the_websocket() {
    let world = World::start_with(ServerConfig { sessions_max: 2, ..ServerConfig::default() }, Limits::default()).await;
    for _ in 0..2 {
        let (mut source, dashboard) = (world.source_once_there_is_a_place("").await, world.dashboard("").await);
        source.message().await;
        world.sessions(2).await;
        world.api.get("/api/events/stream").await.refused(503, "overloaded");
        assert!(Dashboard::try_connect(world.server.address(), "").await.is_err());
        drop((source, dashboard));
        world.sessions(0).await;
    }
    world.finish().await;
}

/// Goal: clients that vanish leave nothing behind. Method: 50 streams dropped without a goodbye, some amid a replay, no
/// heartbeat to find out by.
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_vanished_clients_end() {
    let world = World::start().await;
    world.api.users(200).await;
    let open = (0..50).map(|i| EventSource::open(world.server.address(), if i % 2 == 0 { "" } else { "after=0" }));
    let sources = join_all(open).await;
    world.sessions(50).await;
    drop(sources);
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a proxy that speaks HTTP/1.0 to its servers, as some do unless told, gets the stream as it is. Method: the bytes to
/// the end, which is the server's.
#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_the_stream_as_it_is() {
    let world = World::start().await;
    world.api.users(3).await;
    let mut raw = world.raw().await;
    raw.write("GET /api/events/stream?after=2 HTTP/1.0\r\n\r\n").await;
    world.sessions(1).await;
    world.finish().await;
    let text = String::from_utf8(raw.end().await).expect("the stream is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.0 200 ") && !head.to_lowercase().contains("transfer-encoding"), "{head}");
    let kinds: Vec<_> = body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(kinds, ["connected", "user_created", "live"], "{body}");
    assert!(
        body.starts_with("event: connected\n") && body.lines().rev().nth(1).is_some_and(|l| l.starts_with("retry: ")),
        "{body}"
    );
}

/// Goal: a client whose stream an admin closes is told so, with a delay that keeps a browser's `EventSource` away, and it is closed once.
/// Method: the bytes of two streams, one that resumes and one that begins now.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_stream_says_so() {
    let world = World::start().await;
    world.api.users(2).await;
    for query in ["", "after=1"] {
        let mut source = EventSource::open_with(world.server.address(), query, &[("connection", "close")]).await;
        let connected = source.message().await.expect("the stream begins");
        source.skip(if query.is_empty() { 0 } else { 2 }).await;
        let id = connected.split("\"session\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a session has an id");
        let path = format!("/api/admin/sessions/{id}");
        assert_eq!(world.api.delete(&path).await.status, 200);
        source
            .expect("retry: 86400000\nevent: closed\ndata: {\"type\":\"closed\",\"code\":4503,\"reason\":\"forbidden\"}\n\n")
            .await;
        assert_eq!(source.message().await, None);
        assert!(source.ended_well().await);
        world.api.delete(&path).await.refused(404, "not_found");
        world.sessions(0).await;
    }
    world.finish().await;
}

/// Goal: every stream is told when to come back, spread over the window, and ends as it should. Method: 20 streams, idle and
/// after a replay.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_told_to_come_back() {
    let config = ServerConfig { drain_window: Duration::from_secs(1000), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    world.api.users(10).await;
    let open = (0..20).map(|i| EventSource::open(world.server.address(), if i % 2 == 0 { "" } else { "after=5" }));
    let sources = join_all(open).await;
    let ends = tokio::spawn(join_all(sources.into_iter().map(async |mut source| {
        let mut last = String::new();
        while let Some(message) = source.message().await {
            assert!(!last.starts_with("retry"), "{message} after {last}");
            last = message;
        }
        let delay = last.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n")?.parse::<u64>().ok());
        assert!(source.ended_well().await);
        delay.unwrap_or_else(|| panic!("no delay in {last:?}"))
    })));
    audit(&world.api).await;
    soon("end of the server", world.server.stop()).await;
    let mut delays = ends.await.expect("no reader panics");
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 10 && delays.iter().all(|delay| *delay < 1_000_000), "{delays:?}");
}
