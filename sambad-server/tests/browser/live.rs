//! What happens shows at once.

use std::time::{SystemTime, UNIX_EPOCH};

use sambad_server::testing::TestServer;

use crate::page::Page;
use crate::people::People;

/// What the project promises between a write's answer and the row on a dashboard.
const PROMISED_MS: i64 = 500;
/// What a machine that compiles something else meanwhile may take for one of several.
const WORST_MS: i64 = 3_000;

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970")
        .as_millis()
        .try_into()
        .expect("it is before the year 292 million")
}

/// Goal: a contact added over REST shows in two open dashboards within 500 ms of the write's answer, and the figures move with it.
/// Method: two windows; seven contacts, each timed in both by the clock of the machine that they share, from the answer to the row;
/// the median of each window is judged, so that another program's turn is not.
#[tokio::test]
async fn a_contact_shows_in_two_pages_at_once() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let users = people.users(1, 8).await;
    let page = Page::open(server.url()).await;
    let windows = page.second_window().await;
    let mut answered = Vec::new();
    for other in &users[1..] {
        let seq = people.contact(users[0], *other).await;
        answered.push((seq, now_ms()));
        for window in &windows {
            page.switch(window).await;
            page.shows(seq).await;
            page.card_shows("contacts", answered.len() as u64).await;
        }
    }
    for (number, window) in windows.iter().enumerate() {
        page.switch(window).await;
        let mut waits = Vec::new();
        for (seq, at) in &answered {
            let shown = page.js(&format!("window.watcher.shownAt({seq})")).await.as_i64().expect("the row was seen");
            waits.push(shown - at);
        }
        println!("window {number}: ms from the answer to the row: {waits:?}");
        waits.sort_unstable();
        assert!(waits[waits.len() / 2] < PROMISED_MS, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < WORST_MS), "{waits:?}");
        page.card_shows("total-users", 8).await;
        page.card_shows("new-users", 8).await;
        page.card_shows("active-users", 8).await;
        page.card_shows("inactive-users", 0).await;
        page.card_shows("messages", 0).await;
    }
    page.finish().await;
    server.stop().await;
}

/// Goal: every kind of event moves the figures that it concerns, and each has its row. Method: one of each, one after the other.
#[tokio::test]
async fn every_kind_of_event_moves_the_figures() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let page = Page::open(server.url()).await;
    page.card_shows("total-users", 0).await;
    let (asha, ravi) = (people.user("+919876543210", "Asha").await, people.user("+447700900123", "Ravi").await);
    page.card_shows("total-users", 2).await;
    page.card_shows("growth", 100).await;
    let contact = people.client.add_contact(&sambad_client::NewContact::new(asha.id, ravi.id)).await.unwrap().value.contact;
    page.card_shows("contacts", 1).await;
    people.message(ravi, asha, "hello").await;
    page.card_shows("messages", 1).await;
    people.client.remove_contact(contact.id).await.unwrap();
    page.card_shows("contacts", 0).await;
    page.shows(5).await;
    let types = page
        .js("[...document.querySelectorAll('[data-testid=feed] [data-testid=feed-row]')].map((row) => row.dataset.type)")
        .await;
    assert_eq!(types, serde_json::json!(["contact_removed", "message_sent", "contact_added", "user_created", "user_created"]));
    page.sessions(1).await;
    page.finish().await;
    server.stop().await;
}
