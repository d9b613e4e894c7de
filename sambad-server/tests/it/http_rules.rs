//! HTTP as its RFCs write it, byte by byte: hosts, codings, expectations, methods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::config::Role;
use sambad_server::testing::{TestKeys, routes};

use crate::harness::{Raw, World};

/// Writes bytes on a connection of their own, which the request ends; gives all that comes back.
async fn exchange(world: &World, bytes: &str) -> String {
    let mut raw = world.raw().await;
    raw.write(bytes).await;
    String::from_utf8_lossy(&raw.end().await).into_owned()
}

/// The status of the first response.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no response: {answer:?}"))
}

/// The headers of the first response, without those that differ each time.
fn headers(answer: &str) -> BTreeMap<String, String> {
    let head = answer.split("\r\n\r\n").next().expect("there is a head");
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    headers.filter(|(name, _)| name != "date" && name != "x-request-id").collect()
}

/// Goal: a client learns that its connection ends, before it sends another request on it. Method: requests that are refused before
/// their body has arrived, over a connection that the response must close; and one whose body was read, which it must not.
#[tokio::test]
async fn an_unread_body_ends_the_connection_by_name() {
    let world = World::start().await;
    let post = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
    };
    for (path, status) in [("/api/nothing", 404), ("/livez", 405)] {
        let mut raw = world.raw().await;
        let answer = raw.ask(post(path, 20)).await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{path}");
        raw.end().await;
    }
    let mut raw = world.raw().await;
    for _ in 0..2 {
        let answer = raw.ask(post("/api/users/login", 2) + "{}").await;
        assert_eq!((answer.status, answer.header("connection")), (400, None));
    }
    world.finish().await;
}

