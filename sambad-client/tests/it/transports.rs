//! What a stream promises, by each transport.

use std::time::Duration;

use sambad_client::{
    After, Client, Error, EventKind, EventStream, EventStreamOptions, Filter, Item, NewMessage, NewUser, Resync, Seq, State,
    Transport, UserRef, Verifier,
};
use sambad_core::{Limits, Retention};
use sambad_server::{ServerConfig, testing::TestServer};

use crate::proxy::Proxy;
use crate::scripted::{SOON, Server, expect, quick, told};

const EACH: [Transport; 3] = [Transport::WebSocket, Transport::Sse, Transport::Poll];

async fn user(client: &Client, number: u64) {
    client.login(&NewUser::new(format!("+91{}", 9_000_000_000 + number))).await.unwrap();
}

async fn next(stream: &mut EventStream) -> Item {
    tokio::time::timeout(SOON, stream.next()).await.expect("the stream has something to tell").unwrap().unwrap()
}

async fn live(stream: &mut EventStream) -> Seq {
    loop {
        if let Item::State(State::Live { cursor, .. }) = next(stream).await {
            return cursor.seq;
        }
    }
}

/// Reads to `last` without gap or repeat; gives how often the connection was lost.
async fn read_to(stream: &mut EventStream, verifier: &mut Verifier, last: u64) -> u32 {
    let mut reconnects = 0;
    while verifier.last() < Seq(last) {
        match next(stream).await {
            Item::Event(event) => verifier.check(event.seq).unwrap(),
            Item::State(State::Reconnecting { why: Error::Anomaly(anomaly), .. }) => panic!("{anomaly}"),
            Item::State(State::Reconnecting { .. }) => reconnects += 1,
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
    reconnects
}

/// Goal: cuts cost nothing. Method: 300 events written while the link is cut every 50, by each transport.
#[tokio::test]
async fn resumes_through_cuts() {
    for transport in EACH {
        let server = TestServer::start().await;
        let proxy = Proxy::start(server.url()).await;
        let direct = Client::new(server.url()).unwrap();
        let mut stream = Client::new(proxy.url()).unwrap().stream(EventStreamOptions { transport, ..quick() });
        let mut verifier = Verifier::unfiltered(live(&mut stream).await);
        let write = async {
            for n in 0..300 {
                user(&direct, n).await;
                if n % 50 == 25 {
                    proxy.cut();
                }
            }
        };
        let ((), reconnects) = tokio::join!(write, read_to(&mut stream, &mut verifier, 300));
        // A poll that finds its connection gone is sent again by the HTTP library: that may be all there is to feel.
        assert!(reconnects >= 1 || transport == Transport::Poll, "{transport}: the cuts were felt");
    }
}

/// Goal: a cursor is the same by every transport. Method: each in turn goes on where the one before stopped, under writes.
#[tokio::test]
async fn a_reader_may_change_its_transport() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    let write = async {
        for n in 0..240 {
            user(&client, n).await;
        }
    };
    let read = async {
        let (mut verifier, mut after) = (Verifier::unfiltered(Seq::ZERO), After::Seq(Seq::ZERO));
        for turn in 1..=8 {
            let transport = EACH[turn as usize % 3];
            let mut stream = client.stream(EventStreamOptions { after: Some(after), transport, ..quick() });
            assert_eq!(read_to(&mut stream, &mut verifier, turn * 30).await, 0, "{transport}");
            after = stream.cursor().unwrap().into();
        }
    };
    tokio::join!(write, read);
}

/// Goal: a long log is replayed whole, then live. Method: 2,500 events, more than two pages, and one more.
#[tokio::test]
async fn replays_a_long_log() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    let writers = (0..10).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..250 {
                user(&client, writer * 250 + n).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let after = Some(After::Seq(Seq::ZERO));
    let mut streams = EACH.map(|transport| client.stream(EventStreamOptions { after, transport, ..quick() }));
    let mut verifiers = EACH.map(|_| Verifier::unfiltered(Seq::ZERO));
    for (stream, verifier) in streams.iter_mut().zip(&mut verifiers) {
        assert_eq!(read_to(stream, verifier, 2500).await, 0);
        assert_eq!(live(stream).await, Seq(2500));
    }
    user(&client, 2500).await;
    for (stream, verifier) in streams.iter_mut().zip(&mut verifiers) {
        assert_eq!(read_to(stream, verifier, 2501).await, 0);
    }
}

/// Goal: another database behind the same address is noticed, and followed. Method: replace the server by an unrelated one.
#[tokio::test]
async fn notices_another_database() {
    for transport in EACH {
        let server = TestServer::start().await;
        let proxy = Proxy::start(server.url()).await;
        let client = Client::new(proxy.url()).unwrap();
        let mut stream = client.stream(EventStreamOptions { transport, ..quick() });
        live(&mut stream).await;
        let other = TestServer::start().await;
        user(&Client::new(other.url()).unwrap(), 0).await;
        proxy.retarget(other.url());
        loop {
            match next(&mut stream).await {
                Item::Resync(Resync { reason, cursor, .. }) => {
                    break assert_eq!((reason.as_str(), cursor.seq), ("epoch_changed", Seq(1)));
                }
                Item::State(_) => {}
                other => panic!("{other:?}"),
            }
        }
        user(&client, 1).await;
        assert_eq!(read_to(&mut stream, &mut Verifier::unfiltered(Seq(1)), 2).await, 0, "{transport}");
    }
}

/// Goal: a position beyond the head is told, whenever it is asked for. Method: a cursor ahead, at the first request.
#[tokio::test]
async fn a_position_that_cannot_be_served_is_a_resync() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    user(&client, 0).await;
    for transport in EACH {
        let mut stream = client.stream(EventStreamOptions { after: Some(After::Seq(Seq(99))), transport, ..quick() });
        let resync = loop {
            match next(&mut stream).await {
                Item::Resync(resync) => break resync,
                Item::State(State::Connecting { .. } | State::Replaying { .. }) => {}
                other => panic!("{transport}: {other:?}"),
            }
        };
        assert_eq!((resync.reason.as_str(), resync.cursor.seq), ("cursor_ahead", Seq(1)), "{transport}");
        assert_eq!(live(&mut stream).await, Seq(1));
    }
}

