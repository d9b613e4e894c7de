//! Bad input over HTTP: every row of the contract's table of errors. None of it changes anything.

use std::time::Duration;

use reqwest::Method;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use serde_json::{Value, json};

use crate::harness::World;

const LOGIN: &str = "/api/users/login";
const NOBODY: &str = "0197a3f0-0000-7000-8000-000000000000";

/// A world with two users and a contact, and what it looks like from outside.
async fn inhabited(config: ServerConfig) -> (World, Value) {
    let world = World::start_with(config, Limits::default()).await;
    let users = world.api.users(2).await;
    world.api.add_contact(&users[0], &users[1]).await;
    let state = state(&world).await;
    (world, state)
}

async fn state(world: &World) -> Value {
    let mut state = Vec::new();
    for path in ["users", "contacts", "messages", "admin/analytics", "events"] {
        state.push(world.api.get(&format!("/api/{path}")).await.json());
    }
    json!(state)
}

/// Checks that nothing changed and that the server still serves.
async fn unharmed(world: World, before: Value) {
    assert_eq!(state(&world).await, before);
    world.api.user("+919876543210").await;
    world.finish().await;
}

/// Goal: bodies that are no JSON object are refused, saying what is wrong. Method: a table on every POST.
#[tokio::test]
async fn bodies_that_are_no_json_object_are_refused() {
    let (world, before) = inhabited(ServerConfig::default()).await;
    for path in [LOGIN, "/api/contacts", "/api/messages", "/api/sync-contacts"] {
        for (body, code) in [
            ("", "invalid_json"),
            (" ", "invalid_json"),
            ("{", "invalid_json"),
            (r#"{"phone":"+919876543210""#, "invalid_json"),
            (r#"{"phone":"+919876543210",}"#, "invalid_json"),
            (r#"{"userId":"a","contacts":[]} x"#, "invalid_json"),
            (r#"{"contacts":[]}{}"#, "invalid_json"),
            ("{'phone':1}", "invalid_json"),
            ("[]", "invalid_field"),
            (r#"["+919876543210","+91",null,null]"#, "invalid_field"),
            (r#""+919876543210""#, "invalid_field"),
            ("null", "invalid_field"),
            ("5", "invalid_field"),
        ] {
            world.api.post(path, body).await.refused(400, code);
        }
        let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(1000));
        let refused = world.api.post(path, format!(r#"{{"x":{deep}}}"#)).await;
        refused.refused(400, "invalid_json");
    }
    let mut raw = world.raw().await;
    let invalid_utf8 = b"POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"phone\":\"\xff\"}";
    raw.ask(invalid_utf8).await.refused(400, "invalid_json");
    unharmed(world, before).await;
}

/// Goal: a field of the wrong type, form or length is named. Method: a table over every write.
#[tokio::test]
async fn fields_are_checked_and_named() {
    let (world, before) = inhabited(ServerConfig::default()).await;
    let id = before[0][0]["id"].as_str().expect("a user has an id");
    let long_name = "x".repeat(101);
    let (message, contact) = ("/api/messages", "/api/contacts");
    for (path, body, code, field) in [
        (LOGIN, json!({}), "invalid_field", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": 9876543210.5 }), "invalid_field", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": -9876543210_i64 }), "invalid_field", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": 98765 }), "invalid_phone", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": true }), "invalid_field", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": ["9876543210"] }), "invalid_field", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": "abcdefghij" }), "invalid_phone", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": "98765 43210 x5" }), "invalid_phone", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": "123" }), "invalid_phone", "mobileNumber"),
        (LOGIN, json!({ "mobileNumber": "9876543210", "countryCode": "India" }), "invalid_phone", "countryCode"),
        (LOGIN, json!({ "phone": "" }), "invalid_phone", "phone"),
        (LOGIN, json!({ "phone": "+1234567890123456" }), "invalid_phone", "phone"),
        (LOGIN, json!({ "phone": "+91987654321O" }), "invalid_phone", "phone"),
        (LOGIN, json!({ "phone": "+919876543210", "name": long_name }), "invalid_field", "name"),
        (LOGIN, json!({ "phone": "+919876543210", "name": "a\u{0}b" }), "invalid_field", "name"),
        (LOGIN, json!({ "phone": "+919876543210", "name": {} }), "invalid_field", "name"),
        (contact, json!({ "contactUserId": id }), "invalid_field", "userId"),
        (contact, json!({ "userId": id }), "invalid_field", "contactUserId"),
        (contact, json!({ "userId": "", "contactUserId": id }), "invalid_field", "userId"),
        (contact, json!({ "userId": "not-a-uuid", "contactUserId": id }), "invalid_id", "userId"),
        (contact, json!({ "userId": id, "contactUserId": "12345" }), "invalid_phone", "contactUserId"),
        (contact, json!({ "userId": id, "contactUserId": "01234567890123456789012345678901" }), "invalid_id", "contactUserId"),
        (contact, json!({ "userId": id, "contactUserId": true }), "invalid_field", "contactUserId"),
        (contact, json!({ "userId": id, "phone": "letters" }), "invalid_phone", "phone"),
        (contact, json!({ "userId": id, "contactUserId": "+12" }), "invalid_phone", "contactUserId"),
        (message, json!({ "toUserId": id, "content": "x" }), "invalid_field", "fromUserId"),
        (message, json!({ "fromUserId": id, "content": "x" }), "invalid_field", "toUserId"),
        (message, json!({ "fromUserId": id, "toUserId": id }), "invalid_field", "content"),
        (message, json!({ "fromUserId": id, "toUserId": id, "content": "" }), "invalid_field", "content"),
        (message, json!({ "fromUserId": id, "toUserId": id, "content": "x".repeat(4097) }), "invalid_field", "content"),
        (message, json!({ "fromUserId": id, "toUserId": id, "content": 5 }), "invalid_field", "content"),
        (message, json!({ "fromUserId": id, "toUserId": id, "content": "x", "type": "Text" }), "invalid_field", "type"),
        (message, json!({ "fromUserId": id, "toUserId": id, "content": "x", "type": "" }), "invalid_field", "type"),
        (message, json!({ "fromUserId": id, "toUserId": "call me", "content": "x" }), "invalid_id", "toUserId"),
        (message, json!({ "fromUserId": id, "toUserId": "12", "content": "x" }), "invalid_phone", "toUserId"),
        ("/api/sync-contacts", json!({ "contacts": { "Asha": "+919876543210" } }), "invalid_field", "contacts"),
    ] {
        let told = world.api.post(path, &body).await.refused(400, code);
        assert!(told.contains(field), "{path} {body}: {told}");
    }
    unharmed(world, before).await;
}

