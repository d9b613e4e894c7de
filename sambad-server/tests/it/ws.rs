//! `/ws`: from the handshake to the goodbye.

use std::time::Duration;

use reqwest::Method;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use serde_json::{Value, json};

use crate::harness::{Dashboard, Ended, World, masked};

const HANDSHAKE: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// The handshake as bytes, for a client that then writes and reads frames itself.
pub(crate) fn handshake(query: &str) -> String {
    let headers = HANDSHAKE.map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("GET /ws?{query} HTTP/1.1\r\nhost: x\r\n{}\r\n", headers.concat())
}

/// Goal: the first frame is the contract's, and tells where the stream continues. Method: literal frames of four queries.
#[tokio::test]
async fn the_first_frame_says_where_the_stream_continues() {
    let world = World::start().await;
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    for (query, from) in [(String::new(), 3), ("after=0".into(), 0), ("after=1".into(), 1), (format!("after={cursor}"), 3)] {
        let dashboard = world.dashboard(&query).await;
        let expected = format!(
            r#"{{"type":"connected","message":"WebSocket connected successfully","data":{{"session":"ID1","cursor":"EPOCH-{from}","head":3,"first":1,"heartbeat_s":25}},"timestamp":"TIME"}}"#
        );
        assert_eq!(masked(&dashboard.connected), expected, "{query}");
    }
    world.finish().await;
}

