//! What servers and networks do wrong, and what the stream makes of it.

use std::time::{Duration, Instant};

use sambad_client::{After, Client, Cursor, Error, EventStreamOptions, Item, State};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::scripted::{Server, expect, quick, told};

const CUT: &str = "Connection reset without closing handshake";

fn after(cursor: &str) -> EventStreamOptions {
    EventStreamOptions { after: Some(After::Cursor(cursor.parse::<Cursor>().unwrap())), ..quick() }
}

/// Goal: a stream that began at "now" resumes after its last event. Method: drop the connection without a goodbye.
#[tokio::test]
async fn resumes_after_the_last_event() {
    let server = Server::start().await;
    let mut stream = server.client().stream(quick());
    let script = async {
        let mut peer = server.accept().await;
        assert_eq!(peer.query, "");
        peer.connected("0000000a-5").await;
        peer.event(6).await;
        drop(peer);
        let mut peer = server.accept().await;
        assert_eq!(peer.query, "after=0000000a-6");
        peer.connected("0000000a-6").await;
        peer.event(7).await;
        peer.send(r#"{"type":"live","data":{"cursor":"0000000a-7"}}"#).await;
        peer.close(1000, "done").await;
    };
    let url = server.client().url();
    let read = async {
        expect(&mut stream, &["connecting", "live 0000000a-5", "event 6"]).await;
        assert_eq!(told(&mut stream).await, format!("reconnecting: connection to {url} broke: {CUT}"));
        expect(&mut stream, &["connecting", "replaying 0000000a-6", "event 7", "live 0000000a-7", "closed", "end", "end"]).await;
    };
    tokio::join!(script, read);
    assert_eq!(stream.cursor(), Some("0000000a-7".parse().unwrap()));
}

/// Goal: each close code has the consequence that the contract names. Method: one connection for each.
#[tokio::test]
async fn close_codes_decide() {
    for (code, reason, consequence) in [
        (1001, "", "reconnecting: closed by the server: 1001"),
        (1000, "", "reconnecting: closed by the server: 1000"),
        (1002, "", "reconnecting: closed by the server: 1002"),
        (1008, "policy", "reconnecting: closed by the server: 1008 policy"),
        (1009, "", "reconnecting: closed by the server: 1009"),
        (4008, "idle", "reconnecting: closed by the server: 4008 idle"),
        (4009, "stalled", "reconnecting: closed by the server: 4009 stalled"),
        (4500, "bad_frames", "error: closed by the server: 4500 bad_frames"),
        (4029, "rate_limited", "reconnecting: closed by the server (4029 rate_limited)"),
        (4501, "unauthorized", "error: closed by the server (4501 unauthorized)"),
        (4503, "forbidden", "error: closed by the server (4503 forbidden)"),
        (1000, "done", "closed"),
    ] {
        let server = Server::start().await;
        let mut stream = server.client().stream(quick());
        let script = async {
            let mut peer = server.accept().await;
            peer.connected("0000000a-5").await;
            peer.close(code, reason).await;
        };
        let read = async {
            expect(&mut stream, &["connecting", "live 0000000a-5", consequence]).await;
            if !consequence.starts_with("reconnecting") {
                assert_eq!(told(&mut stream).await, "end");
            }
        };
        tokio::join!(script, read);
    }
}

/// Goal: a draining server gets the pause it asks for. Method: 300 ms asked for, where 5 ms would be usual.
#[tokio::test]
async fn a_drain_is_honoured() {
    let server = Server::start().await;
    let mut stream = server.client().stream(quick());
    let script = async {
        let mut peer = server.accept().await;
        peer.connected("0000000a-5").await;
        let closed = Instant::now();
        peer.close(4000, "drain reconnect_after_ms=300").await;
        let mut peer = server.accept().await;
        assert!(closed.elapsed() >= Duration::from_millis(300), "{:?}", closed.elapsed());
        assert_eq!(peer.query, "after=0000000a-5");
        peer.connected("0000000a-5").await;
    };
    let read = async {
        expect(&mut stream, &["connecting", "live 0000000a-5"]).await;
        let Some(Ok(Item::State(State::Reconnecting { delay, .. }))) = stream.next().await else { panic!("no reconnect") };
        assert_eq!(delay, Duration::from_millis(300));
        expect(&mut stream, &["connecting", "replaying 0000000a-5"]).await;
    };
    tokio::join!(script, read);
}

/// Goal: who is told to ask less does. Method: 429 and 503 with `Retry-After: 2` to the upgrade, where 5 ms would be usual.
#[tokio::test]
async fn retry_after_is_honoured() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let server = Server::start().await;
        let mut stream = server.client().stream(quick());
        let answer = format!("HTTP/1.1 {status}\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n");
        let read = async {
            expect(&mut stream, &["connecting"]).await;
            let Some(Ok(Item::State(State::Reconnecting { delay, why }))) = stream.next().await else { panic!("no reconnect") };
            assert!((2.0..=2.5).contains(&delay.as_secs_f64()), "{delay:?}");
            assert_eq!(matches!(why, Error::RateLimited(_)), status.starts_with("429"), "{why:?}");
        };
        tokio::join!(server.answer_raw(&answer), read);
    }
}