/// Goal: a refusal does not send back what was sent. Method: the longest text where a list, a number or a type belongs.
#[tokio::test]
async fn a_refusal_is_short() {
    let (world, before) = inhabited(ServerConfig::default()).await;
    let long = "x".repeat(60_000);
    let told = world.api.post("/api/sync-contacts", json!({ "contacts": long })).await.refused(400, "invalid_field");
    assert!(told.chars().count() < 300 && told.ends_with("expected a sequence"), "{told}");
    let told = world.api.get(&format!("/api/events?limit={}", &long[..10_000])).await.refused(400, "invalid_field");
    assert!(told.chars().count() < 300, "{told}");
    let mut dashboard = world.dashboard("").await;
    dashboard.send(format!(r#"{{"type":"subscribe","types":"{}"}}"#, &long[..16_000])).await;
    let told = dashboard.text().await.expect("the session is open");
    assert!(told.chars().count() < 400 && told.contains("invalid_field"), "{told}");
    drop(dashboard);
    unharmed(world, before).await;
}

/// Goal: who or what does not exist is not found, and nobody is their own contact. Method: a table.
#[tokio::test]
async fn strangers_are_not_found() {
    let (world, before) = inhabited(ServerConfig::default()).await;
    let id = before[0][0]["id"].as_str().expect("a user has an id");
    for (path, body, status, code, told) in [
        ("/api/contacts", json!({ "userId": id, "contactUserId": NOBODY }), 404, "user_not_found", "Contact user not found"),
        ("/api/contacts", json!({ "userId": id, "phone": "+919999999999" }), 404, "user_not_found", "Contact user not found"),
        ("/api/contacts", json!({ "userId": NOBODY, "contactUserId": id }), 404, "user_not_found", "User not found"),
        (
            "/api/contacts",
            json!({ "userId": id, "contactUserId": id }),
            400,
            "self_contact",
            "Users cannot add themselves as a contact",
        ),
        (
            "/api/contacts",
            json!({ "userId": id, "phone": "+919000000000" }),
            400,
            "self_contact",
            "Users cannot add themselves as a contact",
        ),
        (
            "/api/messages",
            json!({ "fromUserId": NOBODY, "toUserId": id, "content": "x" }),
            404,
            "user_not_found",
            "Sender not found",
        ),
        (
            "/api/messages",
            json!({ "fromUserId": NOBODY, "toUserId": "9999999999", "content": "x" }),
            404,
            "user_not_found",
            "Sender not found",
        ),
        (
            "/api/messages",
            json!({ "fromUserId": id, "toUserId": "9999999999", "content": "x" }),
            404,
            "user_not_found",
            "Recipient not found",
        ),
    ] {
        assert_eq!(world.api.post(path, &body).await.refused(status, code), told, "{path} {body}");
    }
    for (method, path, status, code) in [
        (Method::GET, format!("/api/users/{NOBODY}"), 404, "user_not_found"),
        (Method::GET, "/api/users/%2B919999999999".into(), 404, "user_not_found"),
        (Method::GET, "/api/users/nobody".into(), 400, "invalid_id"),
        (Method::GET, "/api/users/%FF".into(), 400, "invalid_id"),
        (Method::GET, "/api/contacts?userId=x".into(), 400, "invalid_id"),
        (Method::GET, "/api/messages?withUserId=x".into(), 400, "invalid_id"),
        (Method::DELETE, format!("/api/contacts/{NOBODY}"), 404, "contact_not_found"),
        (Method::DELETE, "/api/contacts/x".into(), 400, "invalid_id"),
    ] {
        world.api.request(method, &path, &[], None).await.refused(status, code);
    }
    unharmed(world, before).await;
}

/// Goal: only JSON is read. Method: a table of content types, with a body that would otherwise be accepted.
#[tokio::test]
async fn other_media_types_are_refused() {
    let (world, before) = inhabited(ServerConfig::default()).await;
    let body = || Some(r#"{"phone":"+919876543210"}"#.to_owned());
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/jsonx")],
    ] {
        world.api.request(Method::POST, LOGIN, headers, body()).await.refused(415, "unsupported_media_type");
    }
    assert_eq!(state(&world).await, before);
    for accepted in ["application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(world.api.request(Method::POST, LOGIN, &[("content-type", accepted)], body()).await.status, 200);
    }
    world.finish().await;
}

/// Goal: a large body is refused without reading it all, and its client hears so. Method: 5 MB announced, chunked, and 64 KiB to the byte.
#[tokio::test]
async fn large_bodies_are_refused() {
    let (world, before) = inhabited(ServerConfig::default()).await;
    let large = "x".repeat(5 << 20);
    for path in [LOGIN, "/api/contacts", "/api/messages", "/api/sync-contacts"] {
        world.api.post(path, &large).await.refused(413, "body_too_large");
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
        let mut raw = world.raw().await;
        raw.ask(format!("{head}content-length: 5242880\r\nexpect: 100-continue\r\n\r\n")).await.refused(413, "body_too_large");
        let mut raw = world.raw().await;
        raw.write(format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
        for chunk in large.as_bytes().chunks(64 << 10) {
            raw.write(format!("{:x}\r\n", chunk.len())).await;
            raw.write(chunk).await;
            raw.write("\r\n").await;
        }
        raw.answer().await.refused(413, "body_too_large");
    }
    assert_eq!(state(&world).await, before);
    let longest = json!({ "phone": "+919876543210", "padding": "" }).to_string();
    let longest = longest.replace(r#":"""#, &format!(r#":"{}""#, "x".repeat((64 << 10) - longest.len())));
    world.api.post(LOGIN, format!("{longest} ")).await.refused(413, "body_too_large");
    assert_eq!(world.api.post(LOGIN, longest).await.status, 200);
    world.finish().await;
}

/// Goal: a body that does not arrive holds nobody up. Method: half a body, with a short timeout.
#[tokio::test]
async fn slow_bodies_time_out() {
    let config = ServerConfig { body_timeout: Duration::from_millis(100), ..ServerConfig::default() };
    let (world, before) = inhabited(config).await;
    let mut raw = world.raw().await;
    let head = "POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    raw.ask(format!("{head}{{\"phone\":")).await.refused(408, "request_timeout");
    unharmed(world, before).await;
}

/// Goal: what is no HTTP ends its connection alone. Method: garbage, an endless head and a body cut short.
#[tokio::test]
async fn what_is_no_http_is_hung_up_on() {
    let (world, before) = inhabited(ServerConfig::default()).await;
    let endless = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(64 << 10));
    for bytes in ["\x16\x03\x01\x02\x00\x01\x00", "GET\r\n\r\n", &endless] {
        let mut raw = world.raw().await;
        raw.write(bytes).await;
        let rest = raw.end().await;
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&rest));
    }
    let mut raw = world.raw().await;
    raw.write("POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        .await;
    drop(raw);
    unharmed(world, before).await;
}
