//! `Idempotency-Key`: a retry gets the first answer again.

use std::collections::HashSet;

use futures_util::future::join_all;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::testing::TestServer;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::harness::process::database;
use crate::harness::{Answer, Api, World};

async fn post(world: &World, path: &str, key: &str, body: &Value) -> Answer {
    world.api.post_with(path, &[("idempotency-key", key)], body).await
}

/// Checks that `retry` is `first` again and says so.
fn replays(first: &Answer, retry: &Answer) {
    assert_eq!((retry.status, &retry.text, retry.cursor()), (first.status, &first.text, first.cursor()));
    assert_eq!((first.header("idempotent-replayed"), retry.header("idempotent-replayed")), (None, Some("true")));
}

/// Goal: every write's retry gets the first answer, also when the world has moved on. Method: each write twice, then an audit.
#[tokio::test]
async fn a_retry_gets_the_first_answer() {
    let world = World::start().await;
    let users = world.api.users(2).await;
    let contact = json!({ "userId": users[0], "contactUserId": users[1] });
    let message = json!({ "fromUserId": users[0], "toUserId": users[1], "content": "once" });
    let firsts = [
        ("/api/users/login", json!({ "phone": "+919876543210", "name": "Asha" }), 3),
        ("/api/contacts", contact.clone(), 4),
        ("/api/messages", message, 5),
    ];
    let mut answers = Vec::new();
    for (path, body, seq) in &firsts {
        let first = post(&world, path, path, body).await;
        assert_eq!(first.seq(), Some(*seq));
        answers.push(first);
    }
    let removed = answers[1].json()["contact"]["id"].as_str().expect("a contact has an id").to_owned();
    world.api.delete(&format!("/api/contacts/{removed}")).await;
    for ((path, body, _), first) in firsts.iter().zip(&answers) {
        replays(first, &post(&world, path, path, body).await);
    }
    let without_effect = post(&world, "/api/users/login", "found", &json!({ "phone": "+919876543210" })).await;
    assert_eq!(without_effect.seq(), None);
    replays(&without_effect, &post(&world, "/api/users/login", "found", &json!({ "phone": "+919876543210" })).await);
    assert_eq!(world.api.whole_log().await.len(), 6, "retries cause no events");
    world.finish().await;
}

/// Goal: a key stands for one request. Method: a 200-character key again with another body, and on another path.
#[tokio::test]
async fn a_key_is_refused_for_another_request() {
    let world = World::start().await;
    let users = world.api.users(2).await;
    let key = "k".repeat(200);
    let body =
        json!({ "fromUserId": users[0], "toUserId": users[1], "content": "once", "userId": users[0], "contactUserId": users[1] });
    assert_eq!(post(&world, "/api/messages", &key, &body).await.status, 201);
    let mut other = body.clone();
    other["content"] = json!("twice");
    for (path, body) in [("/api/messages", &other), ("/api/contacts", &body)] {
        post(&world, path, &key, body).await.refused(422, "idempotency_key_reused");
    }
    assert_eq!(world.api.whole_log().await.len(), 3);
    world.finish().await;
}

