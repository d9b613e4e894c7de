//! What users go on with: tokens that last minutes, and refresh tokens that are used once.

use std::time::Duration;

use sambad_core::Timestamp;
use sambad_core::access::AccessChange;
use sambad_server::config::{AuthConfig, Role};
use serde_json::{Value, json};

use crate::harness::{World, soon};

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

/// Goal: of many refreshes at once with one token, one works at most. Method: twenty, in parallel.
#[tokio::test(flavor = "multi_thread")]
async fn one_token_refreshes_once_however_many_ask() {
    let world = World::start().await;
    let login = world.login("+919876543210").await;
    let all = futures_util::future::join_all((0..20).map(|_| refresh(&world, &login["refresh_token"]))).await;
    assert_eq!(all.iter().filter(|(status, _)| *status == 200).count(), 1);
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
    world.stop().await;
}
