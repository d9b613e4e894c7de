//! The closing handshake, byte by byte: who says what, who waits for whom, and that nothing is lost or added.
//!
//! Source: RFC 6455, 5.5.1, 7.1.1 and 7.4.

use std::time::Duration;

use sambad_core::Limits;
use sambad_server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Dashboard, Ended, World, soon};
use crate::slow_readers::{flood, short_tail};

/// A masked frame with less than 126 bytes of payload; a mask of zeros changes nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = 0x80 | u8::try_from(payload.len()).expect("a short frame");
    [&[first, length, 0, 0, 0, 0], payload].concat()
}

/// A close frame's payload.
fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// The next frame of the server, not masked: its first byte and its payload.
async fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    soon("frame", async {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await.expect("a frame");
        let length = match head[1] {
            126 => stream.read_u16().await.expect("a length").into(),
            127 => stream.read_u64().await.expect("a length"),
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a frame that fits")];
        stream.read_exact(&mut payload).await.expect("the whole frame");
        (head[0], payload)
    })
    .await
}

/// Reads to the end of the connection, which has to be one, and no reset: what came before it.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    soon("end of the connection", stream.read_to_end(&mut rest)).await.expect("an end, not a reset");
    rest
}

/// The id of a session, from its first frame.
fn id(dashboard: &Dashboard) -> String {
    let connected: Value = serde_json::from_str(&dashboard.connected).expect("frames are JSON");
    connected["data"]["session"].as_str().expect("a session has an id").to_owned()
}

/// Goal: after its close frame the server says nothing more, waits for the client's, and ends the connection then. Method: an admin
/// closes a session; a ping that gets no pong, an event that does not come, requests in which a connection would end that is not kept;
/// meanwhile the session is neither counted nor listed, and cannot be closed again.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_waits_for_the_clients_close_frame() {
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    let path = format!("/api/admin/sessions/{}", id(&dashboard));
    assert_eq!(world.api.delete(&path).await.status, 200);
    let stream = dashboard.stream();
    assert_eq!(frame(stream).await, (0x88, close(4503, b"forbidden")));
    stream.write_all(&masked(0x89, b"ping")).await.expect("the connection stands");
    for _ in 0..5 {
        world.api.user("+919876543210").await;
        let listed = world.api.get("/api/admin/sessions").await.json();
        assert_eq!((listed["total"].as_u64(), &listed["sessions"]), (Some(0), &json!([])));
    }
    world.api.delete(&path).await.refused(404, "not_found");
    let next = stream.try_read(&mut [0; 16]);
    assert_eq!(next.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock), "the connection is to stand in silence");
    stream.write_all(&masked(0x88, &close(4503, b""))).await.expect("the connection stands");
    assert_eq!(rest(stream).await, b"");
    world.finish().await;
}

