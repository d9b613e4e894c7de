//! `/api/events/stream`: what it sends.

use std::time::Duration;

use reqwest::Method;
use sambad_core::Limits;
use sambad_server::ServerConfig;

use crate::harness::{EventSource, World, masked, source};

/// The first message of a stream that continues from seq `from` of a log whose head is `head`.
fn connected(from: u64, head: u64) -> String {
    format!(
        "event: connected\ndata: {{\"type\":\"connected\",\"message\":\"Event stream connected successfully\",\"data\":{{\"session\":\"ID1\",\"cursor\":\"EPOCH-{from}\",\"head\":{head},\"first\":1,\"heartbeat_s\":25}},\"timestamp\":\"TIME\"}}\n\n"
    )
}

fn live(seq: u64) -> String {
    format!("id: EPOCH-{seq}\nevent: live\ndata: {{\"type\":\"live\",\"data\":{{\"cursor\":\"EPOCH-{seq}\"}}}}\n\n")
}

async fn open(world: &World, query: &str) -> EventSource {
    EventSource::open(world.server.address(), query).await
}

/// Goal: a stream begins as the contract says, and names its place where that is safe. Method: the bytes of five queries.
#[tokio::test]
async fn the_first_messages_say_where_the_stream_continues() {
    let world = World::start().await;
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    for query in ["", "after=&types=message_sent&lastEventId="] {
        let mut fresh = open(&world, query).await;
        fresh.expect(&format!("id: EPOCH-3\n{}", connected(3, 3))).await;
    }
    for (query, from) in [("after=0", 0), ("after=1", 1), (&format!("after={cursor}"), 3)] {
        let mut source = open(&world, query).await;
        source.expect(&connected(from, 3)).await;
        assert_eq!(source.seqs(usize::try_from(3 - from).expect("a short log")).await, (from + 1..=3).collect::<Vec<_>>());
        source.expect(&live(3)).await;
    }
    world.finish().await;
}

/// Goal: whatever stands between knows that it must not keep, pack or hold back. Method: the headers.
#[tokio::test]
async fn headers_are_the_contracts() {
    let world = World::start().await;
    world.api.users(2).await;
    let source = open(&world, "after=1").await;
    let header = |name: &str| source.headers.get(name).and_then(|value| value.to_str().ok()).map(masked);
    assert_eq!(source.status, 200);
    for (name, value) in [
        ("content-type", Some("text/event-stream")),
        ("cache-control", Some("no-cache, no-transform")),
        ("x-accel-buffering", Some("no")),
        ("transfer-encoding", Some("chunked")),
        ("content-encoding", None),
        ("content-length", None),
    ] {
        assert_eq!(header(name).as_deref(), value, "{name}");
    }
    assert!(header("sambad-cursor").is_some_and(|cursor| cursor.ends_with("-1")), "the stream continues after it");
    assert!(header("x-request-id").is_some());
    world.finish().await;
}

/// Goal: an event's message is its cursor, its type, and the JSON that the other transports carry. Method: the bytes of each
/// kind of event, against the socket's frames.
#[tokio::test]
async fn event_messages_are_the_contracts() {
    let world = World::start().await;
    let (mut source, mut dashboard) = (open(&world, "").await, world.dashboard("").await);
    source.skip(1).await;
    let epoch = world.api.cursor().await[..8].to_owned();
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let contact = world.api.add_contact(&asha, &ravi).await.json()["contact"]["id"].clone();
    world.api.send_message(&asha, &ravi, "one\ntwo\r\n\r\nसात").await;
    world.api.delete(&format!("/api/contacts/{}", contact.as_str().expect("a contact has an id"))).await;
    for (kind, seq) in ["user_created", "user_created", "contact_added", "message_sent", "contact_removed"].iter().zip(1..) {
        let frame = dashboard.text().await.expect("the session is open");
        let expected = format!("id: {epoch}-{seq}\nevent: {kind}\ndata: {frame}\n\n");
        assert_eq!(source.message().await, Some(expected));
    }
    world.finish().await;
}

