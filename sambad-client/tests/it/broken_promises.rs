//! Servers and proxies that send events twice, late, or not at all.

use std::time::Duration;

use sambad_client::{After, Client, Error, EventStream, EventStreamOptions, Item, NewUser, Seq, State, Transport, Verifier};
use sambad_server::testing::TestServer;

use crate::meddler::{ALL_PASS, FORBIDDEN, Fate, Fates, Meddler};
use crate::scripted::{SOON, Server, expect, quick};

const FORBIDDEN_UPGRADE: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn after(cursor: &str, transport: Transport) -> EventStreamOptions {
    EventStreamOptions { after: Some(cursor.parse().unwrap()), transport, ..quick() }
}

/// An answer to a poll, with these events.
fn page(seqs: &[u64], cursor: &str, head: u64) -> String {
    let event = |seq: &u64| format!(r#"{{"type":"x","data":{{}},"timestamp":"2025-01-15T12:00:00Z","seq":{seq}}}"#);
    let events = seqs.iter().map(event).collect::<Vec<_>>().join(",");
    let body = format!(r#"{{"events":[{events}],"cursor":"{cursor}","head":{head},"first":1}}"#);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Goal: a reconnect fills a hole. Method: 4, then 7; the stream reconnects from 4.
#[tokio::test]
async fn a_reconnect_fills_a_hole() {
    let server = Server::start().await;
    let mut stream = server.client().stream(after("0000000a-3", Transport::Auto));
    let script = async {
        let mut peer = server.accept().await;
        peer.connected("0000000a-3").await;
        peer.event(4).await;
        peer.event(7).await;
        let mut again = server.accept().await;
        assert_eq!(again.query, "after=0000000a-4");
        again.connected("0000000a-4").await;
        for seq in 5..=7 {
            again.event(seq).await;
        }
        again.close(1000, "done").await;
    };
    let read = async {
        expect(&mut stream, &["connecting", "replaying 0000000a-3", "event 4"]).await;
        expect(&mut stream, &["reconnecting: gap: 2 missing between seq 4 and seq 7"]).await;
        expect(&mut stream, &["connecting", "replaying 0000000a-4", "event 5", "event 6", "event 7", "closed", "end"]).await;
    };
    tokio::join!(script, read);
}

/// Goal: a hole that stays is reported as a loss, and the stream continues. Method: the same hole twice, by two transports.
#[tokio::test]
async fn a_hole_that_stays_is_a_loss() {
    let server = Server::start().await;
    let mut stream = server.client().stream(after("0000000a-4", Transport::WebSocket));
    let script = async {
        for _ in 0..2 {
            let mut peer = server.accept().await;
            assert_eq!(peer.query, "after=0000000a-4");
            peer.connected("0000000a-4").await;
            peer.event(7).await;
        }
    };
    let read = async {
        expect(&mut stream, &["connecting", "replaying 0000000a-4"]).await;
        expect(&mut stream, &["reconnecting: gap: 2 missing between seq 4 and seq 7"]).await;
        expect(&mut stream, &["connecting", "replaying 0000000a-4", "resync loss 0000000a-6", "event 7"]).await;
    };
    tokio::join!(script, read);

    let server = Server::start().await;
    let mut stream = server.client().stream(after("0000000a-4", Transport::Poll));
    let script = async {
        for _ in 0..2 {
            server.answer_raw(&page(&[7], "0000000a-7", 7)).await;
        }
    };
    let read = async {
        expect(&mut stream, &["connecting by poll", "replaying 0000000a-4 by poll"]).await;
        expect(&mut stream, &["reconnecting: gap: 2 missing between seq 4 and seq 7", "connecting by poll"]).await;
        expect(&mut stream, &["replaying 0000000a-4 by poll", "resync loss 0000000a-6", "event 7"]).await;
    };
    tokio::join!(script, read);
}

/// Goal: no event is passed on twice, and a repeat changes the transport. Method: a WebSocket that repeats, an event stream that
/// does, and a poll that continues.
#[tokio::test]
async fn a_repeat_changes_the_transport() {
    let server = Server::start().await;
    let mut stream = server.client().stream(after("0000000a-5", Transport::Auto));
    let old = concat!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
        "event: connected\ndata: {\"type\":\"connected\",\"data\":{\"cursor\":\"0000000a-5\",\"head\":9,\"first\":1,\"heartbeat_s\":25}}\n\n",
        "id: 0000000a-6\nevent: x\n",
        "data: {\"type\":\"x\",\"data\":{},\"timestamp\":\"2025-01-15T12:00:00Z\",\"seq\":6}\n\n",
    );
    let script = async {
        let mut peer = server.accept().await;
        peer.connected("0000000a-5").await;
        for seq in [6, 7, 6] {
            peer.event(seq).await;
        }
        assert!(server.answer_raw(old).await.starts_with("GET /api/events/stream?after=0000000a-7 "));
        assert!(server.answer_raw(&page(&[8], "0000000a-8", 8)).await.starts_with("GET /api/events?after=0000000a-7&"));
    };
    let read = async {
        expect(&mut stream, &["connecting", "replaying 0000000a-5", "event 6", "event 7"]).await;
        expect(&mut stream, &["reconnecting: repeat: seq 6 arrived again, after seq 7", "connecting by sse"]).await;
        expect(&mut stream, &["replaying 0000000a-5 by sse", "reconnecting: repeat: seq 6 arrived again, after seq 7"]).await;
        expect(&mut stream, &["connecting by poll", "replaying 0000000a-7 by poll", "event 8"]).await;
    };
    tokio::join!(script, read);
}

/// Goal: nothing of a wrong page is passed on, and none ends the stream. Method: each sort of page, then a good one.
#[tokio::test]
async fn wrong_pages_are_dropped() {
    let gone = r#"{"error":"Gone","code":"cursor_gone","request_id":"r","reason":"cursor_expired"}"#;
    let gone = format!(
        "HTTP/1.1 410 Gone\r\nContent-Length: {}\r\nConnection: close\r\nSambad-Cursor: 0000000a-5\r\n\r\n{gone}",
        gone.len()
    );
    let empty = page(&[], "0000000a-5", 5);
    let beyond = page(&[], "0000000a-5", 9);
    let position = |what: &str| format!("unexpected response from URL: {what}");
    let live = ["live 0000000a-5 by poll"].as_slice();
    for (answers, items, complaint) in [
        (vec![page(&[5], "0000000a-5", 5)], [].as_slice(), String::from("repeat: seq 5 arrived again, after seq 5")),
        (vec![page(&[4, 5, 6], "0000000a-6", 6)], &[], "repeat: seq 4 arrived again, after seq 5".into()),
        (vec![page(&[6, 8, 7], "0000000a-8", 8)], &[], "reorder: seq 7 arrived after seq 8".into()),
        (vec![page(&[6, 6], "0000000a-6", 6)], &[], "repeat: seq 6 arrived again, after seq 6".into()),
        (vec![page(&[6], "0000000a-5", 9)], &[], position("the position went back to 0000000a-5 after seq 6")),
        (vec![page(&[], "0000000a-4", 9)], &[], position("the position went back to 0000000a-4 after seq 5")),
        (vec![page(&[6], "0000000b-6", 6)], &[], position("the position changed from 0000000a-5 to 0000000b-6 without a resync")),
        (
            vec![beyond.clone(), beyond.clone(), beyond],
            &[],
            position("3 empty responses in a row after 0000000a-5, each without waiting"),
        ),
        (
            vec![empty.clone(), empty.clone(), empty.clone(), empty],
            live,
            position("3 empty responses in a row after 0000000a-5, each without waiting"),
        ),
        (
            vec![gone.clone(), gone],
            &["resync cursor_expired 0000000a-5", "live 0000000a-5 by poll"],
            position("the server cannot resume after 0000000a-5 either"),
        ),
    ] {
        let server = Server::start().await;
        let complaint = complaint.replace("URL", server.client().url());
        let mut stream = server.client().stream(after("0000000a-5", Transport::Poll));
        let script = async {
            for answer in &answers {
                server.answer_raw(answer).await;
            }
            assert!(server.answer_raw(&page(&[6], "0000000a-6", 6)).await.starts_with("GET /api/events?after=0000000a-5&"));
        };
        let read = async {
            expect(&mut stream, &["connecting by poll", "replaying 0000000a-5 by poll"]).await;
            expect(&mut stream, items).await;
            expect(&mut stream, &[&format!("reconnecting: {complaint}"), "connecting by poll"]).await;
            expect(&mut stream, &["replaying 0000000a-5 by poll", "event 6", "live 0000000a-6 by poll"]).await;
        };
        tokio::join!(script, read);
    }
}

/// Goal: a cache that returns one page for ever gets ever fewer requests, and no event is passed on twice; once it is gone no event
/// is missing. Method: a proxy that keeps the first page of a real server; a fixed transport, and a fallback.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cache_is_asked_ever_less() {
    for (asked, fates) in [
        (Transport::Poll, Fates { polls: Fate::IsStale, ..ALL_PASS }),
        (Transport::Auto, Fates { upgrades: FORBIDDEN, streams: FORBIDDEN, polls: Fate::IsStale }),
    ] {
        let server = TestServer::start().await;
        let proxy = Meddler::start(server.url(), fates).await;
        user(&server, 1).await;
        let first = EventStreamOptions { after: Some(After::Seq(Seq::ZERO)), transport: asked, ..EventStreamOptions::default() };
        let mut stream = Client::new(&proxy.url).unwrap().stream(first);
        let mut verifier = Verifier::unfiltered(Seq::ZERO);
        let mut delays = Vec::new();
        while delays.len() < 4 {
            match next(&mut stream).await {
                Item::Event(event) => verifier.check(event.seq).unwrap(),
                Item::State(State::Reconnecting { delay, why: Error::Anomaly(_) }) => delays.push(delay),
                Item::State(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let doubled = |pair: &[Duration]| pair[1] >= pair[0];
        assert!(delays.windows(2).all(doubled) && delays[3] >= Duration::from_millis(400), "{asked}: {delays:?}");
        let [_, _, polls] = proxy.counts();
        assert!(polls <= 2 * 4, "{asked}: {polls} requests for {delays:?}");
        user(&server, 2).await;
        proxy.change(ALL_PASS);
        while verifier.last() < Seq(2) {
            if let Item::Event(event) = next(&mut stream).await {
                verifier.check(event.seq).unwrap();
            }
        }
    }
}

/// Goal: a stale event stream does not keep a reader from the log. Method: a refused upgrade, an event stream whose position lies
/// before the reader's, then a poll.
#[tokio::test]
async fn a_stale_event_stream_is_left_for_a_poll() {
    let server = Server::start().await;
    let mut stream = server.client().stream(after("0000000a-5", Transport::Auto));
    let old = concat!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
        "event: connected\ndata: {\"type\":\"connected\",\"data\":{\"cursor\":\"0000000a-3\",\"head\":9,\"first\":1,\"heartbeat_s\":25}}\n\n",
        "event: heartbeat\nid: 0000000a-3\ndata: {\"type\":\"heartbeat\",\"data\":{\"cursor\":\"0000000a-3\"}}\n\n",
    );
    let script = async {
        server.answer_raw(FORBIDDEN_UPGRADE).await;
        server.answer_raw(old).await;
        server.answer_raw(&page(&[6], "0000000a-6", 6)).await
    };
    let url = server.client().url().to_owned();
    let read = async {
        expect(&mut stream, &["connecting", "reconnecting: forbidden (403)", "connecting by sse"]).await;
        expect(&mut stream, &["replaying 0000000a-3 by sse"]).await;
        let complaint =
            format!("reconnecting: unexpected response from {url}: the position went back from 0000000a-5 to 0000000a-3");
        expect(&mut stream, &[&complaint, "connecting by poll", "replaying 0000000a-5 by poll", "event 6"]).await;
    };
    let (asked, ()) = tokio::join!(script, read);
    assert!(asked.starts_with("GET /api/events?after=0000000a-5&"), "{asked}");
}

async fn next(stream: &mut EventStream) -> Item {
    tokio::time::timeout(SOON, stream.next()).await.expect("an item comes").unwrap().unwrap()
}

async fn user(server: &TestServer, number: u64) {
    let client = Client::new(server.url()).unwrap();
    client.login(&NewUser::new(format!("+91{}", 9_000_000_000 + number))).await.unwrap();
}
