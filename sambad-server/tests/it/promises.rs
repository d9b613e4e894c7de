//! The contract's promises: every event, in order, exactly once, whatever happens in between.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Api, Counts, World, audit, soon, totals};

/// Writes `n` events over eight connections at once: a message, a user, a message, a user, …
fn write(api: &Api, users: &[String], n: usize) -> JoinHandle<()> {
    let (api, users) = (api.clone(), users.to_vec());
    tokio::spawn(async move {
        let writers = (0..8).map(async |writer| {
            for i in (writer..n).step_by(8) {
                let (from, to) = (&users[i % users.len()], &users[(i + 1) % users.len()]);
                let answer = if i % 16 < 8 {
                    api.send_message(from, to, "x").await
                } else {
                    api.post("/api/users/login", json!({ "phone": format!("+4420000{i:05}") })).await
                };
                assert!(answer.seq().is_some(), "{answer:?}");
            }
        });
        join_all(writers).await;
    })
}

/// Goal: every dashboard gets every event in order, exactly once, byte for byte the same. Method: 50 dashboards, 1,000 events.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_dashboards_get_a_thousand_events() {
    let world = World::start().await;
    let users = world.api.users(10).await;
    let mut readers = Vec::new();
    for _ in 0..50 {
        let mut dashboard = world.dashboard("").await;
        readers.push(tokio::spawn(async move {
            let mut frames = Vec::with_capacity(1000);
            while frames.len() < 1000 {
                frames.push(dashboard.text().await.expect("the session is open"));
            }
            (dashboard, frames)
        }));
    }
    write(&world.api, &users, 1000).await.expect("the writer does not panic");
    let last = world.api.user("+919876543210").await;
    let mut first: Option<Vec<String>> = None;
    for reader in readers {
        let (mut dashboard, frames) = soon("end of a reader", reader).await.expect("readers do not panic");
        for (frame, seq) in frames.iter().zip(11..) {
            assert!(frame.ends_with(&format!(r#","seq":{seq}}}"#)), "{frame} is not {seq}");
        }
        assert!(first.get_or_insert_with(|| frames.clone()) == &frames, "two dashboards disagree");
        assert_eq!(dashboard.frame().await["data"]["id"], last, "nothing comes between the thousandth and the next");
    }
    world.finish().await;
}

/// Goal: a client cut off mid-stream and resumed misses nothing and gets nothing twice. Method: cuts without a goodbye,
/// at random points of a log that grows, resumed by the cursor of the last event seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_cut_off_resumes() {
    let world = World::start().await;
    let users = world.api.users(10).await;
    let cursor = world.api.cursor().await;
    let (epoch, _) = cursor.split_once('-').expect("a cursor has an epoch");
    let writer = write(&world.api, &users, 1000);
    let (mut seen, mut connections) = (10, 0);
    while seen < 1010 {
        let mut dashboard = world.dashboard(&format!("after={epoch}-{seen}")).await;
        for _ in 0..fastrand::u64(1..80).min(1010 - seen) {
            let mut frame = dashboard.frame().await;
            if frame["type"] == "live" {
                frame = dashboard.frame().await;
            }
            assert_eq!(frame["seq"], seen + 1);
            seen += 1;
        }
        connections += 1;
    }
    assert!(connections > 10, "{connections}");
    writer.await.expect("the writer does not panic");
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: GET, then `/ws?after=` its cursor: no gap, no overlap, under concurrent writes. Method: every list and the figures,
/// each compared with the finished log cut at its cursor, and the stream that continues it.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_the_stream_after_it_fit() {
    let world = World::start().await;
    let users = world.api.users(10).await;
    let writer = write(&world.api, &users, 480);
    let mut rounds = Vec::new();
    while rounds.len() < 6 || !writer.is_finished() {
        for path in ["/api/messages?limit=500", "/api/users?limit=500", "/api/admin/analytics"] {
            let read = world.api.get(path).await;
            let mut dashboard = world.dashboard(&format!("after={}", read.cursor())).await;
            world.api.send_message(&users[0], &users[1], "this one is not in the list").await;
            let mut next = dashboard.frame().await;
            if next["type"] == "live" {
                next = dashboard.frame().await;
            }
            assert_eq!(next["seq"], read.cursor_seq() + 1);
            rounds.push((path, read));
        }
    }
    writer.await.expect("the writer does not panic");
    let log = audit(&world.api).await;
    for (path, read) in rounds {
        let (before, after) = log.split_at(usize::try_from(read.cursor_seq()).expect("a short log"));
        let of = |events: &[Value], kind: &str| -> HashSet<String> {
            events.iter().filter(|event| event["type"] == kind).map(|event| event["data"]["id"].to_string()).collect()
        };
        let kind = if path.contains("messages") { "message_sent" } else { "user_created" };
        let Some(list) = read.json().as_array().cloned() else {
            let (users, messages) = (of(before, "user_created").len() as u64, of(before, "message_sent").len() as u64);
            assert_eq!(totals(&read.json()), Counts { users, contacts: 0, messages });
            continue;
        };
        let listed: HashSet<String> = list.iter().map(|row| row["id"].to_string()).collect();
        if list.len() < 500 {
            assert_eq!(listed, of(before, kind), "{path} at {}", read.cursor());
        }
        assert!(listed.is_disjoint(&of(after, kind)), "{path} at {}", read.cursor());
    }
    world.finish().await;
}

/// Goal: one person is one user. Method: 200 identical logins at once make one user and one event, and all get that user.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_logins_make_one_user() {
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    let body = json!({ "mobileNumber": "9876543210", "countryCode": "+91" });
    let answers = join_all((0..200).map(|_| world.api.post("/api/users/login", &body))).await;
    let ids: HashSet<String> = answers.iter().map(|answer| answer.text_at("id")).collect();
    let seqs: Vec<u64> = answers.iter().filter_map(|answer| answer.seq()).collect();
    let created = answers.iter().filter(|answer| answer.json()["created"] == true).count();
    assert_eq!((ids.len(), seqs, created), (1, vec![1], 1));
    assert_eq!(dashboard.seq().await, 1);
    dashboard.nothing_more(&world.api).await;
    world.finish().await;
}

