//! What users go on with: tokens that last minutes, and refresh tokens that are used once.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use rcgen::PKCS_ED25519;
use sambad_core::Timestamp;
use sambad_core::access::AccessChange;
use sambad_server::config::{AuthConfig, Role};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::harness::{World, soon};
use crate::issuer::{self, Signer, set_of};

async fn refresh(world: &World, token: &Value) -> (u16, Value) {
    let answer = world.post_as_nobody("/api/users/refresh", &json!({ "refresh_token": token })).await;
    (answer.status, answer.json())
}

/// Goal: a refresh token works once; its second use ends whatever the login began, for thief and owner alike. Method: two
/// refreshes in a row, then the first token once more; the newest tokens must have died with it. Another login lives on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_comes_twice_ends_its_family() {
    let world = World::start().await;
    let (login, other) = (world.login("+919876543210").await, world.login("+919876543210").await);
    let own = format!("/api/contacts?userId={}", login["id"].as_str().unwrap());
    let (status, second) = refresh(&world, &login["refresh_token"]).await;
    assert_eq!(status, 200, "{second}");
    let (status, third) = refresh(&world, &second["refresh_token"]).await;
    assert_eq!(status, 200, "{third}");
    let newest = third["token"].as_str().unwrap();
    assert_eq!(world.get(&own, newest).await.status, 200);

    assert_eq!(refresh(&world, &login["refresh_token"]).await.0, 401);
    assert_eq!(world.get(&own, newest).await.status, 401, "access tokens of the family are refused at once");
    assert_eq!(refresh(&world, &third["refresh_token"]).await.0, 401, "and it cannot go on");
    assert_eq!(world.get(&own, other["token"].as_str().unwrap()).await.status, 200);
    assert_eq!(refresh(&world, &other["refresh_token"]).await.0, 200);
    world.stop().await;
}

/// A minute later, as far as the use of refresh tokens is concerned.
async fn let_the_grace_pass(world: &World) {
    let mut connection = SqliteConnection::connect(&world.server.database()).await.unwrap();
    sqlx::raw_sql("update refresh_tokens set used_at = used_at - 60000000").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Goal: two tabs, or twenty, that refresh with one token at once all get the same next one, and may all continue by it. Method: twenty
/// in parallel; each access token works, and one of the clients refreshes on.
#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_refresh_at_once_share_the_next_token() {
    let world = World::start().await;
    let login = world.login("+919876543210").await;
    let all = futures_util::future::join_all((0..20).map(|_| refresh(&world, &login["refresh_token"]))).await;
    for (status, tokens) in &all {
        assert_eq!((*status, &tokens["refresh_token"]), (200, &all[0].1["refresh_token"]), "{tokens}");
        assert_eq!(world.get("/api/contacts", tokens["token"].as_str().unwrap()).await.status, 200);
    }
    assert_ne!(all[0].1["refresh_token"], login["refresh_token"]);
    assert_eq!(refresh(&world, &all[7].1["refresh_token"]).await.0, 200);
    world.stop().await;
}

/// Goal: a client whose response was lost repeats the refresh and continues, also when the server was restarted in between, with another
/// signing key put first; after the grace the same repetition ends the login. Method: a login that refreshes, the restart, and the used
/// token again; then a minute later by the clock of what is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_response_costs_no_login() {
    let world = World::start().await;
    let login = world.login("+919876543210").await;
    let (status, lost) = refresh(&world, &login["refresh_token"]).await;
    assert_eq!(status, 200, "{lost}");
    let added = std::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"))
        .args(["key", "generate", "--add"])
        .arg(world.keys.path())
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");

    let world = world.restart().await;
    let (status, again) = refresh(&world, &login["refresh_token"]).await;
    assert_eq!((status, &again["refresh_token"]), (200, &lost["refresh_token"]), "{again}");
    assert_eq!(world.get("/api/contacts", again["token"].as_str().unwrap()).await.status, 200);
    let mut connection = SqliteConnection::connect(&world.server.database()).await.unwrap();
    let stored: String = sqlx::query_scalar("select group_concat(digest || coalesce(successor, '')) from refresh_tokens")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    assert!(!stored.contains(again["refresh_token"].as_str().unwrap()), "it is not stored in the clear");

    let_the_grace_pass(&world).await;
    assert_eq!(refresh(&world, &login["refresh_token"]).await.0, 401);
    assert_eq!(world.get("/api/contacts", again["token"].as_str().unwrap()).await.status, 401, "the family is revoked");
    assert_eq!(refresh(&world, &again["refresh_token"]).await.0, 401);
    world.stop().await;
}