/// Goal: a request names its host once, as RFC 9112 (3.2) demands; HTTP/1.0 may leave it out. Method: a table of heads; a refusal
/// is the contract's, and what follows it on the connection is not served.
#[tokio::test]
async fn requests_name_one_valid_host() {
    let world = World::start().await;
    for (line, hosts, expected) in [
        ("GET /livez HTTP/1.1", "host: sambad.example\r\n", 200),
        ("GET /livez HTTP/1.1", "host: sambad.example:4000\r\n", 200),
        ("GET /livez HTTP/1.1", "host: sambad.example:\r\n", 200),
        ("GET /livez HTTP/1.1", "host: my_service:4000\r\n", 200),
        ("GET /livez HTTP/1.1", "host: 127.0.0.1\r\n", 200),
        ("GET /livez HTTP/1.1", "host: [::1]:4000\r\n", 200),
        ("GET /livez HTTP/1.1", "host: xn--bcher-kva.example.\r\n", 200),
        ("GET http://sambad.example/livez HTTP/1.1", "host: sambad.example\r\n", 200),
        ("GET /livez HTTP/1.0", "", 200),
        ("GET /livez HTTP/1.0", "host: sambad.example\r\n", 200),
        ("GET /livez HTTP/1.1", "", 400),
        ("GET http://sambad.example/livez HTTP/1.1", "", 400),
        ("GET /livez HTTP/1.1", "host:\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a\r\nhost: a\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a\r\nhost: b\r\n", 400),
        ("GET /livez HTTP/1.0", "host: a\r\nhost: b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a, b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a,b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a/b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: http://a\r\n", 400),
        ("GET /livez HTTP/1.1", "host: user@a\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a?b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a#b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: :4000\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a:b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a:70000\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a:+80\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a:1:2\r\n", 400),
        ("GET /livez HTTP/1.1", "host: ::1\r\n", 400),
        ("GET /livez HTTP/1.1", "host: [::1\r\n", 400),
        ("GET /livez HTTP/1.1", "host: [::g]\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a[b]\r\n", 400),
        ("GET /livez HTTP/1.1", "host: [::1]4000\r\n", 400),
        ("GET /livez HTTP/1.1", "host: b\u{fc}cher.example\r\n", 400),
        ("GET http://user@a/livez HTTP/1.1", "host: a\r\n", 400),
    ] {
        let next = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let last = if expected == 200 { "connection: close\r\n\r\n".to_owned() } else { format!("\r\n{next}") };
        let answer = exchange(&world, &format!("{line}\r\n{hosts}{last}")).await;
        assert_eq!(status(&answer), expected, "{line} {hosts:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{line} {hosts:?}: {answer}");
        if expected == 400 {
            assert!(answer.contains(r#""code":"malformed_request""#) && answer.contains("x-request-id"), "{answer}");
        }
    }
    world.finish().await;
}

/// Goal: a body has one transfer coding, `chunked`; any other, or one that is named twice, is refused and ends the connection.
/// Method: a table of codings, each with a whole request behind it.
#[tokio::test]
async fn bodies_have_one_transfer_coding() {
    let world = World::start().await;
    let body = r#"{"phone":"+919876543210"}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (codings, expected) in [
        ("transfer-encoding: chunked\r\n", 200),
        ("Transfer-Encoding: Chunked\r\n", 200),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", 400),
        ("transfer-encoding: chunked, chunked\r\n", 400),
        ("transfer-encoding: gzip, chunked\r\n", 400),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", 400),
        ("transfer-encoding: identity, chunked\r\n", 400),
        ("transfer-encoding: x, chunked\r\n", 400),
        ("transfer-encoding: , chunked\r\n", 400),
        ("transfer-encoding:\r\ntransfer-encoding: chunked\r\n", 400),
        ("transfer-encoding: chunked;a=b, chunked\r\n", 400),
    ] {
        let next = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let end = if expected == 200 { "connection: close\r\n" } else { "" };
        let request = format!(
            "POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{codings}{end}\r\n{chunked}{next}"
        );
        let answer = exchange(&world, &request).await;
        assert_eq!(status(&answer), expected, "{codings:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{codings:?}: {answer}");
        if expected == 400 {
            assert_eq!(headers(&answer).get("connection").map(String::as_str), Some("close"), "{answer}");
        }
    }
    world.finish().await;
}

/// Goal: an expectation that the server does not know is refused, as RFC 9110 (10.1.1) allows, and the one it knows is met.
/// Method: a table; the body of the one that is met is sent after the server asked for it.
#[tokio::test]
async fn expectations_are_met_or_refused() {
    let world = World::start().await;
    for (expect, expected) in [("nonsense", 417), ("100-continue, nonsense", 417), ("100-continuex", 417), ("", 417)] {
        let answer = world.api.request(Method::GET, "/api/users", &[("expect", expect)], None).await;
        answer.refused(expected, "expectation_failed");
    }
    let body = r#"{"phone":"+919876543210"}"#;
    let mut raw = world.raw().await;
    let length = body.len();
    raw.write(format!(
        "POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-Continue\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    ))
    .await;
    let first = raw.end_or_answer().await;
    assert_eq!(String::from_utf8_lossy(&first), "HTTP/1.1 100 Continue\r\n\r\n");
    raw.write(body).await;
    let rest = String::from_utf8_lossy(&raw.end().await).into_owned();
    assert!(rest.contains("HTTP/1.1 200 OK"), "{rest}");
    // HTTP/1.0 has no expectations.
    let old = exchange(&world, "GET /livez HTTP/1.0\r\nexpect: nonsense\r\n\r\n").await;
    assert_eq!(status(&old), 200);
    world.finish().await;
}

/// Goal: `Allow` is on every 405 and names exactly the methods that the path answers. Method: each method on each path of the
/// table and on files, on a server that pages of other origins may use (and OPTIONS is answered) and on one that they may not.
#[tokio::test]
async fn allow_names_what_is_answered() {
    const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let open = World::start().await;
    let keys = TestKeys::new();
    let config = ServerConfig { auth: keys.config(), ..ServerConfig::default() };
    let token = keys.token(&[Role::Admin], "operator");
    let closed = World::start_with(config, Limits::default()).await;
    let paths = routes().into_iter().map(|(_, path, _)| path.replace("{id}", "x"));
    let paths: BTreeSet<String> = paths
        .chain(["/dashboard", "/sambad.js", "/docs/"].map(str::to_owned))
        .filter(|path| path != "/api/events/stream")
        .collect();
    for (world, options) in [(&open, true), (&closed, false)] {
        for path in &paths {
            let mut answered = Vec::new();
            let mut allowed = Vec::new();
            for method in METHODS {
                let rest = format!("authorization: Bearer {token}\r\ncontent-length: 0\r\nconnection: close");
                let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{rest}\r\n\r\n");
                let answer = exchange(world, &request).await;
                if status(&answer) == 405 {
                    let allow = headers(&answer).get("allow").unwrap_or_else(|| panic!("{method} {path}: {answer}")).clone();
                    allowed.push(allow);
                } else {
                    answered.push(method);
                }
            }
            assert_eq!(answered.contains(&"OPTIONS"), options, "{path}");
            for allow in allowed {
                let mut named: Vec<&str> = allow.split(',').map(str::trim).collect();
                let mut answered = answered.clone();
                named.sort_unstable();
                answered.sort_unstable();
                assert_eq!(named, answered, "{path}");
            }
        }
    }
    closed.server.stop().await;
    open.finish().await;
}

/// Goal: HEAD is GET without the body: the same status and headers, and no waiting for a poll. Method: both on each sort of path;
/// a long poll on a log that does not grow.
#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::start().await;
    world.api.users(30).await;
    for path in [
        "/",
        "/dashboard",
        "/sambad.js",
        "/livez",
        "/api/users",
        "/api/users?limit=2",
        "/api/events?after=0",
        "/api/openapi.json",
        "/api/nothing",
        "/api/users/x",
        "/dashboard/",
    ] {
        for encoding in ["identity", "gzip"] {
            let ask = async |method: &str| {
                let request =
                    format!("{method} {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: {encoding}\r\nconnection: close\r\n\r\n");
                exchange(&world, &request).await
            };
            let (get, head) = (ask("GET").await, ask("HEAD").await);
            assert_eq!((status(&get), headers(&get)), (status(&head), headers(&head)), "{path} {encoding}");
            assert!(head.ends_with("\r\n\r\n"), "{path}: {head}");
        }
    }
    let begun = Instant::now();
    let head = exchange(&world, "HEAD /api/events?after=30&wait=30 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(status(&head), 200);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let stream = exchange(&world, "HEAD /api/events/stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(headers(&stream).get("content-type").map(String::as_str), Some("text/event-stream"), "{stream}");
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: only an HTTP/1.1 request with a whole handshake, of which nothing comes twice, is upgraded; each refusal says what a
/// handshake needs. Method: a table of heads, each once; the version of HTTP is named where that is what lacks.
#[tokio::test]
async fn only_a_whole_handshake_is_upgraded() {
    let world = World::start().await;
    let whole = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (from, to) in [
        ("HTTP/1.1", "HTTP/1.0"),
        ("version: 13", "version: 13\r\nsec-websocket-version: 13"),
        ("version: 13", "version: 8\r\nsec-websocket-version: 13"),
        ("version: 13", "version: 8, 13"),
        ("version: 13", "version: 013"),
        ("key: dGhlIHNhbXBsZSBub25jZQ==", "key:"),
        ("key: dGhlIHNhbXBsZSBub25jZQ==", "key: dGhlIHNhbXBsZSBub25jZQ"),
        ("key: dGhlIHNhbXBsZSBub25jZQ==", "key: dGhlIHNhbXBsZSBub25j"),
        ("key: dGhlIHNhbXBsZSBub25jZQ==", "key: dGhlIHNhbXBsZSBub25jZSE="),
        ("key: dGhlIHNhbXBsZSBub25jZQ==", "key: not base64 at all!!!!!!!"),
        ("key: dGhlIHNhbXBsZSBub25jZQ==", "key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        let mut raw = world.raw().await;
        let answer = raw.ask(format!("{}\r\n", whole.replacen(from, to, 1))).await;
        let told = answer.refused(426, "upgrade_required");
        assert_eq!(told.contains("HTTP/1.1"), to == "HTTP/1.0", "{told}");
        for (name, value) in [("sec-websocket-version", "13"), ("upgrade", "websocket"), ("connection", "Upgrade")] {
            assert!(answer.header(name).is_some_and(|found| found.contains(value)), "{to}: no {name}: {answer:?}");
        }
    }
    let mut raw: Raw = world.raw().await;
    raw.write(format!("{whole}\r\n")).await;
    assert!(raw.end_or_answer().await.starts_with(b"HTTP/1.1 101 "));
    drop(raw);
    world.sessions(0).await;
    world.finish().await;
}