/// Goal: the same goes for contacts. Method: 50 identical ones at once, both by id and by phone.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_contacts_make_one_contact() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let bodies = [json!({ "userId": asha, "contactUserId": ravi }), json!({ "userId": asha, "phone": "+919876543211" })];
    let answers = join_all((0..50).map(|i| world.api.post("/api/contacts", &bodies[i % 2]))).await;
    let ids: HashSet<String> = answers.iter().map(|answer| answer.json()["contact"]["id"].to_string()).collect();
    let seqs: Vec<u64> = answers.iter().filter_map(|answer| answer.seq()).collect();
    assert_eq!((ids.len(), seqs, answers.iter().filter(|answer| answer.status == 201).count()), (1, vec![3], 1));
    world.finish().await;
}

/// Goal: an acknowledged write can be read, listed and streamed at once. Method: after each of 100 writes, all three.
#[tokio::test]
async fn an_acknowledged_write_is_visible() {
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    for seq in 1..=100 {
        let login = world.api.post("/api/users/login", json!({ "phone": format!("+4420000{seq:05}") })).await;
        assert_eq!(login.seq(), Some(seq));
        let user = world.api.get(&format!("/api/users/{}", login.text_at("id"))).await;
        assert_eq!((user.status, user.cursor_seq()), (200, seq));
        let page = world.api.get(&format!("/api/events?after={}", seq - 1)).await;
        assert_eq!(page.json()["events"][0]["data"]["id"], login.text_at("id"));
        assert_eq!(dashboard.seq().await, seq);
    }
    world.finish().await;
}

/// Goal: a log outlives its server. Method: resume by cursor on a server restarted on the same database, replayed and live.
#[tokio::test]
async fn a_cursor_outlives_the_server() {
    let world = World::start().await;
    world.api.users(20).await;
    let cursor = world.api.get("/api/events?after=0&limit=15").await.text_at("cursor");
    let log = world.api.whole_log().await;
    let world = World::restart(world.finish().await).await;
    assert_eq!(world.api.whole_log().await, log);
    let mut dashboard = world.dashboard(&format!("after={cursor}")).await;
    assert_eq!(dashboard.seqs(5).await, [16, 17, 18, 19, 20]);
    dashboard.expect("live").await;
    world.api.user("+919876543210").await;
    assert_eq!(dashboard.seq().await, 21);
    world.finish().await;
}

/// Goal: a cursor of another database is known as such. Method: two servers, the cursor of one shown to the other.
#[tokio::test]
async fn a_cursor_of_another_database_is_resynced() {
    let (one, other) = (World::start().await, World::start().await);
    one.api.users(3).await;
    other.api.users(3).await;
    let mut dashboard = other.dashboard(&format!("after={}", one.api.cursor().await)).await;
    assert_eq!(dashboard.expect("resync").await["data"]["reason"], "epoch_changed");
    one.finish().await;
    other.finish().await;
}