/// Goal: a session that an admin closes is over, by each transport, and says why. Method: a live stream, and the first session that the
/// server lists: of a poll there is one while it waits.
#[tokio::test]
async fn a_session_that_an_admin_closes_is_over() {
    for (transport, error) in [
        (Transport::WebSocket, "closed by the server (4503 forbidden)"),
        (Transport::Sse, "closed by the server (4503 forbidden)"),
        (Transport::Poll, "An admin closed this session (403 forbidden)"),
    ] {
        let server = TestServer::start().await;
        let client = Client::new(server.url()).unwrap();
        let mut stream = client.stream(EventStreamOptions { transport, ..quick() });
        live(&mut stream).await;
        let sessions = format!("{}/api/admin/sessions", server.url());
        let close = async {
            let http = reqwest::Client::new();
            loop {
                let listed = http.get(&sessions).send().await.unwrap().bytes().await.unwrap();
                let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
                let Some(id) = listed["sessions"][0]["session"].as_str() else { continue };
                if http.delete(format!("{sessions}/{id}")).send().await.unwrap().status() == 200 {
                    return;
                }
            }
        };
        let (told, ()) = tokio::join!(told(&mut stream), close);
        assert_eq!(told, format!("error: {error}"), "{transport}");
        assert_eq!(self::told(&mut stream).await, "end", "{transport}");
    }
}

