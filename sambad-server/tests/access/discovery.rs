//! Who may find out which phones have accounts: so many new ones a day, by whichever route.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::config::{ClientLimits, Role};
use sambad_server::testing::{TestKeys, TestServer};
use serde_json::{Value, json};

use crate::harness::{Answer, World};

const ASHA: &str = "+919876543210";
const RAVI: &str = "+919876543211";

async fn world(new_phones_per_day: u32) -> World {
    World::start_with(|config| config.clients = limits(new_phones_per_day)).await
}

fn limits(new_phones_per_day: u32) -> ClientLimits {
    ClientLimits { new_phones_per_day, ..ClientLimits::default() }
}

/// A user and a token of theirs.
async fn user(world: &World, phone: &str) -> (String, String) {
    let id = world.login(phone).await["id"].as_str().unwrap().to_owned();
    let token = world.keys.token(&[Role::User], &id);
    (id, token)
}

/// An address book of `phones` that nobody has.
fn book(phones: std::ops::Range<u32>) -> Value {
    json!({ "contacts": phones.map(|n| json!({ "phone": format!("+9190{n:08}") })).collect::<Vec<_>>() })
}

async fn sync(world: &World, token: &str, book: &Value) -> u16 {
    let answer = world.post("/api/sync-contacts", token, book).await;
    if answer.status == 429 {
        assert!(answer.json().get("sambadUsers").is_none(), "{answer:?}");
    }
    answer.status
}

/// Says that so many new phones are too many, and when the next day begins.
#[track_caller]
fn refused(what: &str, answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"), "{what}: {answer:?}");
    let seconds: u64 = answer.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{what}: {seconds}");
}

/// Goal: one token does not find out all accounts, whatever it sends the phones through, and an app that sends the same address
/// book at each start notices nothing. Method: fresh books until one is refused; then every route that takes a phone, of somebody
/// and of nobody; the known book again and again; another user.
#[tokio::test(flavor = "multi_thread")]
async fn new_phones_are_so_many_a_day() {
    let world = world(100).await;
    let ((asha, token), (ravi, other)) = (user(&world, ASHA).await, user(&world, RAVI).await);
    for (n, expected) in [(0..40, 200), (40..80, 200), (80..121, 429), (80..100, 200), (100..101, 429)] {
        assert_eq!(sync(&world, &token, &book(n.clone())).await, expected, "{n:?}");
    }
    for to in [RAVI, "+919000999999", "9876543211", "9000999999"] {
        let message = json!({ "fromUserId": asha, "toUserId": to, "content": "hello" });
        refused(to, &world.post("/api/messages", &token, &message).await);
        let contact = json!({ "userId": asha, "phone": to });
        refused(to, &world.post("/api/contacts", &token, &contact).await);
        if to.starts_with('+') {
            let contact = json!({ "userId": asha, "contactUserId": to });
            refused(to, &world.post("/api/contacts", &token, &contact).await);
            // Not theirs, whether there is such a user or not.
            assert_eq!(world.get(&format!("/api/users/{to}"), &token).await.status, 403);
            let acting = json!({ "userId": to, "contactUserId": ravi });
            assert_eq!(world.post("/api/contacts", &token, &acting).await.status, 403);
        }
    }
    refused("sync", &world.post("/api/sync-contacts", &token, &json!({ "contacts": [{ "phone": RAVI }] })).await);
    for _ in 0..5 {
        assert_eq!(sync(&world, &token, &book(0..100)).await, 200, "known phones are free");
    }
    // By id nothing is found out, and nothing counted.
    let message = json!({ "fromUserId": asha, "toUserId": ravi, "content": "hello" });
    assert_eq!(world.post("/api/messages", &token, &message).await.status, 201);
    let contact = json!({ "userId": asha, "contactUserId": ravi });
    assert_eq!(world.post("/api/contacts", &token, &contact).await.status, 201);
    assert_eq!(sync(&world, &other, &book(200..300)).await, 200, "a budget is each user's own");
    world.stop().await;
}

/// Goal: each way to ask costs the same, a phone costs once, and a retry with its key gets the first answer when nothing is left.
/// Method: a budget of three, spent by a contact, a message to nobody and a sync; then all three again, and replays.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_ask_costs_once() {
    let world = world(3).await;
    let ((asha, token), _) = (user(&world, ASHA).await, user(&world, RAVI).await);
    let authorization = format!("Bearer {token}");
    let keyed = [("authorization", authorization.as_str()), ("idempotency-key", "first")];
    let contact = json!({ "userId": asha, "phone": RAVI });
    let message = json!({ "fromUserId": asha, "toUserId": "+919000000001", "content": "hello" });
    let book = book(2..3);
    for round in 0..3 {
        let added = world.send("POST", "/api/contacts", &keyed, Some(&contact)).await;
        assert_eq!((added.status, added.headers.contains_key("idempotent-replayed")), (201, round > 0), "{added:?}");
        assert_eq!(world.post("/api/messages", &token, &message).await.status, 404);
        assert_eq!(sync(&world, &token, &book).await, 200);
    }
    refused(
        "a fourth",
        &world.post("/api/messages", &token, &json!({ "fromUserId": asha, "toUserId": "+919000000003", "content": "x" })).await,
    );
    // The same phone by another route, and national, is known.
    let known = json!({ "fromUserId": asha, "toUserId": "9876543211", "content": "hello" });
    assert_eq!(world.post("/api/messages", &token, &known).await.status, 201);
    // What is refused for another reason costs nothing.
    let wrong = json!({ "fromUserId": asha, "toUserId": "+919000000004", "content": "" });
    assert_eq!(world.post("/api/messages", &token, &wrong).await.status, 400);
    world.stop().await;
}

