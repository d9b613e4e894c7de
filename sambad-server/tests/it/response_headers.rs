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
    let mut raw = Raw::connect(world.server.address()).await;
    is_guarded("/api without a host", &raw.ask("GET /api/users HTTP/1.1\r\n\r\n").await);
    for coding in ["gzip, chunked", "chunked, chunked"] {
        let mut raw = Raw::connect(world.server.address()).await;
        let request = format!("POST /api/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n");
        is_guarded("/api with another coding", &raw.ask(request).await);
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

/// Goal: client library and declarations load from any origin, also where pages of no other origin may use the server; nothing
/// else does. Method: both with an `Origin`, on a server that asks who calls; a packed form and one that is not sent again.
#[tokio::test]
async fn the_client_library_loads_from_any_origin() {
    let keys = TestKeys::new();
    for allowed in [vec![], vec!["https://admin.example".to_owned()]] {
        let config = ServerConfig { auth: keys.config(), allowed_origins: allowed, ..ServerConfig::default() };
        let world = World::start_with(config, Limits::default()).await;
        for path in ["/sambad.js", "/sambad.d.ts"] {
            let tag = world.api.get(path).await.header("etag").expect("a tag").to_owned();
            let origin = ("origin", "https://shop.example");
            for headers in
                [vec![origin], vec![origin, ("accept-encoding", "gzip")], vec![origin, ("if-none-match", tag.as_str())]]
            {
                let url = format!("{}{path}", world.server.url());
                let request =
                    headers.iter().fold(reqwest::Client::new().get(url), |request, (name, value)| request.header(*name, *value));
                let answer = request.send().await.expect("the server answers");
                assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{path} {headers:?}");
                assert_eq!(answer.headers()["cross-origin-resource-policy"], "cross-origin");
            }
        }
        for path in ["/dashboard", "/dashboard/app.js", "/api/health", "/docs/page.js"] {
            let answer = world.api.request(Method::GET, path, &[("origin", "https://shop.example")], None).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        }
        world.server.stop().await;
    }
}

/// Goal: a page may send what clients of event streams and tracing libraries send. Method: a preflight that asks for all of it.
#[tokio::test]
async fn preflights_allow_what_clients_send() {
    let world = World::start().await;
    let names = "authorization,baggage,cache-control,content-type,idempotency-key,last-event-id,pragma,traceparent,tracestate,x-request-id";
    let ask = [
        ("origin", "http://localhost:5000"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", names),
    ];
    let answer = world.api.request(Method::OPTIONS, "/api/events/stream", &ask, None).await;
    let allowed = answer.header("access-control-allow-headers").expect("headers are allowed").to_lowercase();
    for name in names.split(',') {
        assert!(allowed.split(',').any(|allowed| allowed.trim() == name), "{name} is not in {allowed}");
    }
    world.finish().await;
}
