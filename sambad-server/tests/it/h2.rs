//! HTTP/2: what a client may have open, send and leave lying.

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sambad_server::ServerConfig;
use tokio::time::timeout;

use crate::harness::h2::{ENHANCE_YOUR_CALM, GOAWAY, HEADERS, RawH2};
use crate::harness::tls::Certificate;
use crate::harness::{World, soon};
use crate::tls::secure;

const STALL: Duration = Duration::from_millis(500);

/// A client that behaves.
async fn client(world: &World, certificate: &Certificate) -> SendRequest<String> {
    let stream = certificate.connect(world.server.address(), "h2").await.expect("a handshake");
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the server speaks HTTP/2");
    tokio::spawn(connection);
    client
}

/// Goal: a client that keeps its connection busy and takes nothing of its answers is left behind, whether the server holds a
/// whole answer or the end of it. Method: windows of no byte and of ten, pings answered; a file, a JSON body, an event stream:
/// the heads must come, then the end, not before its time.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let (world, certificate) = secure(ServerConfig { stall_timeout: STALL, ..ServerConfig::default() }).await;
    world.api.user("+919876543210").await;
    for window in [0, 10] {
        for path in ["/docs/swagger-ui.js", "/api/users", "/api/events/stream"] {
            let mut raw = RawH2::connect(world.server.address(), &certificate, window).await;
            let (begun, mut heads) = (Instant::now(), 0);
            for stream in 0..20 {
                raw.get(1 + 2 * stream, path).await;
            }
            soon("end of the connection", async {
                while let Some(frame) = raw.frame().await {
                    heads += usize::from(frame.kind == HEADERS);
                }
            })
            .await;
            assert!(heads == 20 && begun.elapsed() >= STALL, "{window} {path}: {heads} after {:?}", begun.elapsed());
        }
    }
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: whoever takes what there is is not left behind: neither a quiet event stream, nor an answer that comes in small bites.
/// Method: a stream without events for four times the patience, then one; beside it a client that reads a file in pieces with
/// pauses below the patience, which are longer together.
#[tokio::test(flavor = "multi_thread")]
async fn quiet_streams_and_slow_readers_go_on() {
    let (world, certificate) = secure(ServerConfig { stall_timeout: STALL, ..ServerConfig::default() }).await;
    let mut client = client(&world, &certificate).await;
    let mut get = async |path: &str| {
        let request = Request::get(format!("{}{path}", world.server.url())).body(String::new()).expect("a request");
        soon("answer", client.send_request(request)).await.expect("the server answers").into_body()
    };
    let (mut stream, mut file) = (get("/api/events/stream").await, get("/docs/swagger-ui.js").await);
    let said = soon("beginning", stream.frame()).await.expect("there is one").expect("it arrives");
    assert!(said.into_data().is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("\nevent: connected\n")));
    let (mut taken, begun) = (0, Instant::now());
    while let Some(frame) = soon("more of the file", file.frame()).await {
        taken += frame.expect("the connection is open").into_data().map_or(0, |bytes| bytes.len());
        if begun.elapsed() < STALL * 4 {
            tokio::time::sleep(STALL / 5).await;
        }
    }
    assert!(taken > 1 << 20 && begun.elapsed() >= STALL * 4, "{taken} bytes");
    while timeout(STALL, stream.frame()).await.is_ok() {}
    world.api.user("+919876543210").await;
    let event = soon("event", stream.frame()).await.expect("the stream is open").expect("it arrives").into_data();
    assert!(event.is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("user_created")));
    drop((stream, file, client));
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: a head has a hundred fields at most, as by HTTP/1.1. Method: as many, and one more.
#[tokio::test]
async fn heads_have_a_hundred_fields() {
    let (world, certificate) = secure(ServerConfig::default()).await;
    let mut client = client(&world, &certificate).await;
    for (fields, status) in [(100, 200), (101, 431)] {
        let mut request = Request::get(format!("{}/livez", world.server.url()));
        for i in 0..fields {
            request = request.header(format!("x-{i}"), "y");
        }
        let response = soon("answer", client.send_request(request.body(String::new()).expect("a request"))).await;
        assert_eq!(response.expect("the server answers").status(), status);
    }
    drop(client);
    world.finish().await;
}

/// Goal: whoever opens streams and resets them without end is sent away, and told why. Method: a hundred at a time until the
/// connection ends; the reason that the server gives.
#[tokio::test]
async fn resets_without_end_are_too_much() {
    let (world, certificate) = secure(ServerConfig::default()).await;
    let mut raw = RawH2::connect(world.server.address(), &certificate, 1 << 16).await;
    for batch in 0..10 {
        raw.get_and_reset((0..100).map(|i| 1 + 2 * (batch * 100 + i)), "/api/users").await;
    }
    let mut reason = Vec::new();
    soon("end of the connection", async {
        while let Some(frame) = raw.frame().await {
            if frame.kind == GOAWAY {
                reason = frame.payload[4..8].to_vec();
            }
        }
    })
    .await;
    assert_eq!(reason, ENHANCE_YOUR_CALM.to_be_bytes());
    world.finish().await;
}
