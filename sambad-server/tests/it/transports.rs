//! One cursor, every transport: a client may change in the middle.

use serde_json::Value;

use crate::harness::{EventSource, World, source};

/// Reads `n` events after `after` from the WebSocket; gives their seqs.
async fn by_socket(world: &World, after: &str, n: usize) -> Vec<u64> {
    world.dashboard(&format!("after={after}")).await.seqs_past_live(n).await
}

/// As `by_socket`, from the event stream, with the cursor as a browser would send it.
async fn by_stream(world: &World, after: &str, n: usize) -> Vec<u64> {
    let mut stream = EventSource::open_with(world.server.address(), "after=0", &[("last-event-id", after)]).await;
    let mut seqs = Vec::new();
    while seqs.len() < n {
        seqs.extend(source::seq(&stream.message().await.expect("the stream is open")));
    }
    seqs
}

/// As `by_socket`, by long poll.
async fn by_poll(world: &World, after: &str, n: usize) -> Vec<u64> {
    let (mut after, mut seqs) = (after.to_owned(), Vec::new());
    while seqs.len() < n {
        let page = world.api.get(&format!("/api/events?after={after}&wait=30&limit={}", n - seqs.len())).await.json();
        seqs.extend(page["events"].as_array().into_iter().flatten().filter_map(|event| event["seq"].as_u64()));
        after = page["cursor"].as_str().map(str::to_owned).expect("a page has a cursor");
    }
    seqs
}

/// Goal: a cursor is the same on every transport. Method: WebSocket, stream, poll and WebSocket again, each for a part of a
/// log that eight writers write meanwhile; every event comes once.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_change_its_transport() {
    const PART: usize = 150;
    let world = World::start().await;
    let user = world.api.user("+919876543210").await;
    let writers = (0..8).map(|_| {
        let (api, user) = (world.api.clone(), user.clone());
        tokio::spawn(async move {
            for _ in 0..120 {
                api.send_message(&user, &user, "x").await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let epoch = world.api.cursor().await[..8].to_owned();
    let mut seen: Vec<u64> = Vec::new();
    for turn in 0..6 {
        let after = format!("{epoch}-{}", seen.last().copied().unwrap_or_default());
        let part = match turn % 3 {
            0 => by_socket(&world, &after, PART).await,
            1 => by_stream(&world, &after, PART).await,
            _ => by_poll(&world, &after, PART).await,
        };
        seen.extend(part);
    }
    let after = format!("{epoch}-{}", seen.len());
    seen.extend(by_socket(&world, &after, 61).await);
    assert_eq!(seen, (1..=961).collect::<Vec<u64>>());
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    world.finish().await;
}

/// Goal: a poll that is refused says where to go on, in its header and in its body, and going on there works. Method: a cursor of
/// another life, then the one that was given.
#[tokio::test]
async fn a_refused_poll_names_the_head() {
    let world = World::start().await;
    world.api.users(3).await;
    let epoch = world.api.cursor().await[..8].to_owned();
    let other = if epoch == "00000000" { "00000001" } else { "00000000" };
    for (after, reason) in [(format!("{other}-2"), "epoch_changed"), (format!("{epoch}-9"), "cursor_ahead")] {
        let gone = world.api.get(&format!("/api/events?after={after}&wait=30")).await;
        gone.refused(410, "cursor_gone");
        assert_eq!((gone.text_at("reason").as_str(), gone.cursor_seq()), (reason, 3));
        assert_eq!(gone.text_at("cursor"), gone.cursor());
        let page = world.api.get(&format!("/api/events?after={}", gone.cursor())).await.json();
        assert_eq!(page["events"], Value::Array(Vec::new()));
    }
    world.finish().await;
}