/// Goal: the grace is for the last step alone: once the successor was used, the first token is a thief's, however soon it comes.
/// Method: two refreshes in a row, a repetition of the second, then of the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_grace_ends_with_the_use_of_the_successor() {
    let world = World::start().await;
    let login = world.login("+919876543210").await;
    let (_, second) = refresh(&world, &login["refresh_token"]).await;
    let (_, third) = refresh(&world, &second["refresh_token"]).await;
    let (status, again) = refresh(&world, &second["refresh_token"]).await;
    assert_eq!((status, &again["refresh_token"]), (200, &third["refresh_token"]));
    assert_eq!(refresh(&world, &login["refresh_token"]).await.0, 401);
    assert_eq!(refresh(&world, &third["refresh_token"]).await.0, 401);
    world.stop().await;
}

/// Goal: logging out ends the login's tokens and no other's. Method: two logins, one of which logs out.
#[tokio::test(flavor = "multi_thread")]
async fn logging_out_ends_what_the_login_began() {
    let world = World::start().await;
    let (login, other) = (world.login("+919876543210").await, world.login("+919876543210").await);
    let token = login["token"].as_str().unwrap();
    assert_eq!(world.post("/api/users/logout", token, &json!({})).await.status, 200);
    assert_eq!(world.get("/api/contacts", token).await.status, 401);
    assert_eq!(refresh(&world, &login["refresh_token"]).await.0, 401);
    assert_eq!(world.get("/api/contacts", other["token"].as_str().unwrap()).await.status, 200);
    world.stop().await;
}

/// Goal: logging in and out in a loop leaves next to nothing: a revocation for as long as the token would have lived, and in the
/// audit log one entry for many. Method: sixty rounds with tokens of a minute.
#[tokio::test(flavor = "multi_thread")]
async fn logins_in_a_loop_leave_little() {
    const ROUNDS: usize = 60;
    let world = World::start_with(|config| {
        if let AuthConfig::Token(tokens) = &mut config.auth {
            tokens.token_ttl = Duration::from_secs(60);
        }
    })
    .await;
    for _ in 0..ROUNDS {
        let login = world.login("+919876543210").await;
        assert_eq!(world.post("/api/users/logout", login["token"].as_str().unwrap(), &json!({})).await.status, 200);
        assert_eq!(world.get("/api/contacts", login["token"].as_str().unwrap()).await.status, 401);
    }
    let revocations = world.server.sambad().revocations(0, 1000).await.unwrap();
    assert_eq!(revocations.len(), ROUNDS, "one a logout");
    let last = revocations.iter().map(|revocation| revocation.expires_at).max().unwrap();
    assert!(last <= Timestamp::now().plus(Duration::from_secs(60 + 300)), "{last}");
    let entries = world.get("/api/admin/audit", &world.admin()).await.json();
    let actions: Vec<_> = entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["user_logged_out", "user_logged_in"]);
    world.stop().await;
}

/// Goal: a user reads their own lists without naming themselves, and nothing of others. Method: messages among three users,
/// read by each; and with a phone in the place of an id.
#[tokio::test(flavor = "multi_thread")]
async fn users_see_what_is_theirs() {
    let world = World::start().await;
    let mut users = Vec::new();
    for phone in ["+919876543210", "+919876543211", "+919876543212"] {
        users.push(world.login(phone).await);
    }
    let token = |i: usize| users[i]["token"].as_str().unwrap();
    for (from, to) in [(0, 1), (1, 2), (2, 1)] {
        let message = json!({ "fromUserId": users[from]["phone"], "toUserId": users[to]["id"], "content": "x" });
        assert_eq!(world.post("/api/messages", token(from), &message).await.status, 201);
        assert_eq!(world.post("/api/messages", token((from + 1) % 3), &message).await.status, 403, "in another's name");
    }
    for (i, expected) in [(0, 1), (1, 3), (2, 2)] {
        let messages = world.get("/api/messages", token(i)).await.json();
        assert_eq!(messages.as_array().unwrap().len(), expected, "{messages}");
        let events = world.get("/api/events", token(i)).await.json();
        let events = events["events"].as_array().unwrap().clone();
        assert_eq!(events.len(), expected + 1, "their own creation, and what they sent or got");
        assert!(events.iter().all(|event| event.to_string().contains(users[i]["id"].as_str().unwrap())), "{events:?}");
    }
    world.stop().await;
}

/// Goal: two users who choose the same idempotency key neither get in each other's way nor learn of each other. Method: the
/// same key for two messages.
#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_are_each_users_own() {
    let world = World::start().await;
    let (first, second) = (world.login("+919876543210").await, world.login("+919876543211").await);
    for (from, to) in [(&first, &second), (&second, &first)] {
        let message = json!({ "fromUserId": from["id"], "toUserId": to["id"], "content": "x" });
        let bearer = format!("Bearer {}", from["token"].as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "1")];
        let sent = world.send("POST", "/api/messages", &headers, Some(&message)).await;
        assert_eq!((sent.status, sent.headers.get("idempotent-replayed")), (201, None), "{sent:?}");
        let again = world.send("POST", "/api/messages", &headers, Some(&message)).await;
        assert_eq!(again.json()["id"], sent.json()["id"]);
    }
    world.stop().await;
}

