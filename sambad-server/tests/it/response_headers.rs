//! Headers that every response has, whoever makes it.

use reqwest::Method;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::testing::{TestKeys, routes};
use serde_json::json;

use crate::harness::{Answer, Raw, World};

/// The headers that no response lacks.
fn is_guarded(what: &str, answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}: {answer:?}");
    assert_eq!(answer.headers.get_all("x-content-type-options").iter().count(), 1, "{what}");
    let kept = answer.header("cache-control").unwrap_or_else(|| panic!("{what} may be kept: {answer:?}"));
    assert_eq!(answer.headers.get_all("cache-control").iter().count(), 1, "{what}");
    assert!(kept == "no-store" || kept == "no-cache, no-transform" || !what.contains("/api"), "{what}: {kept}");
}

/// Goal: no cache keeps what an answer of the API says, and no browser guesses its type, however the request ended. Method: every
/// route of the table with each of its outcomes: served, refused for its body, its query, its method, its path, its rate, its
/// size, its credentials, and by a server that drains.
#[tokio::test]
async fn nothing_is_kept_or_guessed() {
    let mut config = ServerConfig::default();
    config.clients.body_bytes_max = 2_000;
    let world = World::start_with(config, Limits::default()).await;
    let keys = TestKeys::new();
    let guarded = World::start_with(ServerConfig { auth: keys.config(), ..ServerConfig::default() }, Limits::default()).await;
    let routes = routes();
    assert!(routes.len() > 25);
    let json_body = [("content-type", "application/json")];
    for (method, path, _) in &routes {
        if path == &"/api/events/stream" {
            continue;
        }
        let path = path.replace("{id}", "0197a3f0-0000-7000-8000-000000000000");
        let method: Method = method.parse().expect("a method");
        for (outcome, query, headers, body) in [
            ("as it is", "", &json_body[..], None),
            ("a body that is none", "", &json_body[..], Some("{".to_owned())),
            ("a body of another type", "", &[][..], Some("x".to_owned())),
            ("a long body", "", &json_body[..], Some(json!({ "x": "y".repeat(3_000) }).to_string())),
            ("a query that is none", "?limit=x&after=y&q=%00", &[][..], None),
            ("a preflight", "", &[("origin", "http://localhost:1"), ("access-control-request-method", "GET")][..], None),
        ] {
            let method = if outcome == "a preflight" { Method::OPTIONS } else { method.clone() };
            let url = format!("{path}{query}");
            let answer = world.api.request(method.clone(), &url, headers, body).await;
            is_guarded(&format!("{method} {url} with {outcome}"), &answer);
        }
        for method in [method.clone(), Method::PUT, Method::HEAD, Method::OPTIONS] {
            is_guarded(&format!("{method} {path}"), &world.api.request(method.clone(), &path, &[], None).await);
            is_guarded(&format!("{method} {path}"), &guarded.api.request(method.clone(), &path, &[], None).await);
        }
    }
    for path in ["/api", "/api/", "/api/nothing", "/nothing", "/dashboard", "/dashboard/", "/docs", "/sambad.js"] {
        is_guarded(path, &world.api.get(path).await);
    }
    guarded.server.stop().await;
    world.finish().await;
}

/// Goal: also what is refused for its rate or for want of room, and streams and sockets, have the headers. Method: a server with
/// room for one session and one request a second.
#[tokio::test]
async fn refusals_for_load_are_not_kept() {
    let mut config = ServerConfig { sessions_max: 1, ..ServerConfig::default() };
    config.clients.address_logins_per_min = 1;
    config.clients.limit_loopback = true;
    let world = World::start_with(config, Limits::default()).await;
    let mut raw = Raw::connect(world.server.address()).await;
    raw.write(crate::ws::handshake("")).await;
    let upgraded = String::from_utf8_lossy(&raw.end_or_answer().await).into_owned();
    assert!(upgraded.contains("x-content-type-options: nosniff"), "{upgraded}");
    world.sessions(1).await;
    let refused = world.api.get("/api/events/stream").await;
    refused.refused(503, "overloaded");
    is_guarded("/api/events/stream refused", &refused);
    let poll = world.api.get("/api/events?after=0&wait=1").await;
    poll.refused(503, "overloaded");
    is_guarded("/api/events refused", &poll);
    drop(raw);
    world.sessions(0).await;
    let stream = world.source_once_there_is_a_place("").await;
    assert_eq!(stream.headers["x-content-type-options"], "nosniff");
    assert_eq!(stream.headers["cache-control"], "no-cache, no-transform");
    drop(stream);
    let mut limited = None;
    for _ in 0..10 {
        let answer = world.api.post("/api/users/login", json!({ "phone": "+919876543210" })).await;
        if answer.status == 429 {
            limited = Some(answer);
        }
    }
    is_guarded("/api/users/login too often", &limited.expect("more than one a minute"));
    world.server.stop().await;
}