/// Goal: a position that is gone is followed by a resync, whatever something on the way takes from the answer. Method: where to go on in
/// the header, in the body, and in neither, when the server is asked where its log ends.
#[tokio::test]
async fn a_position_that_is_gone_is_told_anywhere() {
    let json = |status: &str, headers: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
    };
    let gone = r#""error":"Gone","code":"cursor_gone","request_id":"r","reason":"cursor_expired""#;
    let head = json("200 OK", "", r#"{"events":[],"cursor":"0000000a-18","head":20,"first":19}"#);
    for (gone, asks) in [
        (json("410 Gone", "Sambad-Cursor: 0000000a-20\r\n", &format!("{{{gone}}}")), false),
        (json("410 Gone", "", &format!(r#"{{{gone},"cursor":"0000000a-20"}}"#)), false),
        (json("410 Gone", "Sambad-Cursor: -\r\n", &format!(r#"{{{gone},"cursor":"0000000a-20"}}"#)), false),
        (json("410 Gone", "", &format!("{{{gone}}}")), true),
    ] {
        let server = Server::start().await;
        let after = Some("0000000a-5".parse().unwrap());
        let mut stream = server.client().stream(EventStreamOptions { after, transport: Transport::Poll, ..quick() });
        let script = async {
            server.answer_raw(&gone).await;
            if asks {
                assert_eq!(server.answer_raw(&head).await, "GET /api/events?after=0&limit=1 HTTP/1.1");
            }
        };
        let lines = ["connecting by poll", "replaying 0000000a-20 by poll", "resync cursor_expired 0000000a-20"];
        tokio::join!(script, expect(&mut stream, &lines));
    }
}

/// Goal: a log that was trimmed, or whose server answers nonsense, between two polls is noticed. Method: a script of answers.
#[tokio::test]
async fn a_poll_is_refused_between_two_others() {
    let json = |status: &str, headers: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
    };
    let page = |seq: u64| {
        let event = format!(r#"{{"type":"x","data":{{}},"timestamp":"2025-01-15T12:00:00Z","seq":{seq}}}"#);
        json("200 OK", "", &format!(r#"{{"events":[{event}],"cursor":"0000000a-{seq}","head":{seq},"first":1}}"#))
    };
    let gone = r#"{"error":"Gone","code":"cursor_gone","request_id":"r","reason":"cursor_expired"}"#;
    let server = Server::start().await;
    let after = Some("0000000a-5".parse().unwrap());
    let mut stream = server.client().stream(EventStreamOptions { after, transport: Transport::Poll, ..quick() });
    let script = async {
        let mut asked = vec![server.answer_raw(&page(6)).await];
        asked.push(server.answer_raw(&json("410 Gone", "Sambad-Cursor: 0000000a-20\r\n", gone)).await);
        asked.push(server.answer_raw(&page(21)).await);
        asked.push(server.answer_raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<").await);
        asked
    };
    let read = async {
        let lines = ["connecting by poll", "replaying 0000000a-5 by poll", "event 6", "live 0000000a-6 by poll"];
        expect(&mut stream, &lines).await;
        expect(&mut stream, &["resync cursor_expired 0000000a-20", "event 21"]).await;
        assert!(told(&mut stream).await.contains("invalid JSON"), "the transport is fixed: there is no other to try");
    };
    let (asked, ()) = tokio::join!(script, read);
    let path = |after: &str, wait: &str| format!("GET /api/events?after=0000000a-{after}&limit=1000{wait} HTTP/1.1");
    let live = "&wait=25";
    assert_eq!(asked, [path("5", ""), path("6", live), path("20", live), path("21", live)]);
}

/// Goal: a drain is honoured, and a restart ridden out. Method: a wide window; what the stream is told it waits.
#[tokio::test]
async fn rides_out_a_restart() {
    for transport in EACH {
        let config = ServerConfig { drain_window: Duration::from_millis(300), ..ServerConfig::default() };
        let server = TestServer::start_with(config, Limits::default()).await;
        let proxy = Proxy::start(server.url()).await;
        let mut stream = Client::new(proxy.url()).unwrap().stream(EventStreamOptions { transport, ..quick() });
        let mut verifier = Verifier::unfiltered(live(&mut stream).await);
        user(&Client::new(server.url()).unwrap(), 0).await;
        read_to(&mut stream, &mut verifier, 1).await;
        let (directory, end) = tokio::join!(server.stop(), next(&mut stream));
        let Item::State(State::Reconnecting { why, delay, .. }) = end else { panic!("{transport}: {end:?}") };
        if transport != Transport::Poll {
            let why = why.to_string();
            let asked = why.strip_prefix("closed by the server: 4000 drain reconnect_after_ms=");
            assert_eq!(asked.and_then(|ms| ms.parse().ok()).map(Duration::from_millis), Some(delay), "{transport}: {why}");
        }
        let successor = TestServer::start_in(directory, ServerConfig::default(), Limits::default()).await;
        proxy.retarget(successor.url());
        user(&Client::new(successor.url()).unwrap(), 1).await;
        read_to(&mut stream, &mut verifier, 2).await;
    }
}

/// What lets no user through.
fn messages() -> Filter {
    Filter { kinds: [EventKind::MessageSent].into_iter().collect(), user: None }
}

/// Reads until the cursor stands at `seq`; the stream has no item meanwhile.
async fn moves_to(stream: &mut EventStream, seq: u64) {
    let moved = async {
        while stream.cursor().is_none_or(|cursor| cursor.seq < Seq(seq)) {
            // It lives by being read.
            let told = tokio::time::timeout(Duration::from_millis(20), stream.next()).await;
            assert!(told.is_err(), "{told:?}");
        }
    };
    tokio::time::timeout(SOON, moved).await.expect("the server sends the position");
}

/// Goal: the cursor of a reader without events moves with the log. Method: a filter that nothing passes, short heartbeats,
/// by each transport that has any.
#[tokio::test]
async fn a_quiet_readers_cursor_does_not_grow_old() {
    for transport in [Transport::WebSocket, Transport::Sse] {
        let config = ServerConfig { heartbeat: Duration::from_millis(50), ..ServerConfig::default() };
        let server = TestServer::start_with(config, Limits::default()).await;
        let client = Client::new(server.url()).unwrap();
        let (filter, grace) = (messages(), Duration::from_secs(10));
        let mut stream = client.stream(EventStreamOptions { transport, filter, grace, ..quick() });
        live(&mut stream).await;
        for n in 0..3 {
            user(&client, n).await;
        }
        moves_to(&mut stream, 3).await;
    }
}

/// Goal: a reader whose filter lets little through gets no false `cursor_expired`. Method: a log of 20 events, one message
/// and 60 other events, then a restart, before which no heartbeat is due.
#[tokio::test]
async fn a_filtered_reader_rides_out_a_restart() {
    let retaining = |directory| {
        let (config, keep) = (ServerConfig::default(), Retention::Events(20));
        TestServer::start_retaining(directory, config, Limits::default(), keep)
    };
    let server = retaining(tempfile::tempdir().unwrap()).await;
    let proxy = Proxy::start(server.url()).await;
    let direct = Client::new(server.url()).unwrap();
    user(&direct, 0).await;
    let mut stream = Client::new(proxy.url()).unwrap().stream(EventStreamOptions { filter: messages(), ..quick() });
    live(&mut stream).await;
    let asha: UserRef = "+919000000000".parse().unwrap();
    direct.send_message(&NewMessage::text(asha.clone(), asha, "hi")).await.unwrap();
    assert!(matches!(next(&mut stream).await, Item::Event(_)));
    for n in 1..=60 {
        user(&direct, n).await;
    }
    let (directory, end) = tokio::join!(server.stop(), next(&mut stream));
    let Item::State(State::Reconnecting { why, .. }) = end else { panic!("{end:?}") };
    assert!(why.to_string().contains("4000 drain"), "{why}");
    assert_eq!(stream.cursor().map(|cursor| cursor.seq), Some(Seq(62)), "the last word was where it is");
    let successor = retaining(directory).await;
    proxy.retarget(successor.url());
    let again = loop {
        match next(&mut stream).await {
            Item::State(State::Live { cursor, .. }) => break cursor.seq,
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(again, Seq(62));
}

/// Goal: silence is death. Method: a server that says less than it announces, behind a link that stays open.
#[tokio::test]
async fn silence_is_death() {
    let config = ServerConfig { heartbeat: Duration::from_millis(900), ..ServerConfig::default() };
    let server = TestServer::start_with(config, Limits::default()).await;
    // It announces whole seconds, here none: with 200 ms of grace, 900 ms are silence.
    let mut stream = Client::new(server.url()).unwrap().stream(EventStreamOptions { transport: Transport::Sse, ..quick() });
    live(&mut stream).await;
    let Item::State(State::Reconnecting { why, .. }) = next(&mut stream).await else { panic!("no reconnect") };
    assert_eq!(why.to_string(), "no data from the server for 0.2 s");
    live(&mut stream).await;
}

/// Goal: `next` may be dropped at any time. Method: poll it once, drop it, again and again, and miss nothing.
#[tokio::test]
async fn next_is_cancel_safe() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    for n in 0..200 {
        user(&client, n).await;
    }
    for transport in EACH {
        let mut stream = client.stream(EventStreamOptions { after: Some(After::Seq(Seq::ZERO)), transport, ..quick() });
        let mut verifier = Verifier::unfiltered(Seq::ZERO);
        let read = async {
            while verifier.last() < Seq(200) {
                tokio::select! {
                    biased;
                    item = stream.next() => match item.unwrap().unwrap() {
                        Item::Event(event) => verifier.check(event.seq).unwrap(),
                        Item::State(State::Reconnecting { why, .. }) => panic!("{transport}: {why}"),
                        _ => {}
                    },
                    () = tokio::task::yield_now() => {}
                }
            }
        };
        tokio::time::timeout(SOON, read).await.expect("it gets on");
    }
}