/// Goal: who logs out stays out, however long the token would have lived, and a later revocation of the same token counts.
/// Method: a token that lives far longer than anything a login begins; its logout, then its revocation, with everything else
/// that is revoked ending in seconds; each time another revocation has the servers tidy up what they know.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_last_as_long_as_what_they_refuse() {
    let world = World::start_with(|config| {
        if let AuthConfig::Token(tokens) = &mut config.auth {
            (tokens.token_ttl, tokens.refresh_ttl) = (Duration::from_secs(1), Duration::from_secs(1));
        }
    })
    .await;
    let user = world.login("+919876543210").await;
    let token = world.keys.token_for(&[Role::User], user["id"].as_str().unwrap(), Duration::from_secs(9000));
    let id = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(&token).unwrap()["jti"].as_str().unwrap().to_owned();
    let revoke = async |id: &str, seconds: u64| {
        let expires_at = Timestamp::now().plus(Duration::from_secs(seconds));
        world.change(AccessChange::Revoke { id: id.to_owned(), expires_at }).await;
    };
    let tidied = async || {
        // Until a short revocation has ended and a new one was read.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let marker = world.keys.token(&[Role::Admin], "marker");
        let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(&marker).unwrap();
        revoke(claims["jti"].as_str().unwrap(), 600).await;
        soon("new revocation", async {
            while world.get("/api/users", &marker).await.status != 401 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    };
    revoke(&id, 1).await;
    tidied().await;
    assert_eq!(world.get("/api/contacts", &token).await.status, 200, "a revocation that was to end has ended");
    revoke(&id, 1).await;
    revoke(&id, 600).await;
    tidied().await;
    assert_eq!(world.get("/api/contacts", &token).await.status, 401, "the longer one counts");

    let token = world.keys.token_for(&[Role::User], user["id"].as_str().unwrap(), Duration::from_secs(9000));
    assert_eq!(world.post("/api/users/logout", &token, &json!({})).await.status, 200);
    tidied().await;
    assert_eq!(world.get("/api/contacts", &token).await.status, 401, "logged out is logged out");
    world.stop().await;
}

/// Goal: nobody fills the database by logging in. Method: fifty logins of one user; the first of them must be gone, the last
/// twenty work.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_logins() {
    let world = World::start().await;
    let mut logins = Vec::new();
    for _ in 0..50 {
        logins.push(world.login("+919876543210").await);
    }
    let mut statuses = Vec::new();
    for login in &logins {
        statuses.push(refresh(&world, &login["refresh_token"]).await.0);
    }
    let expected: Vec<u16> = (0..50).map(|i| if i < 30 { 401 } else { 200 }).collect();
    assert_eq!(statuses, expected);
    let mut statuses = Vec::new();
    for login in &logins {
        statuses.push(world.get("/api/contacts", login["token"].as_str().unwrap()).await.status);
    }
    assert_eq!(statuses, expected, "their access tokens end with them");
    world.stop().await;
}

/// Goal: an evicted login's open session ends as a revoked one does, and a service that logs a user in again and again does not end the
/// logins that the user made. Method: a session of a login by a verified phone, with twenty-one logins by a service, and one of the
/// first of these; then twenty more by the phone.
#[tokio::test(flavor = "multi_thread")]
async fn evicted_logins_lose_their_sessions() {
    let signer = Signer::new("ed", Algorithm::EdDSA, &PKCS_ED25519);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set_of(&[&signer])).unwrap();
    let world = issuer::world(file.path().to_str().unwrap()).await;
    let vouched = signer.token(&[("phone_number", json!("+919876543210")), ("phone_number_verified", json!(true))]);
    let login = async || {
        let answer = world.post("/api/users/login", &vouched, &json!({ "phone": "+919876543210" })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let open = async |login: &Value| {
        let bearer = format!("Bearer {}", login["token"].as_str().unwrap());
        let mut socket = world.socket("", &[("authorization", &bearer)]).await.expect("the token is good");
        // The session has begun once it answers.
        socket.say(&json!({ "type": "subscribe" })).await;
        socket.next_of("subscribed").await;
        socket
    };
    let own = login().await;
    let mut session = open(&own).await;
    let mut of_service = open(&world.login("+919876543210").await).await;
    for _ in 0..20 {
        world.login("+919876543210").await;
    }
    assert_eq!(of_service.end().await, 4501, "the service's first login has ended");
    assert_eq!(world.get("/api/contacts", own["token"].as_str().unwrap()).await.status, 200);
    for _ in 0..20 {
        login().await;
    }
    assert_eq!(session.end().await, 4501);
    assert_eq!(world.get("/api/contacts", own["token"].as_str().unwrap()).await.status, 401);
    assert_eq!(refresh(&world, &own["refresh_token"]).await.0, 401);
    let entries = world.get("/api/admin/audit", &world.admin()).await.json();
    let evicted = entries.as_array().unwrap().iter().filter(|entry| entry["action"] == "login_evicted").count();
    assert_eq!(evicted, 2, "one of each actor: {entries}");
    world.stop().await;
}
