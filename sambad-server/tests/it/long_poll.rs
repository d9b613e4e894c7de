//! `/api/events?wait=`: the long poll.

use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, World, soon};

/// Goal: a poll that has something to say does not wait. Method: the longest wait there is, with an event at hand.
#[tokio::test]
async fn what_is_there_is_answered_at_once() {
    let world = World::start().await;
    world.api.user("+919876543210").await;
    let begun = Instant::now();
    let page = world.api.get("/api/events?after=0&wait=30").await.json();
    assert_eq!(page["events"][0]["seq"], 1);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    world.finish().await;
}

/// Goal: a waiting poll wakes for its event and sleeps through others. Method: a filtered poll, a stranger's event, then its own.
#[tokio::test]
async fn a_poll_wakes_for_its_event() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let (cursor, api) = (world.api.cursor().await, world.api.clone());
    let path = format!("/api/events?after={cursor}&wait=30&types=contact_added&user={ravi}");
    let begun = Instant::now();
    let poll = tokio::spawn(async move { api.get(&path).await });
    let stranger = world.api.user("+919876543212").await;
    world.api.add_contact(&asha, &stranger).await;
    assert!(!poll.is_finished());
    let seq = world.api.add_contact(&asha, &ravi).await.seq();
    let page = soon("answer to the poll", poll).await.expect("the poll does not panic");
    assert_eq!(page.json()["events"].as_array().map(Vec::len), Some(1));
    assert_eq!((page.json()["events"][0]["seq"].as_u64(), Some(page.cursor_seq())), (seq, seq));
    assert!(begun.elapsed() < Duration::from_secs(20), "it was the event that woke the poll");
    world.finish().await;
}

/// Goal: a poll without an event ends in time, its cursor past what it does not ask for. Method: one second of nothing.
#[tokio::test]
async fn a_wait_runs_out() {
    let world = World::start().await;
    world.api.user("+919876543210").await;
    let begun = Instant::now();
    let answer = world.api.get("/api/events?after=0&wait=1&types=message_sent").await;
    answer.is(200, r#"{"events":[],"cursor":"EPOCH-1","head":1,"first":1}"#);
    assert!((Duration::from_secs(1)..PATIENCE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    world.finish().await;
}

/// Goal: polls follow a log under writes without gap or repeat. Method: poll from cursor to cursor while 300 events are written.
#[tokio::test(flavor = "multi_thread")]
async fn polling_misses_nothing() {
    let world = World::start().await;
    let api = world.api.clone();
    let writer = tokio::spawn(async move { api.users(300).await });
    let (mut after, mut seen) = ("0".to_owned(), Vec::new());
    while seen.len() < 300 {
        let page = world.api.get(&format!("/api/events?after={after}&wait=30&limit=7")).await.json();
        seen.extend(page["events"].as_array().into_iter().flatten().filter_map(|event| event["seq"].as_u64()));
        page["cursor"].as_str().expect("a page has a cursor").clone_into(&mut after);
    }
    assert_eq!(seen, (1..=300).collect::<Vec<u64>>());
    writer.await.expect("the writer does not panic");
    world.finish().await;
}
