//! How long a connection may take for what: heads, bodies, silence.

use std::time::{Duration, Instant};

use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::config::ClientLimits;
use tokio::time::sleep;

use crate::harness::{EventSource, World};

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";

async fn world(head: Duration, idle: Duration) -> World {
    let clients = ClientLimits { header_timeout: head, idle_timeout: idle, ..ClientLimits::default() };
    let config = ServerConfig { clients, heartbeat: Duration::from_millis(300), ..ServerConfig::default() };
    World::start_with(config, Limits::default()).await
}

/// Goal: whoever sends no head, half a head, or a head drop by drop, first or after another, is let go of in time; an idle
/// connection has its own time. Method: a head's time of a second and an idle one of an hour, then the other way round.
#[tokio::test]
async fn a_head_has_its_time() {
    // Long enough for a busy machine to send a head in.
    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(3_600);
    let heads = world(SHORT, LONG).await;
    let begun = Instant::now();
    assert_eq!(heads.raw().await.end().await, b"");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    for asked_before in [false, true] {
        let mut half = heads.raw().await;
        if asked_before {
            assert_eq!(half.ask(LIVEZ).await.status, 200);
            // Longer than a head may take, but nothing of a head is there.
            sleep(2 * SHORT).await;
        }
        half.write(&LIVEZ[..20]).await;
        assert_eq!(half.end().await, b"", "after a request: {asked_before}");
        let mut dripping = heads.raw().await;
        let begun = Instant::now();
        for byte in LIVEZ.bytes().cycle() {
            dripping.write([byte]).await;
            // The head would take three times as long as it may.
            sleep(SHORT / 10).await;
            if begun.elapsed() > SHORT * 2 {
                break;
            }
        }
        assert!(!String::from_utf8_lossy(&dripping.end().await).contains("200 OK"));
    }
    heads.finish().await;

    let idle = world(LONG, SHORT).await;
    let mut quiet = idle.raw().await;
    let begun = Instant::now();
    assert_eq!(quiet.ask(LIVEZ).await.status, 200);
    assert_eq!(quiet.end().await, b"");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    let mut slow = idle.raw().await;
    assert_eq!(slow.ask(LIVEZ).await.status, 200);
    slow.write(&LIVEZ[..20]).await;
    sleep(2 * SHORT).await;
    assert_eq!(slow.ask(&LIVEZ[20..]).await.status, 200);
    idle.finish().await;
}

/// Goal: a request that takes long is not idle. Method: a stream and a poll that last several times as long as a head or a
/// silence may.
#[tokio::test]
async fn a_long_answer_is_not_idle() {
    let world = world(Duration::from_secs(1), Duration::from_secs(1)).await;
    let mut source = EventSource::open(world.server.address(), "").await;
    source.skip(1).await;
    let head = world.api.cursor().await;
    // Its head is due from here on.
    let mut poll = world.raw().await;
    assert_eq!(poll.ask(format!("GET /api/events?after={head}&wait=3 HTTP/1.1\r\nhost: x\r\n\r\n")).await.status, 200);
    for _ in 0..10 {
        source.expect(": heartbeat\n\n").await;
    }
    world.api.user("+919876543210").await;
    let event = loop {
        let message = source.message().await.expect("the stream is open");
        if !message.starts_with(": heartbeat") {
            break message;
        }
    };
    assert_eq!(crate::harness::source::seq(&event), Some(1));
    drop(source);
    world.finish().await;
}

/// Goal: a body that drips in is refused in time. Method: a body's time of 300 ms and bytes one by one.
#[tokio::test]
async fn a_body_has_its_time() {
    let config = ServerConfig { body_timeout: Duration::from_millis(300), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let mut raw = world.raw().await;
    raw.write("POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{")
        .await;
    for _ in 0..20 {
        raw.write(" ").await;
        sleep(Duration::from_millis(20)).await;
    }
    raw.answer().await.refused(408, "request_timeout");
    world.finish().await;
}
