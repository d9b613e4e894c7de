//! `/`, `/livez`, `/readyz`, `/api/health`, and what surrounds every request.

use reqwest::Method;
use serde_json::json;

use crate::harness::World;

/// Goal: the seed's first check works. Method: the first line of `/`.
#[tokio::test]
async fn root_says_that_it_is_running() {
    let world = World::start().await;
    let answer = world.api.get("/").await;
    assert_eq!((answer.status, answer.text.lines().next()), (200, Some("Sambad Unified Backend is running!")));
    world.finish().await;
}

/// Goal: orchestrators see a server that lives and takes traffic. Method: both probes.
#[tokio::test]
async fn probes_answer() {
    let world = World::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = world.api.get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"), "{path}");
    }
    world.finish().await;
}

/// Goal: health is the contract's and shows sessions and head. Method: literal body, with a session open, after a write.
#[tokio::test]
async fn health_shows_sessions_and_head() {
    let world = World::start().await;
    world.api.user("+919876543210").await;
    let dashboard = world.dashboard("").await;
    let answer = world.api.get("/api/health").await;
    let uptime = &answer.json()["uptime_s"];
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        r#"{{"status":"healthy","database":"connected","version":"{version}","uptime_s":{uptime},"sessions":1,"head":1,"first":1,"writable":true,"log_ahead_s":0,"clock_trusted":false}}"#
    );
    answer.is(200, &expected);
    assert_eq!(answer.cursor_seq(), 1);
    drop(dashboard);
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: requests have an id, the caller's if it can be one. Method: a table of ids, on an answer and on a refusal.
#[tokio::test]
async fn request_ids_are_the_callers_or_new() {
    let world = World::start().await;
    let long = "x".repeat(129);
    for (id, kept) in [("mine-1", true), (&long[..128], true), (&long, false), ("two words", false)] {
        for path in ["/api/users", "/api/nothing"] {
            let answer = world.api.request(Method::GET, path, &[("x-request-id", id)], None).await;
            assert_eq!(answer.header("x-request-id") == Some(id), kept, "{id} on {path}");
        }
    }
    let ids = [world.api.get("/livez").await, world.api.get("/livez").await].map(|answer| answer.headers["x-request-id"].clone());
    assert_ne!(ids[0], ids[1]);
    world.finish().await;
}

/// Goal: a path or method that is none is refused as JSON, on every kind of path. Method: a table.
#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let world = World::start().await;
    for (method, path, status, code) in [
        (Method::GET, "/nothing", 404, "not_found"),
        (Method::GET, "/api", 404, "not_found"),
        (Method::POST, "/api/users/login/", 404, "not_found"),
        (Method::GET, "/api/users/a/b", 404, "not_found"),
        (Method::DELETE, "/api/users", 405, "method_not_allowed"),
        (Method::GET, "/api/sync-contacts", 405, "method_not_allowed"),
        (Method::PUT, "/api/messages", 405, "method_not_allowed"),
        (Method::POST, "/ws", 405, "method_not_allowed"),
        (Method::POST, "/", 405, "method_not_allowed"),
    ] {
        let answer = world.api.request(method.clone(), path, &[], None).await;
        answer.refused(status, code);
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
    world.finish().await;
}

/// Goal: a page of any origin may read and write while only this machine can connect. Method: preflight and answer.
#[tokio::test]
async fn any_origin_may_use_a_loopback_server() {
    let world = World::start().await;
    let preflight = [
        ("origin", "http://localhost:5000"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,idempotency-key"),
    ];
    let answer = world.api.request(Method::OPTIONS, "/api/contacts", &preflight, None).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    let methods = answer.header("access-control-allow-methods").expect("methods are allowed");
    assert!(methods.contains("GET") && methods.contains("POST"), "{methods}");
    let origin = [("origin", "http://localhost:5000")];
    let answer = world.api.post_with("/api/users/login", &origin, json!({ "phone": "+919876543210" })).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let exposed = answer.header("access-control-expose-headers").expect("headers are exposed");
    for header in ["sambad-cursor", "x-request-id", "link", "idempotent-replayed", "retry-after"] {
        assert!(exposed.contains(header), "{header} is not in {exposed}");
    }
    world.finish().await;
}
