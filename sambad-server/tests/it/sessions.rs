//! `/api/admin/sessions`: who is connected, by which transport, how far behind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Dashboard, EventSource, World, soon};
use crate::slow_readers::{flood, short_tail};
use sambad_server::ServerConfig;

/// The sessions once there are `n`.
async fn listed(world: &World, n: u64) -> Value {
    world.sessions(n).await;
    world.api.get("/api/admin/sessions").await.json()
}

/// Goal: every transport shows with its filter and cursor, and none after it has gone. Method: one session of each, listed
/// while they are there; then all leave.
#[tokio::test(flavor = "multi_thread")]
async fn every_transport_is_listed() {
    let world = World::start().await;
    let user = world.api.user("+919876543210").await;
    let socket = world.dashboard(&format!("types=message_sent&user={user}")).await;
    let mut source = EventSource::open(world.server.address(), "after=0").await;
    source.skip(3).await;
    let (api, head) = (world.api.clone(), world.api.cursor().await);
    let poll = tokio::spawn(async move { api.get(&format!("/api/events?after={head}&wait=30")).await });
    let list = listed(&world, 3).await;
    assert_eq!((&list["total"], &list["head"]), (&json!(3), &json!(1)), "{list}");
    let sessions = list["sessions"].as_array().expect("sessions are a list");
    let by = |transport: &str| {
        let found: Vec<&Value> = sessions.iter().filter(|session| session["transport"] == transport).collect();
        assert_eq!(found.len(), 1, "{list}");
        found[0].clone()
    };
    let connected: Value = serde_json::from_str(&socket.connected).expect("frames are JSON");
    let (ws, sse, poll_session) = (by("websocket"), by("sse"), by("poll"));
    assert_eq!(ws["session"], connected["data"]["session"]);
    assert_eq!((&ws["types"], &ws["user"]), (&json!(["message_sent"]), &json!(user)));
    assert_eq!(sse["types"], json!(["user_created", "contact_added", "contact_removed", "message_sent"]));
    for session in [&ws, &sse, &poll_session] {
        assert_eq!((&session["lag"], &session["replaying"]), (&json!(0), &json!(false)), "{session}");
        assert_eq!(session["cursor"], json!(world.api.cursor().await));
        assert!(session["remote"].as_str().is_some_and(|remote| remote.starts_with("127.0.0.1:")), "{session}");
        assert!(session["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{session}");
    }

    world.api.user("+919876543211").await;
    soon("answer of the poll", poll).await.expect("it does not panic");
    source.skip(1).await;
    let list = listed(&world, 2).await;
    let standing: Vec<_> = list["sessions"].as_array().into_iter().flatten().map(|session| &session["lag"]).collect();
    assert_eq!(standing, [&json!(0), &json!(0)], "a filter that lets nothing through does not keep a session behind: {list}");
    drop((socket.close(1000).await, source));
    assert_eq!(listed(&world, 0).await["sessions"], json!([]));
    world.finish().await;
}

/// Goal: who is behind shows, and first. Method: two sockets, one of which reads nothing of a flood far beyond what the kernel
/// holds; the list is asked for a single row.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_furthest_behind_comes_first() {
    let config = ServerConfig { stall_timeout: Duration::from_secs(600), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    let mut healthy = world.dashboard("after=1").await;
    let slow = Dashboard::with_small_buffer(world.server.address(), "after=1").await;
    let slow_session: Value = serde_json::from_str(&slow.connected).expect("frames are JSON");
    healthy.frame().await;
    let reader = tokio::spawn(async move { (healthy.seqs(15_000).await, healthy).1 });
    flood(&world, &user, 15_000, 500).await;
    let healthy = soon("end of the healthy reader", reader).await.expect("it does not panic");
    let list = world.api.get("/api/admin/sessions?limit=1").await.json();
    assert_eq!((&list["total"], list["sessions"].as_array().map(Vec::len)), (&json!(2), Some(1)), "{list}");
    let first = &list["sessions"][0];
    assert_eq!(first["session"], slow_session["data"]["session"]);
    assert!(first["lag"].as_u64().is_some_and(|lag| lag > 1000), "{list}");
    let cursor: u64 = first["cursor"].as_str().and_then(|cursor| cursor.split_once('-')?.1.parse().ok()).expect("a cursor");
    assert_eq!(first["lag"], json!(15_001 - cursor));
    world.api.get("/api/admin/sessions?limit=0").await.refused(400, "invalid_field");
    drop((slow, healthy));
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: polls that wait take places like other sessions, and those that do not wait take none. Method: one place, held by a
/// poll.
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_waits_takes_a_place() {
    let config = ServerConfig { sessions_max: 1, ..ServerConfig::default() };
    let world = World::start_with(config, sambad_core::Limits::default()).await;
    let api = world.api.clone();
    let poll = tokio::spawn(async move { api.get("/api/events?after=0&wait=30").await });
    world.sessions(1).await;
    world.api.get("/api/events?after=0&wait=1").await.refused(503, "overloaded");
    assert_eq!(world.api.get("/api/events?after=0").await.status, 200);
    world.api.user("+919876543210").await;
    assert_eq!(soon("answer of the poll", poll).await.expect("it does not panic").status, 200);
    world.sessions(0).await;
    world.finish().await;
}