/// Goal: a client that never answers a close frame keeps its place for some seconds, and a server that ends for less. Method: one
/// place; a client that reads and says nothing, until somebody else gets in; another one, until the server has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_is_let_go() {
    let world = World::start_with(ServerConfig { sessions_max: 1, ..ServerConfig::default() }, Limits::default()).await;
    let mut mute = world.dashboard("").await;
    assert_eq!(world.api.delete(&format!("/api/admin/sessions/{}", id(&mute))).await.status, 200);
    assert_eq!(frame(mute.stream()).await, (0x88, close(4503, b"forbidden")));
    assert!(Dashboard::try_connect(world.server.address(), "").await.is_err(), "the place is taken");
    assert_eq!(rest(mute.stream()).await, b"");
    let mut next = soon("place", async {
        loop {
            if let Ok(dashboard) = Dashboard::try_connect(world.server.address(), "").await {
                return dashboard;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let (server, (first, _)) = tokio::join!(world.server.stop(), frame(next.stream()));
    drop(server);
    assert_eq!(first, 0x88);
    assert_eq!(rest(next.stream()).await, b"");
}

/// Goal: a close frame that arrives while a backlog is written is answered behind the frame that was begun, and by nothing else.
/// Method: a small socket, until the server says that it is full amid a long replay; then the close frame, and only then the client
/// reads, to the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_is_answered_amid_a_backlog() {
    const N: u64 = 15_000;
    let config = ServerConfig { stall_timeout: Duration::from_secs(600), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    flood(&world, &user, 15_000, 500).await;
    for (sent, answer) in [(close(1000, b"bye"), close(1000, b"bye")), (vec![], vec![]), (close(4999, b""), close(4999, b""))] {
        let mut client = Dashboard::with_small_buffer(world.server.address(), "after=0").await;
        let stream = client.stream();
        assert_eq!(frame(stream).await.0, 0x81);
        soon("full socket", async {
            while !world.api.get("/metrics").await.text.contains("sambad_sessions{transport=\"websocket\",state=\"parked\"} 1\n")
            {
            }
        })
        .await;
        stream.write_all(&masked(0x88, &sent)).await.expect("the connection stands");
        world.sessions(0).await;
        let mut events = 1;
        let last = loop {
            match frame(stream).await {
                (0x81, json) => {
                    events += 1;
                    let json = String::from_utf8(json).expect("frames are text");
                    assert!(json.ends_with(&format!(r#","seq":{events}}}"#)), "{json} is not {events}");
                }
                last => break last,
            }
        };
        assert_eq!(last, (0x88, answer));
        assert!(events < N, "the socket took the whole replay");
        assert_eq!(rest(stream).await, b"", "nothing follows a close frame");
    }
    world.finish().await;
}

/// Goal: a client's close frame is answered as RFC 6455 says, whatever it carries, and the server ends the connection after its answer.
/// Method: codes and reasons at the edges of what is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn every_close_frame_is_answered() {
    let world = World::start().await;
    let longest = [b'x'; 123];
    let violation = close(1002, b"Protocol violation");
    for (sent, answer) in [
        (vec![], vec![]),
        (close(1000, b""), close(1000, b"")),
        (close(1001, "adi\u{f3}s".as_bytes()), close(1001, "adi\u{f3}s".as_bytes())),
        (close(1011, &longest), close(1011, &longest)),
        (close(3000, b""), close(3000, b"")),
        (close(4999, b""), close(4999, b"")),
        // Codes that no frame may carry.
        (close(0, b""), violation.clone()),
        (close(999, b""), violation.clone()),
        (close(1004, b""), violation.clone()),
        (close(1005, b""), violation.clone()),
        (close(1006, b""), violation.clone()),
        (close(1015, b""), violation.clone()),
        (close(1016, b""), violation.clone()),
        (close(2999, b""), violation),
    ] {
        let mut dashboard = world.dashboard("").await;
        let stream = dashboard.stream();
        stream.write_all(&masked(0x88, &sent)).await.expect("the connection stands");
        assert_eq!(frame(stream).await, (0x88, answer), "{sent:?}");
        assert_eq!(rest(stream).await, b"", "{sent:?}");
    }
    for (payload, code) in [(&b"\x03"[..], "invalid_frame"), (b"\x03\xe8\xff\xfe", "invalid_utf8")] {
        let mut dashboard = world.dashboard("").await;
        let stream = dashboard.stream();
        stream.write_all(&masked(0x88, payload)).await.expect("the connection stands");
        let (first, error) = frame(stream).await;
        let error: Value = serde_json::from_slice(&error).expect("frames are JSON");
        assert_eq!((first, error["code"].as_str()), (0x81, Some(code)));
        assert_eq!(frame(stream).await, (0x88, close(4500, b"bad_frames")));
        assert_eq!(rest(stream).await, b"", "{payload:?}");
    }
    world.finish().await;
}

/// Goal: a message without an end is told and closed, however little it brings. Method: fragments without payload, alone and between
/// pings, until the server closes; in pieces that are small enough to be answered one by one.
#[tokio::test(flavor = "multi_thread")]
async fn endless_fragments_are_told_and_closed() {
    // The bound on frames a second is not what is tried here.
    let mut config = ServerConfig::default();
    config.clients.session_frames_per_s = 0;
    let world = World::start_with(config, Limits::default()).await;
    for between in [vec![], masked(0x89, b"x"), masked(0x8a, b"")] {
        let mut dashboard = world.dashboard("").await;
        let stream = dashboard.stream();
        stream.write_all(&masked(0x01, b"")).await.expect("the connection stands");
        let fragments = [masked(0x00, b"").repeat(1000), between.clone()].concat();
        for _ in 0..30 {
            stream.write_all(&fragments).await.expect("the connection stands");
        }
        let error = loop {
            match frame(stream).await {
                (0x81, error) => break error,
                (0x8a, _) if !between.is_empty() => {}
                other => panic!("{other:?}"),
            }
        };
        let error: Value = serde_json::from_slice(&error).expect("frames are JSON");
        assert_eq!(error["code"], "frame_too_large");
        assert_eq!(frame(stream).await, (0x88, close(4500, b"bad_frames")));
        stream.write_all(&masked(0x88, &close(4500, b""))).await.expect("the connection stands");
        assert_eq!(rest(stream).await, b"");
    }
    // Pieces of a byte, with pings between them, are a message as any other.
    let mut dashboard = world.dashboard("").await;
    let text = br#"{"type":"ping"}"#;
    let mut bytes = masked(0x01, &text[..1]);
    for byte in &text[1..text.len() - 1] {
        bytes.extend([masked(0x89, b""), masked(0x00, &[*byte])].concat());
    }
    bytes.extend(masked(0x80, &text[text.len() - 1..]));
    dashboard.stream().write_all(&bytes).await.expect("the connection stands");
    dashboard.expect("pong").await;
    world.finish().await;
}

/// Goal: the error frame and the close code arrive at a client that goes on sending, and its close frame is found behind what nobody
/// reads any more. Method: a frame far above the bound, all of it written before anything is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_full_flow_learns_why() {
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    dashboard.send("x".repeat(3 << 20)).await;
    let error = dashboard.frame().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("frame_too_large")));
    assert_eq!(dashboard.ended().await, Ended::Closed(4500, "bad_frames".into()));
    // The library's own close frame has gone out with that.
    dashboard.send(Message::Pong(Vec::new().into())).await;
    assert_eq!(rest(dashboard.stream()).await, b"");
    world.finish().await;
}
