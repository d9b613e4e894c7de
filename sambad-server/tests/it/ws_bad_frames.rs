//! Bad input on a socket: told, counted, and in the end closed. None of it changes anything.

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Dashboard, Ended, World};

fn bad_frames() -> Ended {
    Ended::Closed(4500, "bad_frames".into())
}

/// Reads an `error` frame, key by key, and checks its code.
async fn told(dashboard: &mut Dashboard, code: &str) {
    let text = dashboard.text().await.expect("the session is open");
    let frame: serde_json::Value = serde_json::from_str(&text).expect("frames are JSON");
    assert_eq!(text, format!(r#"{{"type":"error","code":"{code}","message":{}}}"#, frame["message"]));
}

/// Goal: a frame of the wrong kind is told, and the session goes on. Method: a table, each followed by a ping and an event.
#[tokio::test]
async fn a_bad_frame_is_told_and_passed_over() {
    let world = World::start().await;
    let (longest, subscribe) = (" ".repeat(16 << 10), |rest: &str| Message::text(format!(r#"{{"type":"subscribe",{rest}}}"#)));
    for (frame, code) in [
        (Message::binary(r#"{"type":"ping"}"#), "binary_frame"),
        (Message::binary(""), "binary_frame"),
        (Message::text(""), "invalid_json"),
        (Message::text("ping"), "invalid_json"),
        (Message::text(r#"{"type":"ping"}{"type":"ping"}"#), "invalid_json"),
        (Message::text(longest), "invalid_json"),
        (Message::text("[]"), "invalid_field"),
        (Message::text(r#"["ping",null,null]"#), "invalid_field"),
        (Message::text("null"), "invalid_field"),
        (Message::text(r#"{"type":5}"#), "invalid_field"),
        (Message::text(r#"{"types":[]}"#), "invalid_field"),
        (Message::text(r#"{"type":"shout"}"#), "unknown_type"),
        (Message::text(r#"{"type":"contact_added","data":{}}"#), "unknown_type"),
        (subscribe(r#""types":["nonsense"]"#), "invalid_field"),
        (subscribe(r#""types":"message_sent""#), "invalid_field"),
        (subscribe(r#""user":"somebody""#), "invalid_id"),
        (subscribe(r#""user":5"#), "invalid_field"),
    ] {
        let mut dashboard = world.dashboard("").await;
        dashboard.send(frame.clone()).await;
        told(&mut dashboard, code).await;
        dashboard.send(r#"{"type":"ping"}"#).await;
        dashboard.expect("pong").await;
        dashboard.nothing_more(&world.api).await;
    }
    world.finish().await;
}

/// Goal: a client beyond help is closed for good. Method: four bad frames among good ones, an event, then the fifth.
#[tokio::test]
async fn the_fifth_bad_frame_closes() {
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    for _ in 0..4 {
        dashboard.send("?").await;
        told(&mut dashboard, "invalid_json").await;
        dashboard.send(r#"{"type":"ping"}"#).await;
        dashboard.expect("pong").await;
    }
    dashboard.nothing_more(&world.api).await;
    dashboard.send(Message::binary("?")).await;
    told(&mut dashboard, "binary_frame").await;
    assert_eq!(dashboard.ended().await, bad_frames());
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a stream in which the next frame cannot be found is told and closed. Method: a table of raw bytes.
#[tokio::test]
async fn a_broken_stream_is_told_and_closed() {
    let world = World::start().await;
    let masked = |head: u8, payload: &[u8]| [&[head, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
    let (open, more) = (masked(0x01, b"{"), masked(0x00, b"{"));
    for (bytes, code) in [
        (masked(0x81, b"{\"type\":\"\xff\"}"), "invalid_utf8"),
        (b"\x81\x0f{\"type\":\"ping\"}".to_vec(), "invalid_frame"),
        (masked(0x83, b"x"), "invalid_frame"),
        (masked(0xc1, b"x"), "invalid_frame"),
        (masked(0x80, b"x"), "invalid_frame"),
        ([open.clone(), open].concat(), "invalid_frame"),
        (masked(0x09, b"x"), "invalid_frame"),
        ([b"\x81\xfe\x40\x01\0\0\0\0".as_slice(), &[b' '; 16385]].concat(), "frame_too_large"),
        (b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(), "frame_too_large"),
        ([masked(0x01, b"{"), more.repeat(20_000)].concat(), "frame_too_large"),
    ] {
        let mut dashboard = world.dashboard("").await;
        // The server may hang up while this is written.
        let _ = dashboard.stream().write_all(&bytes).await;
        told(&mut dashboard, code).await;
        assert_eq!(dashboard.ended().await, bad_frames(), "{code}");
    }
    let mut dashboard = world.dashboard("").await;
    dashboard.send("x".repeat(1 << 20)).await;
    told(&mut dashboard, "frame_too_large").await;
    assert_eq!(dashboard.ended().await, bad_frames());
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: whatever some clients send, others are served and nothing is changed. Method: noise on 20 sessions beside a good one.
#[tokio::test]
async fn noise_changes_nothing() {
    let world = World::start().await;
    let users = world.api.users(2).await;
    let mut good = world.dashboard("").await;
    let before = (world.api.whole_log().await, world.api.get("/api/admin/analytics").await.text);
    let noise = (0..20_u64).map(async |i| {
        let mut rng = fastrand::Rng::with_seed(i);
        let mut dashboard = world.dashboard("after=0").await;
        let mut bytes = vec![0; rng.usize(1..100_000)];
        rng.fill(&mut bytes);
        let _ = dashboard.stream().write_all(&bytes).await;
    });
    join_all(noise).await;
    world.sessions(1).await;
    assert_eq!((world.api.whole_log().await, world.api.get("/api/admin/analytics").await.text), before);
    let seq =
        world.api.post("/api/messages", json!({ "fromUserId": users[0], "toUserId": users[1], "content": "x" })).await.seq();
    assert_eq!(Some(good.seq().await), seq);
    world.finish().await;
}
