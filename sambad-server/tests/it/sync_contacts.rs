//! `/api/sync-contacts`: which people of an address book are users.

use serde_json::{Value, json};

use crate::harness::World;

const PATH: &str = "/api/sync-contacts";

/// Goal: users are found by phone in the book's order; entries that cannot be read match nobody. Method: literal body.
#[tokio::test]
async fn users_are_found_and_other_entries_skipped() {
    let world = World::start().await;
    world.api.post("/api/users/login", json!({ "phone": "+919876543210", "name": "Asha" })).await;
    world.api.user("+919876543211").await;
    let contacts = json!([
        { "name": "R", "phone": "98765 43211" },
        { "name": "nobody", "phone": "+919000000000" },
        { "name": "letters", "phone": "call me" },
        { "name": "no phone" },
        { "phone": "" },
        {},
        { "name": "book's", "phone": "+91 98765-43210" },
        { "name": "again", "phone": "9876543210" },
    ]);
    let answer = world.api.post(PATH, json!({ "contacts": contacts })).await;
    answer.is(
        200,
        r#"{"success":true,"totalContacts":8,"sambadUsers":[{"id":"ID1","phone":"+919876543211","name":"R"},{"id":"ID2","phone":"+919876543210","name":"Asha"}]}"#,
    );
    assert_eq!(answer.cursor_seq(), 2);
    world.api.post(PATH, json!({ "contacts": [] })).await.is(200, r#"{"success":true,"totalContacts":0,"sambadUsers":[]}"#);
    world.finish().await;
}

/// Goal: a whole address book fits, one entry more does not. Method: 5,000 and 5,001 entries, far beyond 64 KiB.
#[tokio::test]
async fn five_thousand_entries_fit() {
    let world = World::start().await;
    let users = world.api.users(20).await;
    let book = |n: u64| -> Value {
        (0..n).map(|i| json!({ "name": format!("friend {i}"), "phone": format!("+9190000{i:05}") })).collect()
    };
    let body = json!({ "contacts": book(5000) }).to_string();
    assert!((64 << 10..1 << 20).contains(&body.len()), "{}", body.len());
    let answer = world.api.post(PATH, body).await.json();
    let found: Vec<&str> =
        answer["sambadUsers"].as_array().into_iter().flatten().filter_map(|user| user["id"].as_str()).collect();
    assert_eq!((answer["totalContacts"].as_u64(), found), (Some(5000), users.iter().map(String::as_str).collect()));
    let message = world.api.post(PATH, json!({ "contacts": book(5001) })).await.refused(400, "invalid_field");
    assert!(message.contains("contacts"), "{message}");
    world.finish().await;
}

/// Goal: what is no address book is refused by name, and above 1 MiB unread. Method: a table.
#[tokio::test]
async fn what_is_no_address_book_is_refused() {
    let world = World::start().await;
    for (body, field) in [
        (json!({}), "contacts"),
        (json!({ "contacts": {} }), "contacts"),
        (json!({ "contacts": "+919876543210" }), "contacts"),
        (json!({ "contacts": 5 }), "contacts"),
    ] {
        let message = world.api.post(PATH, &body).await.refused(400, "invalid_field");
        assert!(message.contains(field), "{body}: {message}");
    }
    let large = json!({ "contacts": [], "padding": "x".repeat(1 << 20) });
    world.api.post(PATH, large).await.refused(413, "body_too_large");
    world.finish().await;
}
