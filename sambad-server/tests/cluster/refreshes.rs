//! A refresh token is good on every server, and so is its repetition.

use sambad_server::config::Role;
use sambad_server::testing::{Database, TestKeys};
use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::process::Process;

/// Goal: a client whose response was lost may repeat its refresh on another server, and two that refresh at the same time on two servers
/// get the same next token; a used successor ends the grace on all. Method: two processes with one key file on one PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_may_be_repeated_on_another_server() {
    let (database, keys) = (Database::new().await, TestKeys::new());
    let key_file = keys.path().to_str().unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--auth", "token", "--auth-key", key_file];
    let (one, other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&flags, &[]));
    let refresh = async |server: &Process, token: &Value| -> Answer {
        server.api.post("/api/users/refresh", &json!({ "refresh_token": token })).await
    };
    let bearer = format!("Bearer {}", keys.token(&[Role::Service], "backend"));
    let headers = [("authorization", bearer.as_str())];
    let login = one.api.post_with("/api/users/login", &headers, &json!({ "phone": "+442071838750" })).await.json();

    let first = refresh(&one, &login["refresh_token"]).await;
    let repeated = refresh(&other, &login["refresh_token"]).await;
    assert_eq!((first.status, repeated.status), (200, 200), "{first:?} {repeated:?}");
    assert_eq!(first.json()["refresh_token"], repeated.json()["refresh_token"]);
    let bearer = format!("Bearer {}", repeated.json()["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(one.api.request(reqwest::Method::GET, "/api/contacts", &headers, None).await.status, 200);

    let mut token = first.json()["refresh_token"].clone();
    for _ in 0..20 {
        let (left, right) = tokio::join!(refresh(&one, &token), refresh(&other, &token));
        assert_eq!((left.status, right.status), (200, 200), "{left:?} {right:?}");
        assert_eq!(left.json()["refresh_token"], right.json()["refresh_token"]);
        token = left.json()["refresh_token"].clone();
    }
    assert_eq!(refresh(&other, &login["refresh_token"]).await.status, 401, "its successor was used long ago");
    assert_eq!(refresh(&one, &token).await.status, 401, "the family is revoked on both");
}
