//! HTTP/2: what a client may have open, send and leave lying.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::{BodyExt as _, Either, Empty, StreamBody};
use hyper::body::Frame;
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

/// Goal: a client that waits to be asked for its body is answered soon, though the server cannot ask by HTTP/2, and no other request
/// of its connection notices. Method: an event stream on the same connection; a body that never comes behind `Expect: 100-continue` and behind an unknown expectation; no body, for which no client waits.
#[tokio::test]
async fn nobody_waits_to_be_asked_for_a_body() {
    type Pending = Either<StreamBody<stream::Pending<Result<Frame<Bytes>, Infallible>>>, Empty<Bytes>>;
    let (world, certificate) = secure(ServerConfig::default()).await;
    let mut phone = 919_876_543_210_u64;
    for (expect, has_body, status) in [
        ("100-continue", true, 417),
        ("100-Continue", true, 417),
        ("nonsense", true, 417),
        ("nonsense", false, 417),
        ("100-continue", false, 400),
    ] {
        let stream = certificate.connect(world.server.address(), "h2").await.expect("a handshake");
        let connected = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut client, connection) = connected.expect("the server speaks HTTP/2");
        tokio::spawn(connection);
        let stream = Request::get(format!("{}/api/events/stream", world.server.url())).body(Either::Right(Empty::new()));
        let stream = soon("stream", client.send_request(stream.expect("a request"))).await.expect("a stream");
        let mut stream = stream.into_body();
        let request = Request::post(format!("{}/api/users/login", world.server.url())).header("expect", expect);
        let request = request.header("content-type", "application/json");
        let body: Pending = if has_body { Either::Left(StreamBody::new(stream::pending())) } else { Either::Right(Empty::new()) };
        let response = soon("answer", client.send_request(request.body(body).expect("a request"))).await;
        let response = response.expect("the server answers");
        assert_eq!(response.status(), status, "{expect} {has_body}");
        let body = soon("end of the answer", response.into_body().collect()).await;
        assert_eq!(body.is_err(), status == 417, "{expect} {has_body}: a refused request ends by a reset");
        phone += 1;
        world.api.user(&format!("+{phone}")).await;
        let event = async {
            while let Some(frame) = stream.frame().await {
                let frame = frame.expect("the other stream goes on").into_data().unwrap_or_default();
                if String::from_utf8_lossy(&frame).contains(&phone.to_string()) {
                    return;
                }
            }
            panic!("the other stream has ended");
        };
        soon("event", event).await;
    }
    world.finish().await;
}

/// Goal: a client that sends its body unasked after a while is served. Method: curl, which waits for a second.
#[tokio::test]
async fn curl_is_served() {
    let (world, _certificate) = secure(ServerConfig::default()).await;
    let mut curl = tokio::process::Command::new("curl");
    let curl = curl.args([
        "--silent",
        "--insecure",
        "--http2",
        "--header",
        "Expect: 100-continue",
        "--write-out",
        "\n%{http_version} %{http_code}",
    ]);
    let curl = curl.args(["--header", "content-type: application/json", "--data", r#"{"phone":"+919876543210"}"#]);
    let output = soon("curl", curl.arg(format!("{}/api/users/login", world.server.url())).kill_on_drop(true).output()).await;
    let told = String::from_utf8(output.expect("tests need curl").stdout).expect("text");
    assert!(told.ends_with("\n2 200"), "{told}");
    world.finish().await;
}

/// Goal: the same with a client that people use. Method: Java's own, by both versions of HTTP, with and without the expectation.
#[tokio::test]
async fn java_is_answered() {
    let (world, certificate) = secure(ServerConfig::default()).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (cert, _) = certificate.write(directory.path());
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/Continue.java");
    let mut java = tokio::process::Command::new("java");
    let java = java.arg(source).arg(format!("{}/api/users/login", world.server.url())).arg(cert).kill_on_drop(true);
    let output = timeout(Duration::from_secs(120), java.output()).await.expect("Java's client hangs");
    let output = output.expect("tests need a JDK: `apt-get install default-jdk-headless`, or run scripts/test.sh");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[1..], ["HTTP_2 200", "HTTP_1_1 200", "HTTP_1_1 200"]);
    // Java 17 takes no answer but 100, and learns of the end of the connection instead.
    assert!(["HTTP_2 417", "no answer"].contains(&lines[0]), "{told}");
    world.finish().await;
}

/// Goal: a request by HTTP/2 names one host, by `:authority` or `Host`. Method: what is sent by hand with neither, one, both and
/// two that differ.
#[tokio::test]
async fn requests_name_one_host() {
    let (world, certificate) = secure(ServerConfig::default()).await;
    let mut client = client(&world, &certificate).await;
    let address = world.server.address().to_string();
    for (host, status) in [(None, 200), (Some(address.as_str()), 200), (Some("evil.example"), 400), (Some("not a host"), 400)] {
        let request = Request::get(format!("https://{address}/livez"));
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let response = soon("answer", client.send_request(request.body(String::new()).expect("a request"))).await;
        assert_eq!(response.expect("the server answers").status(), status, "{host:?}");
    }
    drop(client);
    world.finish().await;
}