/// Goal: a service spends the budget of the user for whom it acts, however it names them, and its own where it names nobody.
/// Method: two users by id and by phone, nobody, and users that there are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_spends_its_users_budgets() {
    let world = world(10).await;
    let ((asha, token), (ravi, _)) = (user(&world, ASHA).await, user(&world, RAVI).await);
    let service = world.service();
    let for_user = |user: &str, phones| {
        let mut book = book(phones);
        book["userId"] = json!(user);
        book
    };
    assert_eq!(sync(&world, &service, &for_user(&asha, 0..6)).await, 200);
    assert_eq!(sync(&world, &service, &for_user(ASHA, 6..9)).await, 200);
    let message = |from: &str, to: u32| json!({ "fromUserId": from, "toUserId": format!("+9190{to:08}"), "content": "x" });
    assert_eq!(world.post("/api/messages", &service, &message(ASHA, 9)).await.status, 404);
    for (from, to) in [(asha.as_str(), 10), (ASHA, 11)] {
        refused(from, &world.post("/api/messages", &service, &message(from, to)).await);
    }
    assert_eq!(sync(&world, &token, &book(0..10)).await, 200, "the user's own token has the same budget");
    assert_eq!(sync(&world, &token, &book(10..11)).await, 429);
    assert_eq!(sync(&world, &service, &for_user(&ravi, 0..10)).await, 200);
    // The service as a whole: books for nobody, and acting users that are asked for by phone.
    assert_eq!(sync(&world, &service, &book(0..8)).await, 200);
    for (from, status) in [("+919000000100", 404), ("+919000000101", 404), ("+919000000102", 429)] {
        let message = json!({ "fromUserId": from, "toUserId": ravi, "content": "x" });
        assert_eq!(world.post("/api/messages", &service, &message).await.status, status, "{from}");
    }
    // Whoever is made up has no budget.
    let nobody = "01920000-0000-7000-8000-000000000000";
    let answer = world.post("/api/sync-contacts", &service, &for_user(nobody, 0..1)).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "user_not_found"));
    let answer = world.post("/api/sync-contacts", &service, &for_user("somebody", 0..1)).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_id"));
    // A user's own token says nothing by it.
    assert_eq!(sync(&world, &token, &for_user(&ravi, 0..10)).await, 200);
    world.stop().await;
}

/// Goal: a restart gives nobody a new budget, and forgets no known phone. Method: a server that is stopped and started on its
/// database, with the same keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_count() {
    let keys = TestKeys::new();
    let config = || ServerConfig { auth: keys.config(), clients: limits(50), ..ServerConfig::default() };
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let post = async |server: &TestServer, path: &str, token: &str, body: &Value| {
        let request = client.post(format!("{}{path}", server.url())).bearer_auth(token);
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
    };
    let mut server = TestServer::start_with(config(), Limits::default()).await;
    let service = keys.token(&[Role::Service], "backend");
    let login = post(&server, "/api/users/login", &service, &json!({ "phone": ASHA })).await;
    let login: Value = serde_json::from_str(&login.text().await.unwrap()).unwrap();
    let token = keys.token(&[Role::User], login["id"].as_str().unwrap());
    for (phones, status) in [(0..30, 200), (30..51, 429), (30..50, 200)] {
        assert_eq!(post(&server, "/api/sync-contacts", &token, &book(phones)).await.status(), status);
    }
    server = TestServer::start_in(server.stop().await, config(), Limits::default()).await;
    for (phones, status) in [(50..51, 429), (0..50, 200), (0..51, 429)] {
        assert_eq!(post(&server, "/api/sync-contacts", &token, &book(phones)).await.status(), status);
    }
    server.stop().await;
}

/// Goal: a user sees of others what the documentation lists and no more; an admin sees all. Method: the names of the fields of
/// the list of contacts, which is the one answer that shows users to users.
#[tokio::test(flavor = "multi_thread")]
async fn users_see_of_others_what_is_listed() {
    let world = World::start().await;
    let ((asha, token), (ravi, _)) = (user(&world, ASHA).await, user(&world, RAVI).await);
    let contact = json!({ "userId": asha, "contactUserId": ravi });
    let added = world.post("/api/contacts", &token, &contact).await.json();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let own = "created_at email id last_active_at name phone status username";
    let of_contact = "contact_user_id contact_user_username created_at id name phone user_id user_username";
    assert_eq!(names(&added["contact"]), of_contact);
    for (token, others) in [(token.as_str(), "id name phone username"), (world.admin().as_str(), own)] {
        let listed = world.get(&format!("/api/contacts?userId={asha}"), token).await.json()[0].clone();
        assert_eq!(names(&listed["contact_user"]), others);
        assert_eq!(names(&listed["user"]), own);
        for field in of_contact.split(' ') {
            assert!(listed.get(field).is_some(), "{field} of {listed}");
        }
    }
    let matched = json!({ "contacts": [{ "phone": RAVI }] });
    let matched = world.post("/api/sync-contacts", &token, &matched).await.json();
    assert_eq!(names(&matched["sambadUsers"][0]), "id name phone");
    world.stop().await;
}