/// Goal: a database that was replaced is noticed. Method: another epoch at the second connection.
#[tokio::test]
async fn a_changed_epoch_is_a_resync() {
    let server = Server::start().await;
    let mut stream = server.client().stream(after("0000000a-5"));
    let script = async {
        let mut peer = server.accept().await;
        assert_eq!(peer.query, "after=0000000a-5");
        peer.connected("0000000b-2").await;
        peer.send(r#"{"type":"resync","data":{"reason":"epoch_changed","cursor":"0000000b-2"}}"#).await;
        peer.event(3).await;
        drop(peer);
        assert_eq!(server.accept().await.query, "after=0000000b-3");
    };
    let read = async {
        expect(
            &mut stream,
            &["connecting", "replaying 0000000b-2", "resync epoch_changed 0000000b-2", "live 0000000b-2", "event 3"],
        )
        .await;
        assert!(told(&mut stream).await.starts_with("reconnecting"));
        assert_eq!(told(&mut stream).await, "connecting");
        told(&mut stream).await;
    };
    tokio::join!(script, read);
}

/// Goal: silence is death, a ping is not. Method: pings past the limit, then nothing on an open connection.
#[tokio::test]
async fn silence_is_death() {
    let server = Server::start().await;
    let (grace, connect_timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    let mut stream = server.client().stream(EventStreamOptions { grace, connect_timeout, ..quick() });
    let script = async {
        let mut peer = server.accept().await;
        peer.connected("0000000a-5").await;
        for _ in 0..4 {
            // The beat of the script itself: three times as fast as silence is borne.
            tokio::time::sleep(Duration::from_millis(350)).await;
            peer.ping().await;
            assert!(matches!(peer.hear().await, Some(Message::Pong(_))), "every ping is answered");
        }
        let next = server.accept().await;
        (peer, next)
    };
    let read = async {
        let begin = Instant::now();
        expect(&mut stream, &["connecting", "live 0000000a-5", "reconnecting: no data from the server for 1 s"]).await;
        assert!(begin.elapsed() >= Duration::from_millis(2_300), "{:?}", begin.elapsed());
        assert_eq!(told(&mut stream).await, "connecting");
        // Drives the second upgrade, which the script waits for; its server then falls silent, too.
        assert!(told(&mut stream).await.starts_with("reconnecting"));
    };
    tokio::join!(script, read);
}

/// Goal: a reader who was busy beyond the limit is not told of a death that was none. Method: block the runtime.
#[tokio::test]
async fn a_busy_reader_is_no_dead_server() {
    let server = Server::start().await;
    let mut stream = server.client().stream(quick());
    let script = async {
        let mut peer = server.accept().await;
        peer.connected("0000000a-5").await;
        peer
    };
    let (mut peer, ()) = tokio::join!(script, expect(&mut stream, &["connecting", "live 0000000a-5"]));
    peer.event(6).await;
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(told(&mut stream).await, "event 6");
}

/// Goal: refusals that would come again end the stream, others do not. Method: raw HTTP answers to the upgrade.
#[tokio::test]
async fn refused_upgrades() {
    let json = r#"{"error":"Invalid cursor","code":"invalid_field","request_id":"r"}"#;
    let with_body = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{json}", json.len());
    for (answer, told_as) in [
        (with_body.as_str(), "error: Invalid cursor (400 invalid_field)"),
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "error: unauthorized (401)"),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "reconnecting: service unavailable (503)"),
        (
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
            "reconnecting: too many requests (429)",
        ),
    ] {
        let server = Server::start().await;
        let mut stream = server.client().stream(quick());
        let lines = ["connecting", told_as];
        tokio::join!(server.answer_raw(answer), expect(&mut stream, &lines));
    }
}

