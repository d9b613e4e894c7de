//! What the first backend's apps, dashboards and shell scripts read, route by route.

use serde_json::{Value, json};

use crate::harness::World;

const ASHA: &str = "+919876543210";
const RAVI: &str = "+919876543211";

/// The fields of `row` that clients of the first backend read, none of which may be missing.
#[track_caller]
fn reads(what: &str, row: &Value, fields: &[(&str, Value)]) {
    for (path, expected) in fields {
        assert_eq!(row.pointer(path), Some(expected), "{what}: {path} of {row}");
    }
}

/// The texts of `row` that clients show or keep, whatever they say.
#[track_caller]
fn shows(what: &str, row: &Value, fields: &[&str]) {
    for path in fields {
        assert!(row.pointer(path).and_then(Value::as_str).is_some_and(|text| !text.is_empty()), "{what}: {path} of {row}");
    }
}

/// The first `"id"` of a body, as scripts cut it out with grep.
fn first_id(text: &str) -> &str {
    text.split(r#""id":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// Goal: logins and lists of users have what the first backend's app and scripts read. Method: its routes, asked as they ask.
#[tokio::test]
async fn users_are_what_the_first_backends_clients_read() {
    let world = World::start().await;
    let api = &world.api;
    let root = api.get("/").await;
    assert!(root.status == 200 && root.text.starts_with("Sambad Unified Backend is running!"), "{root:?}");
    reads("health", &api.get("/api/health").await.json(), &[("/status", json!("healthy")), ("/database", json!("connected"))]);

    let first = api.post("/api/users/login", json!({ "mobileNumber": "9876543210", "countryCode": "+91" })).await;
    assert_eq!(first.status, 200);
    assert_eq!(first_id(&first.text), first.json()["user"]["id"], "scripts take the first id");
    let first = first.json();
    let email = json!("9876543210@sambad.local");
    reads("login", &first, &[("/username", json!(ASHA)), ("/phone", json!(ASHA)), ("/email", email.clone())]);
    reads("login", &first, &[("/status", json!("active")), ("/user/id", first["id"].clone()), ("/user/email", email)]);
    shows("login", &first, &["/id", "/created_at", "/last_active_at"]);
    // The app of a later version sends whatever was typed as `phone`.
    let again = api.post("/api/users/login", json!({ "phone": "9876543210" })).await.json();
    assert_eq!(again["id"], first["id"]);
    api.user(RAVI).await;

    let users = api.get("/api/users").await;
    assert_eq!(users.text.matches(r#""id""#).count(), 2, "scripts count users by their ids");
    shows("users", &users.json()[0], &["/id", "/username", "/phone", "/email", "/status", "/created_at"]);
    shows("users", &api.get("/api/admin/users").await.json()[0], &["/id", "/username", "/email", "/created_at"]);
    world.finish().await;
}

/// Goal: a contact has its id at the top of the answer, a name and a phone, as the first backend stored them. Method: both forms
/// that its clients send, of people with and without a name; the answer, its repetition and the list agree.
#[tokio::test]
async fn contacts_are_what_the_first_backends_clients_read() {
    let world = World::start().await;
    let api = &world.api;
    let (asha, ravi, dev) = (api.user(ASHA).await, api.user(RAVI).await, api.user("+919876543213").await);
    let meera = api.post("/api/users/login", json!({ "phone": "+919876543212", "name": "Meera" })).await.json()["id"].clone();
    for (user, body, name, phone) in [
        (&asha, json!({ "contactUserId": ravi }), RAVI, RAVI),
        (&asha, json!({ "contactUserId": meera }), "Meera", "+919876543212"),
        (&asha, json!({ "name": "Dev", "phone": "9876543213" }), "Dev", "+919876543213"),
        (&dev, json!({ "contactUserId": meera, "name": "" }), "Meera", "+919876543212"),
        (&dev, json!({ "contactUserId": ravi, "name": "Ravi" }), "Ravi", RAVI),
    ] {
        let mut body = body;
        body["userId"] = json!(user);
        let answer = api.post("/api/contacts", &body).await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
        let added = answer.json();
        let id = added["contact"]["id"].clone();
        assert_eq!(first_id(&answer.text), id, "scripts take the first id");
        reads("contact", &added, &[("/id", id.clone()), ("/message", json!("Contact added successfully"))]);
        reads("contact", &added, &[("/name", json!(name)), ("/phone", json!(phone))]);
        reads("contact", &added, &[("/contact/name", json!(name)), ("/contact/phone", json!(phone))]);
        let repeated = api.post("/api/contacts", &body).await;
        assert_eq!((repeated.status, &repeated.json()["id"], &repeated.json()["contact"]), (200, &id, &added["contact"]));
        let listed = api.get(&format!("/api/contacts?userId={user}&limit=1")).await.json()[0].clone();
        reads("contacts", &listed, &[("/id", id), ("/name", json!(name)), ("/phone", json!(phone))]);
        reads("contacts", &listed, &[("/contact_user/username", json!(phone))]);
        shows("contacts", &listed, &["/user/username", "/contact_user/id", "/created_at"]);
        assert!(listed["contact_user"].get("name").is_some(), "{listed}");
    }
    let missing = json!({ "userId": asha, "contactUserId": "01920000-0000-7000-8000-000000000000" });
    assert_eq!(api.post("/api/contacts", &missing).await.refused(404, "user_not_found"), "Contact user not found");
    world.finish().await;
}

/// Goal: messages, matched address books and the dashboard's figures have what the first backend's clients read. Method: its
/// routes, asked as they ask.
#[tokio::test]
async fn messages_and_figures_are_what_the_first_backends_clients_read() {
    let world = World::start().await;
    let api = &world.api;
    let (asha, ravi) = (api.user(ASHA).await, api.user(RAVI).await);
    for body in [
        json!({ "fromUserId": asha, "toUserId": ravi, "content": "hello", "type": "text" }),
        json!({ "fromUserId": asha, "toUserId": "9876543211", "content": "hello", "type": "text" }),
        json!({ "fromId": asha, "toId": RAVI, "content": "hello" }),
    ] {
        let answer = api.post("/api/messages", &body).await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
        let sent = answer.json();
        assert_eq!(first_id(&answer.text), sent["id"], "scripts take the first id");
        reads("message", &sent, &[("/content", json!("hello")), ("/type", json!("text")), ("/to_user_id", json!(ravi))]);
        shows("message", &sent, &["/id", "/from_user_id", "/created_at"]);
    }
    let messages = api.get("/api/messages").await.json();
    assert_eq!(messages.as_array().map(Vec::len), Some(3));
    shows("messages", &messages[0], &["/id", "/content", "/type", "/from_username", "/to_username", "/created_at"]);

    let book = json!({ "contacts": [{ "name": "R", "phone": RAVI }, { "name": "nobody", "phone": "+919000000000" }] });
    let found = api.post("/api/sync-contacts", book).await.json();
    reads("sync", &found, &[("/success", json!(true)), ("/totalContacts", json!(2)), ("/sambadUsers/0/id", json!(ravi))]);
    reads("sync", &found, &[("/sambadUsers/0/phone", json!(RAVI)), ("/sambadUsers/0/name", json!("R"))]);
    api.post("/api/sync-contacts", json!({ "contacts": "none" })).await.refused(400, "invalid_field");

    let figures = api.get("/api/admin/analytics").await.json();
    for field in ["totalUsers", "newUsers", "activeUsers", "inactiveUsers", "growth", "totalContacts", "totalMessages"] {
        assert!(figures[field].is_number(), "{field} of {figures}");
    }
    shows("activity", &api.get("/api/admin/activity").await.json()[0], &["/type", "/description", "/time"]);
    world.finish().await;
}
