//! Servers of one database whose clocks disagree.

use std::time::Duration;

use sambad_core::Timestamp;
use sambad_server::config::Role;
use sambad_server::testing::{Database, TestKeys};
use serde_json::json;

use crate::harness::process::Process;
use crate::harness::wrong_clock::{WrongClock, login, trusted};

/// Goal: a server whose clock is days off does no damage to what it shares with others: it stamps by the database's clock, takes
/// their tokens, keeps their keys, and trims nothing of theirs. Method: one server with the right clock and two that are days
/// ahead and behind, all of which keep an hour of the log; a write on the first, writes on the others once all trust their clock,
/// and the first's write tried again on each.
#[tokio::test(flavor = "multi_thread")]
async fn servers_whose_clocks_disagree_do_no_damage() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = Database::new().await;
    let clocks = [("right", "+0"), ("ahead", "+3d"), ("behind", "-3d")].map(|(name, offset)| {
        let clock = WrongClock::new(directory.path(), name);
        clock.set(offset);
        clock
    });
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--retain-events", "1h"];
    let mut servers = Vec::new();
    for clock in &clocks {
        servers.push(Process::start_with(&flags, &clock.env("500ms")).await);
    }
    let (_, first, _) = login(&servers[0], 0, "first").await;
    for server in &servers {
        trusted(server).await;
    }
    // As long as each has looked twice at what is to be trimmed.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for (number, server) in (1..).zip(&servers) {
        let (at, ..) = login(server, number, &format!("key {number}")).await;
        let apart = at.since(Timestamp::now()).max(Timestamp::now().since(at));
        assert!(apart < Duration::from_secs(600), "server {number} stamps {at}");
        let (_, seq, replayed) = login(server, 0, "first").await;
        assert_eq!((&seq, replayed), (&first, true), "server {number}");
        let health = server.api.get("/api/health").await.json();
        assert_eq!((&health["first"], &health["log_ahead_s"]), (&json!(1), &json!(0)), "server {number}");
    }
    assert_eq!(database.run("select count(*) from events where created_at > now() + interval '1 minute'").await.trim(), "0");
    assert_eq!(database.run("select count(*) from writers").await.trim(), "3");
}

/// Goal: a token is as long valid on each server, whatever their clocks. Method: a user's token of a server that is three days
/// ahead, shown to one that is right, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_valid_on_servers_whose_clocks_disagree() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (database, keys) = (Database::new().await, TestKeys::new());
    let clock = WrongClock::new(directory.path(), "ahead");
    clock.set("+3d");
    let key_file = keys.path().to_str().expect("paths of tests are UTF-8").to_owned();
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--auth", "token", "--auth-key", &key_file];
    let (right, ahead) = (Process::start_with(&flags, &[]).await, Process::start_with(&flags, &clock.env("5m")).await);
    let service = format!("Bearer {}", keys.token(&[Role::Service], "test"));
    for (one, other) in [(&right, &ahead), (&ahead, &right)] {
        let headers = [("authorization", service.as_str())];
        let answer = one.api.post_with("/api/users/login", &headers, json!({ "phone": "+919876543210" })).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        let (token, id) = (answer.text_at("token"), answer.json()["user"]["id"].as_str().expect("an id").to_owned());
        let headers = [("authorization", format!("Bearer {token}"))];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = json!({ "fromUserId": id, "toUserId": id, "content": "on another server" });
        assert_eq!(other.api.post_with("/api/messages", &headers, body).await.status, 201);
    }
}