/// Goal: a server that does not run is waited for. Method: dial a port that was just closed, then open it.
#[tokio::test]
async fn waits_for_a_server_to_come() {
    let server = Server::start().await;
    let url = server.client().url().to_owned();
    drop(server);
    let mut stream = Client::new(&url).unwrap().stream(quick());
    let refused = format!("reconnecting: cannot connect to {url}: Connection refused (os error 111)");
    expect(&mut stream, &["connecting", &refused, "connecting", &refused, "connecting"]).await;
}

/// Goal: what no attempt can mend ends the stream. Method: frames that break the contract.
#[tokio::test]
async fn broken_frames_are_final() {
    for (message, complaint) in [
        (Message::text("{"), "a frame is not an event"),
        (Message::text(r#"{"type":"x","seq":6}"#), "a frame is not an event"),
        (Message::Binary(Bytes::from_static(b"x")), "a frame is binary"),
        (Message::text("x".repeat((1 << 20) + 1)), "Message too long"),
    ] {
        let server = Server::start().await;
        let mut stream = server.client().stream(quick());
        let script = async {
            let mut peer = server.accept().await;
            peer.connected("0000000a-5").await;
            peer.raw(message).await;
            peer
        };
        let read = async {
            expect(&mut stream, &["connecting", "live 0000000a-5"]).await;
            let error = told(&mut stream).await;
            assert!(error.starts_with("error: unexpected response") && error.contains(complaint), "{error}");
            assert_eq!(told(&mut stream).await, "end");
        };
        tokio::join!(script, read);
    }
}

/// Goal: `next` may be dropped at any time. Method: poll it once, drop it, again and again, and miss nothing.
#[tokio::test]
async fn next_is_cancel_safe() {
    let server = Server::start().await;
    let mut stream = server.client().stream(quick());
    let script = async {
        let mut peer = server.accept().await;
        peer.connected("0000000a-0").await;
        for seq in 1..=500 {
            peer.event(seq).await;
        }
        peer.close(1000, "done").await;
    };
    let read = async {
        let mut seqs = Vec::new();
        loop {
            tokio::select! {
                biased;
                item = stream.next() => match item {
                    Some(item) => if let Item::Event(event) = item.unwrap() { seqs.push(event.seq.0) },
                    None => break seqs,
                },
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let ((), seqs) = tokio::join!(script, read);
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
}

/// Goal: a reader that leaves says so. Method: close, and look at what the server hears.
#[tokio::test]
async fn says_goodbye() {
    let server = Server::start().await;
    let mut stream = server.client().stream(quick());
    let script = async {
        let mut peer = server.accept().await;
        peer.connected("0000000a-5").await;
        peer.hear().await
    };
    let read = async {
        expect(&mut stream, &["connecting", "live 0000000a-5"]).await;
        stream.close().await;
    };
    let (heard, ()) = tokio::join!(script, read);
    let Some(Message::Close(Some(frame))) = heard else { panic!("{heard:?}") };
    assert_eq!(u16::from(frame.code), 1000);
}