/// Goal: requests are the same if they ask for the same, however it is written. Method: bodies that mean the same, sent as text;
/// then ones that do not.
#[tokio::test]
async fn what_is_asked_for_is_compared_and_not_how() {
    let world = World::start().await;
    let users = world.api.users(2).await;
    let (a, b) = (users[0].as_str(), users[1].as_str());
    let upper = a.to_uppercase();
    let post = async |path: &str, key: &str, body: String| world.api.post_with(path, &[("idempotency-key", key)], body).await;
    let sent = format!(r#"{{"fromUserId":"{a}","toUserId":"{b}","content":"once"}}"#);
    let first = post("/api/messages", "message", sent).await;
    for same in [
        format!(r#"{{"content":"once","toUserId":"{b}","fromUserId":"{a}"}}"#),
        format!("\n{{ \"fromUserId\" : \"{a}\" ,\t\"toUserId\":\"{b}\", \"content\":\"\\u006fnce\" }} "),
        format!(r#"{{"fromId":"{a}","toId":"{b}","content":"once","type":"text"}}"#),
        format!(r#"{{"fromUserId":" {upper} ","toUserId":"{b}","content":"once","type":null,"sentAt":5,"more":{{"x":[1]}}}}"#),
    ] {
        replays(&first, &post("/api/messages", "message", same).await);
    }
    for other in [
        format!(r#"{{"fromUserId":"{a}","toUserId":"{b}","content":"once "}}"#),
        format!(r#"{{"fromUserId":"{b}","toUserId":"{a}","content":"once"}}"#),
        format!(r#"{{"fromUserId":"{a}","toUserId":"{b}","content":"once","type":"note"}}"#),
    ] {
        post("/api/messages", "message", other).await.refused(422, "idempotency_key_reused");
    }
    let first =
        post("/api/users/login", "login", r#"{"mobileNumber":"9876543210","countryCode":"+91","name":"Asha"}"#.into()).await;
    for same in [
        r#"{"name":" Asha ","countryCode":"+91","mobileNumber":"9876543210"}"#,
        r#"{"phone":9876543210,"countryCode":"+91","name":"Asha"}"#,
        r#"{"phone":"","mobileNumber":9876543210,"countryCode":" +91","name":"Asha"}"#,
    ] {
        replays(&first, &post("/api/users/login", "login", same.into()).await);
    }
    for other in [r#"{"phone":"+919876543210","name":"Asha"}"#, r#"{"mobileNumber":"9876543210","countryCode":"+91"}"#] {
        post("/api/users/login", "login", other.into()).await.refused(422, "idempotency_key_reused");
    }
    let first = post("/api/contacts", "contact", format!(r#"{{"userId":"{a}","contactUserId":"{b}"}}"#)).await;
    let same = format!(r#"{{"contactUserId":"{b}","name":"","phone":"ignored","userId":"{a}"}}"#);
    replays(&first, &post("/api/contacts", "contact", same).await);
    world.finish().await;
}

/// Goal: what a phone is taken for does not matter to a retry, only how it was written. Method: a key that a server in +91 kept,
/// at one in +1 on the same database.
#[tokio::test]
async fn the_servers_country_is_no_part_of_a_request() {
    let world = World::start().await;
    let first = post(&world, "/api/users/login", "key", &json!({ "phone": "9876543210" })).await;
    assert_eq!(first.text_at("phone"), "+919876543210");
    let directory = world.finish().await;
    let config = ServerConfig { default_country_code: "+1".parse().unwrap(), ..ServerConfig::default() };
    let server = TestServer::start_in(directory, config, Limits::default()).await;
    let (api, headers) = (Api::new(server.url()), [("idempotency-key", "key")]);
    replays(&first, &api.post_with("/api/users/login", &headers, json!({ "phone": "9876543210" })).await);
    server.stop().await;
}

/// Goal: a key that an older version stored is known by the bytes that it compared. Method: such a key beside one of this
/// version's, each with the same bytes and with others.
#[tokio::test]
async fn keys_of_older_versions_are_known_by_their_bytes() {
    let world = World::start().await;
    let old = r#"{"phone":"+919876543210"}"#;
    let login = async |world: &World, key: &str, body: &str| {
        world.api.post_with("/api/users/login", &[("idempotency-key", key)], body).await
    };
    let (first, new) = (login(&world, "old", old).await, login(&world, "new", old).await);
    let directory = world.finish().await;
    let mut connection = SqliteConnection::connect(&database(directory.path())).await.unwrap();
    let digest = Sha256::digest(format!("/api/users/login\n{old}"));
    let fingerprint: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let changed = sqlx::query("update idempotency_keys set fingerprint = $1 where key = 'old'").bind(fingerprint);
    assert_eq!(changed.execute(&mut connection).await.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
    let world = World::restart(directory).await;
    replays(&first, &login(&world, "old", old).await);
    login(&world, "old", r#"{"phone": "+919876543210"}"#).await.refused(422, "idempotency_key_reused");
    replays(&new, &login(&world, "new", r#"{"phone": "+919876543210"}"#).await);
    world.finish().await;
}

/// Goal: a refused request leaves its key free. Method: a message to nobody, then, once there is somebody, the same again.
#[tokio::test]
async fn a_refused_request_keeps_no_key() {
    let world = World::start().await;
    let asha = world.api.user("+919876543210").await;
    let body = json!({ "fromUserId": asha, "toUserId": "+919876543211", "content": "hi" });
    post(&world, "/api/messages", "key", &body).await.refused(404, "user_not_found");
    world.api.user("+919876543211").await;
    let sent = post(&world, "/api/messages", "key", &body).await;
    assert_eq!((sent.status, sent.header("idempotent-replayed")), (201, None));
    world.finish().await;
}

/// Goal: only a key of the contract's form is one. Method: a table of forms.
#[tokio::test]
async fn a_key_is_visible_ascii() {
    let world = World::start().await;
    let (longest, too_long) = ("~".repeat(255), "~".repeat(256));
    for (key, status) in [("!", 200), (&longest, 200), (&too_long, 400), ("", 400), ("two words", 400), ("schlüssel", 400)] {
        let answer = post(&world, "/api/users/login", key, &json!({ "phone": "+919876543210" })).await;
        if status == 400 {
            let message = answer.refused(400, "invalid_field");
            assert!(message.contains("Idempotency-Key"), "{message}");
        }
        assert_eq!(answer.status, status, "{key}");
    }
    world.finish().await;
}

/// Goal: retries that overlap have one effect. Method: the same message 50 times at once, over connections of their own.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_retries_have_one_effect() {
    let world = World::start().await;
    let asha = world.api.user("+919876543210").await;
    let body = json!({ "fromUserId": asha, "toUserId": asha, "content": "once" });
    let answers = join_all((0..50).map(|_| post(&world, "/api/messages", "key", &body))).await;
    let bodies: HashSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    let firsts = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count();
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!((bodies.len(), firsts), (1, 1));
    assert_eq!(world.api.get("/api/messages").await.json().as_array().map(Vec::len), Some(1));
    world.finish().await;
}

/// Goal: keys are as durable as what they stand for. Method: a retry after a restart on the same database.
#[tokio::test]
async fn keys_survive_a_restart() {
    let world = World::start().await;
    let body = json!({ "phone": "+919876543210" });
    let first = post(&world, "/api/users/login", "key", &body).await;
    let world = World::restart(world.finish().await).await;
    replays(&first, &post(&world, "/api/users/login", "key", &body).await);
    world.finish().await;
}