/// Goal: the frames of all kinds of event are the contract's, and equal to what the long poll shows. Method: literal frames.
#[tokio::test]
async fn event_frames_are_the_contracts() {
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let contact = world.api.add_contact(&asha, &ravi).await.json()["contact"]["id"].clone();
    world.api.send_message(&asha, &ravi, "hi").await;
    world.api.delete(&format!("/api/contacts/{}", contact.as_str().expect("a contact has an id"))).await;
    let contact = r#""data":{"id":"ID1","user_id":"ID2","user_username":"+919876543210","contact_user_id":"ID3","contact_user_username":"+919876543211","created_at":"TIME"},"timestamp":"TIME","#;
    for (frame, logged) in [
        r#"{"type":"user_created","data":{"id":"ID1","username":"+919876543210","email":"9876543210@sambad.local","created_at":"TIME"},"timestamp":"TIME","seq":1}"#.to_owned(),
        r#"{"type":"user_created","data":{"id":"ID1","username":"+919876543211","email":"9876543211@sambad.local","created_at":"TIME"},"timestamp":"TIME","seq":2}"#.into(),
        format!(r#"{{"type":"contact_added",{contact}"seq":3}}"#),
        r#"{"type":"message_sent","data":{"id":"ID1","from_user_id":"ID2","from_username":"+919876543210","to_user_id":"ID3","to_username":"+919876543211","content":"hi","type":"text","created_at":"TIME"},"timestamp":"TIME","seq":4}"#.into(),
        format!(r#"{{"type":"contact_removed",{contact}"seq":5}}"#),
    ]
    .iter()
    .zip(world.api.whole_log().await)
    {
        let text = dashboard.text().await.expect("the session is open");
        assert_eq!(&masked(&text), frame);
        assert_eq!(serde_json::from_str::<Value>(&text).expect("frames are JSON"), logged);
    }
    world.finish().await;
}

/// Goal: what is no WebSocket request is told to upgrade. Method: a plain GET, and the handshake with each header left out.
#[tokio::test]
async fn an_incomplete_handshake_is_told_to_upgrade() {
    let world = World::start().await;
    for left_out in 0..HANDSHAKE.len() {
        let mut headers = HANDSHAKE.to_vec();
        headers.remove(left_out);
        let answer = world.api.request(Method::GET, "/ws", &headers, None).await;
        answer.refused(426, "upgrade_required");
        assert_eq!(answer.header("upgrade"), Some("websocket"));
    }
    world.api.get("/ws").await.refused(426, "upgrade_required");
    let mut raw = world.raw().await;
    let old = handshake("").replace("version: 13", "version: 8");
    raw.ask(old).await.refused(426, "upgrade_required");
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a complete handshake is answered as RFC 6455 says. Method: the RFC's own key.
#[tokio::test]
async fn a_complete_handshake_is_accepted() {
    let world = World::start().await;
    let mut raw = world.raw().await;
    let answer = raw.ask(handshake("")).await;
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    world.finish().await;
}

/// Goal: a query that cannot be read is refused before the upgrade. Method: a table over whole handshakes.
#[tokio::test]
async fn queries_that_cannot_be_read_are_refused() {
    let world = World::start().await;
    for (query, code) in [
        ("after=garbage", "invalid_field"),
        ("after=9f3a01c7", "invalid_field"),
        ("after=-1", "invalid_field"),
        ("types=nonsense", "invalid_field"),
        ("types=contact_added,,message_sent", "invalid_field"),
        ("user=somebody", "invalid_id"),
    ] {
        world.raw().await.ask(handshake(query)).await.refused(400, code);
    }
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a replay is complete, told by `live`, and followed by what is new. Method: from the beginning, the middle and the head.
#[tokio::test]
async fn a_replay_ends_in_live() {
    let world = World::start().await;
    world.api.users(5).await;
    let mut dashboards = Vec::new();
    for after in [0, 3, 5] {
        let mut dashboard = world.dashboard(&format!("after={after}")).await;
        assert_eq!(dashboard.seqs(5 - after).await, (after as u64 + 1..=5).collect::<Vec<u64>>());
        let live = dashboard.text().await.expect("the session is open");
        assert_eq!(masked(&live), r#"{"type":"live","data":{"cursor":"EPOCH-5"}}"#);
        dashboards.push(dashboard);
    }
    world.api.user("+919876543210").await;
    for dashboard in &mut dashboards {
        assert_eq!(dashboard.seq().await, 6);
    }
    world.finish().await;
}

/// Goal: a position that cannot be served is said so, and the stream goes on live. Method: ahead by cursor and seq, another epoch.
#[tokio::test]
async fn a_position_that_cannot_be_served_is_resynced() {
    let world = World::start().await;
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    let (epoch, _) = cursor.split_once('-').expect("a cursor has an epoch");
    let other = if epoch == "00000000" { "00000001" } else { "00000000" };
    let mut dashboards = Vec::new();
    for (after, reason) in [
        (format!("{epoch}-4"), "cursor_ahead"),
        ("9223372036854775807".into(), "cursor_ahead"),
        (format!("{other}-2"), "epoch_changed"),
    ] {
        let mut dashboard = world.dashboard(&format!("after={after}")).await;
        let resync = dashboard.text().await.expect("the session is open");
        let expected = format!(r#"{{"type":"resync","data":{{"reason":"{reason}","cursor":"{cursor}"}}}}"#);
        assert_eq!(resync, expected, "after={after}");
        dashboards.push(dashboard);
    }
    world.api.user("+919876543210").await;
    for dashboard in &mut dashboards {
        assert_eq!(dashboard.seq().await, 4);
    }
    world.finish().await;
}

/// Goal: filters by type and user pass what they ask for and nothing else, replayed or live. Method: each against the same
/// filter written once more over the whole log.
#[tokio::test]
async fn filters_pass_what_they_ask_for() {
    let world = World::start().await;
    let users = world.api.users(3).await;
    world.api.add_contact(&users[0], &users[1]).await;
    for (types, user) in [
        (&["user_created"][..], None),
        (&["contact_added", "message_sent"], None),
        (&["user_created", "contact_added", "message_sent"], Some(&users[1])),
        (&["message_sent"], Some(&users[0])),
        (&["contact_removed"], Some(&users[0])),
    ] {
        let asked_for = |event: &&Value| {
            let ends = ["id", "user_id", "contact_user_id", "from_user_id", "to_user_id"].map(|end| event["data"][end].as_str());
            types.contains(&event["type"].as_str().unwrap_or_default()) && user.is_none_or(|user| ends.contains(&Some(user)))
        };
        let expected = |log: &[Value]| log.iter().filter(asked_for).filter_map(|event| event["seq"].as_u64()).collect::<Vec<_>>();
        let before = world.api.whole_log().await;
        let user = user.map_or(String::new(), |user| format!("&user={user}"));
        let mut dashboard = world.dashboard(&format!("after=0&types={}{user}", types.join(","))).await;
        let replayed = expected(&before);
        assert_eq!(dashboard.seqs(replayed.len()).await, replayed, "{types:?}{user}");
        dashboard.expect("live").await;
        world.api.send_message(&users[1], &users[2], "x").await;
        world.api.send_message(&users[2], &users[0], "x").await;
        world.api.user(&format!("+44200000{:04}", before.len())).await;
        let live = expected(&world.api.whole_log().await[before.len()..]);
        assert_eq!(dashboard.seqs(live.len()).await, live, "{types:?}{user}");
        dashboard.send(r#"{"type":"subscribe"}"#).await;
        dashboard.expect("subscribed").await;
        dashboard.nothing_more(&world.api).await;
    }
    world.finish().await;
}

/// Goal: `subscribe` replaces the filter from the next event on. Method: literal answers, and events on both sides of each.
#[tokio::test]
async fn subscribe_replaces_the_filter() {
    let world = World::start().await;
    let users = world.api.users(3).await;
    let mut dashboard = world.dashboard("types=contact_added").await;
    world.api.send_message(&users[0], &users[1], "x").await;
    world.api.add_contact(&users[0], &users[1]).await;
    assert_eq!(dashboard.seq().await, 5);
    let all = r#""user_created","contact_added","contact_removed","message_sent""#;
    for (frame, types, user, events) in [
        (json!({ "type": "subscribe", "types": ["message_sent"], "user": users[2] }), r#""message_sent""#, "\"ID1\"", vec![1]),
        (json!({ "type": "subscribe", "types": [], "user": users[0] }), all, "\"ID1\"", vec![0]),
        (json!({ "type": "subscribe", "types": null }), all, "null", vec![0, 1]),
    ] {
        dashboard.send(frame.to_string()).await;
        let text = dashboard.text().await.expect("the session is open");
        let head = world.api.get("/api/health").await.json()["head"].as_u64().expect("the head is a number");
        let expected = format!(r#"{{"type":"subscribed","data":{{"types":[{types}],"user":{user},"cursor":"EPOCH-{head}"}}}}"#);
        assert_eq!(masked(&text), expected);
        world.api.send_message(&users[0], &users[1], "x").await;
        world.api.send_message(&users[1], &users[2], "x").await;
        let expected: Vec<u64> = events.iter().map(|event| head + 1 + event).collect();
        assert_eq!(dashboard.seqs(expected.len()).await, expected, "{frame}");
    }
    world.finish().await;
}

/// Goal: a client that asks is answered. Method: `ping`, which may carry more than it needs.
#[tokio::test]
async fn ping_is_answered_with_pong() {
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    for frame in [r#"{"type":"ping"}"#, r#"{ "t": 1, "type": "ping" }"#] {
        dashboard.send(frame).await;
        assert_eq!(dashboard.text().await.as_deref(), Ok(r#"{"type":"pong"}"#));
    }
    world.finish().await;
}

/// Goal: a client that answers pings stays, however quiet. Method: ten heartbeats, then an event.
#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let config = ServerConfig { heartbeat: Duration::from_millis(20), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let mut dashboard = world.dashboard("").await;
    dashboard.pings(10).await;
    dashboard.nothing_more(&world.api).await;
    world.finish().await;
}

/// Goal: a session whose filter lets nothing through gets its position with the heartbeat, once; an unfiltered session gets none.
/// Method: heartbeats of both kinds of session; then an event, after which no position follows.
#[tokio::test]
async fn a_filtered_session_gets_its_position() {
    let config = ServerConfig { heartbeat: Duration::from_millis(100), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let mut filtered = [
        world.dashboard("types=message_sent").await,
        world.dashboard("types=message_sent&after=0").await,
        world.dashboard(&format!("user={asha}")).await,
    ];
    filtered[1].expect("live").await;
    let mut unfiltered = world.dashboard("").await;
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    for session in &mut filtered {
        // A heartbeat may come between two writes.
        while session.expect("heartbeat").await != json!({ "type": "heartbeat", "data": { "cursor": cursor } }) {}
        session.pings(2).await;
    }
    assert_eq!(unfiltered.seqs(3).await, [3, 4, 5]);
    unfiltered.pings(2).await;
    world.api.send_message(&asha, &ravi, "hi").await;
    for session in &mut filtered {
        assert_eq!(session.seq().await, 6);
        session.pings(2).await;
    }
    world.finish().await;
}

/// Goal: a session gets its position before the server closes it. Method: a drain long before the first heartbeat, with a filter
/// and without.
#[tokio::test]
async fn a_drained_session_gets_its_position() {
    let world = World::start().await;
    let (mut filtered, mut unfiltered) = (world.dashboard("types=message_sent").await, world.dashboard("").await);
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    assert_eq!(unfiltered.seqs(3).await, [1, 2, 3]);
    let (told, ended, _) = tokio::join!(filtered.text(), unfiltered.text(), world.finish());
    assert_eq!(told, Ok(format!(r#"{{"type":"heartbeat","data":{{"cursor":"{cursor}"}}}}"#)));
    for ended in [filtered.text().await, ended] {
        assert!(matches!(&ended, Err(Ended::Closed(4000, _))), "{ended:?}");
    }
}

/// Goal: a peer from which nothing comes is closed as idle. Method: a raw client that never answers; its last frame.
#[tokio::test]
async fn a_silent_peer_is_closed_as_idle() {
    let (heartbeat, pong_grace) = (Duration::from_millis(50), Duration::from_millis(100));
    let config = ServerConfig { heartbeat, pong_grace, ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let mut raw = world.raw().await;
    assert_eq!(raw.ask(handshake("")).await.status, 101);
    let frames = raw.end().await;
    let close = b"\x88\x06\x0f\xa8idle";
    assert!(frames.ends_with(close), "{}", String::from_utf8_lossy(&frames));
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a goodbye is answered with the same code. Method: 1000 and one of the client's own.
#[tokio::test]
async fn a_goodbye_is_answered() {
    let world = World::start().await;
    for code in [1000, 3001] {
        let ended = world.dashboard("").await.close(code).await;
        assert!(matches!(ended, Ended::Closed(answered, _) if answered == code), "{ended:?}");
    }
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: sessions are bounded, and one that ends makes room. Method: one too many, then one less.
#[tokio::test]
async fn one_session_too_many_is_refused() {
    let config = ServerConfig { sessions_max: 2, ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let (first, second) = (world.dashboard("").await, world.dashboard("").await);
    world.raw().await.ask(handshake("")).await.refused(503, "overloaded");
    drop(first);
    world.sessions(1).await;
    let mut third = Dashboard::connect(world.server.address(), "").await;
    third.nothing_more(&world.api).await;
    drop((second, third));
    world.sessions(0).await;
    world.finish().await;
}