/// Goal: a position that cannot be served is told, with where to go on, and the stream continues there. Method: each reason.
#[tokio::test]
async fn a_position_that_cannot_be_served_is_a_resync() {
    let world = World::start().await;
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    let (epoch, _) = cursor.split_once('-').expect("a cursor has an epoch");
    let other = if epoch == "00000000" { "00000001" } else { "00000000" };
    for (after, reason) in [(format!("{epoch}-4"), "cursor_ahead"), (format!("{other}-2"), "epoch_changed")] {
        let mut source = open(&world, &format!("after={after}")).await;
        source.expect(&connected(3, 3)).await;
        let resync = format!(r#"{{"type":"resync","data":{{"reason":"{reason}","cursor":"EPOCH-3"}}}}"#);
        source.expect(&format!("id: EPOCH-3\nevent: resync\ndata: {resync}\n\n")).await;
    }
    let mut source = open(&world, &format!("after={other}-2")).await;
    source.skip(2).await;
    world.api.user("+919876543210").await;
    assert_eq!(source.seq().await, 4);
    world.finish().await;
}

/// Goal: a browser that comes back with its last id goes on there. Method: the header against the address, alone, and empty.
#[tokio::test]
async fn the_last_event_id_wins() {
    let world = World::start().await;
    world.api.users(5).await;
    let epoch = world.api.cursor().await[..8].to_owned();
    let id = format!("{epoch}-3");
    for (query, id, first) in [("after=0", id.as_str(), 4), ("", &id, 4), ("after=4", &id, 4), ("after=1", "", 2)] {
        let mut source = EventSource::open_with(world.server.address(), query, &[("last-event-id", id)]).await;
        source.message().await;
        assert_eq!(source.seq().await, first, "{query} {id:?}");
    }
    for bad in ["3", "garbage", "9F3A01C7-1", "9f3a01c7-", "-1", "सात"] {
        let answer = world.api.request(Method::GET, "/api/events/stream", &[("last-event-id", bad)], None).await;
        assert!(answer.refused(400, "invalid_field").contains("Last-Event-ID"), "{bad}");
    }
    world.finish().await;
}

/// Goal: a client that can set no header comes back by its address: below the header, above `after`, the last that says
/// something. Method: each spelling, alone and against the others; what is no cursor is refused by name, whatever else is right.
#[tokio::test]
async fn the_last_event_id_may_stand_in_the_query() {
    let world = World::start().await;
    world.api.users(5).await;
    let epoch = world.api.cursor().await[..8].to_owned();
    for (query, id, first) in [
        ("lastEventId=EPOCH-3", "", 4),
        ("Last-Event-ID=EPOCH-3&after=0", "", 4),
        ("last-event-id=EPOCH-3", "", 4),
        ("after=4&lastEventID=EPOCH-3", "", 4),
        ("lastEventId=EPOCH-1", "EPOCH-3", 4),
        ("lastEventId=&after=1", "", 2),
        ("Last-Event-ID=EPOCH-1&lastEventId=EPOCH-3", "", 4),
        ("lastEventId=EPOCH-3&lastEventId=", "", 4),
    ] {
        let [query, id] = [query, id].map(|text| text.replace("EPOCH", &epoch));
        let mut source = EventSource::open_with(world.server.address(), &query, &[("last-event-id", &id)]).await;
        // A position was asked for: `connected` has no id.
        assert!(source.message().await.is_some_and(|message| message.starts_with("event: connected\n")), "{query}");
        assert_eq!(source.seq().await, first, "{query} {id:?}");
    }
    for (query, name) in
        [("lastEventId=3", "lastEventId"), ("Last-Event-ID=x&after=0", "Last-Event-ID"), ("LASTEVENTID=%20", "LASTEVENTID")]
    {
        let headers = [("last-event-id", format!("{epoch}-3"))];
        let [(field, id)] = &headers;
        let answer = world.api.request(Method::GET, &format!("/api/events/stream?{query}"), &[(field, id)], None).await;
        assert!(answer.refused(400, "invalid_field").contains(name), "{query}");
    }
    // There, a position has one name.
    let page = world.api.get(&format!("/api/events?lastEventId={epoch}-3")).await.json();
    assert_eq!(page["events"][0]["seq"], 1);
    world.finish().await;
}

/// Goal: a query that cannot be read is refused by name, as on every transport. Method: a table.
#[tokio::test]
async fn queries_that_cannot_be_read_are_refused() {
    let world = World::start().await;
    for (query, code, field) in [
        ("after=garbage", "invalid_field", "after"),
        ("after=-1", "invalid_field", "after"),
        ("types=contact_added,nonsense", "invalid_field", "types"),
        ("user=somebody", "invalid_id", "user"),
    ] {
        let message = world.api.get(&format!("/api/events/stream?{query}")).await.refused(400, code);
        assert!(message.contains(field), "{query}: {message}");
    }
    world.api.post("/api/events/stream", "{}").await.refused(405, "method_not_allowed");
    world.finish().await;
}

/// Goal: a filter lets through what it names, stored or live. Method: by type and by user, over events of each.
#[tokio::test]
async fn filters() {
    let world = World::start().await;
    let users = world.api.users(3).await;
    world.api.add_contact(&users[0], &users[1]).await;
    world.api.add_contact(&users[1], &users[2]).await;
    let user = format!("after=0&user={}", users[0]);
    let (mut by_type, mut by_user) = (open(&world, "after=0&types=contact_added").await, open(&world, &user).await);
    by_type.expect(&connected(0, 5)).await;
    by_user.expect(&connected(0, 5)).await;
    assert_eq!((by_type.seqs(2).await, by_user.seqs(2).await), (vec![4, 5], vec![1, 4]));
    by_type.expect(&live(5)).await;
    by_user.expect(&live(5)).await;
    world.api.send_message(&users[1], &users[2], "x").await;
    world.api.send_message(&users[1], &users[0], "x").await;
    world.api.add_contact(&users[2], &users[1]).await;
    world.api.add_contact(&users[2], &users[0]).await;
    assert_eq!((by_type.seqs(2).await, by_user.seqs(2).await), (vec![8, 9], vec![7, 9]));
    world.finish().await;
}

/// Goal: silence is never long, and a reader whose filter lets nothing through comes back from where the log is: its id moves
/// by messages with data. Method: a short heartbeat; quiet, then events of others.
#[tokio::test]
async fn heartbeats_carry_the_cursor_when_it_moved() {
    let config = ServerConfig { heartbeat: Duration::from_millis(50), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let mut source = open(&world, "types=message_sent").await;
    source.skip(1).await;
    source.expect(": heartbeat\n\n").await;
    source.expect(": heartbeat\n\n").await;
    world.api.users(3).await;
    let moved = |seq: u64| {
        let data = format!(r#"{{"type":"heartbeat","data":{{"cursor":"EPOCH-{seq}"}}}}"#);
        format!("id: EPOCH-{seq}\nevent: heartbeat\ndata: {data}\n\n")
    };
    let mut told = Vec::new();
    while told.last().is_none_or(|message| *message != moved(3)) {
        told.push(masked(&source.message().await.expect("the stream is open")));
    }
    let known = [": heartbeat\n\n".to_owned(), moved(1), moved(2), moved(3)];
    assert!(told.iter().all(|message| known.contains(message)), "{told:?}");
    source.expect(": heartbeat\n\n").await;
    world.finish().await;
}

/// Goal: HEAD shows the headers and holds no place, and a page of another origin may ask. Method: more HEADs than places, a
/// preflight.
#[tokio::test]
async fn head_and_options() {
    let world = World::start_with(ServerConfig { sessions_max: 1, ..ServerConfig::default() }, Limits::default()).await;
    for _ in 0..3 {
        let head = world.api.request(Method::HEAD, "/api/events/stream", &[], None).await;
        assert_eq!((head.status, head.text.as_str(), head.header("content-type")), (200, "", Some("text/event-stream")));
        assert_eq!(head.cursor_seq(), 0);
        world.sessions(0).await;
    }
    let asking = [
        ("origin", "http://localhost:5173"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "last-event-id"),
    ];
    let answer = world.api.request(Method::OPTIONS, "/api/events/stream", &asking, None).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert!(answer.header("access-control-allow-headers").is_some_and(|headers| headers.contains("last-event-id")));
    world.finish().await;
}

/// Goal: a stream under writes has neither gap nor repeat. Method: 500 events by eight writers, from before the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_the_writers() {
    let world = World::start().await;
    let mut source = open(&world, "").await;
    source.skip(1).await;
    let user = world.api.user("+919876543210").await;
    let writers = (0..8).map(|_| {
        let (api, user) = (world.api.clone(), user.clone());
        tokio::spawn(async move {
            for _ in 0..64 {
                api.send_message(&user, &user, "x").await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    assert_eq!(source.seqs(513).await, (1..=513).collect::<Vec<u64>>());
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    assert_eq!(source::seq("id: 9f3a01c7-7\nevent: x\ndata: {\"a\":1,\"seq\":8}\n\n"), None, "the harness would notice");
    world.finish().await;
}
