//! `/api/events`: the log, page by page.

use serde_json::{Value, json};

use crate::harness::{Dashboard, EventSource, World};

fn seqs(page: &Value) -> Vec<u64> {
    page["events"].as_array().expect("a list of events").iter().filter_map(|event| event["seq"].as_u64()).collect()
}

/// Goal: a page is the contract's, its events as on the socket. Method: literal body over the seed's events.
#[tokio::test]
async fn events_are_the_contracts() {
    let world = World::start().await;
    world.api.get("/api/events").await.is(200, r#"{"events":[],"cursor":"EPOCH-0","head":0,"first":1}"#);
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let contact = world.api.add_contact(&asha, &ravi).await.json()["contact"].clone();
    let answer = world.api.get("/api/events?after=1").await;
    answer.is(200, concat!(
        r#"{"events":[{"type":"user_created","data":{"id":"ID1","username":"+919876543211","email":"9876543211@sambad.local","created_at":"TIME"},"timestamp":"TIME","seq":2},"#,
        r#"{"type":"contact_added","data":{"id":"ID2","user_id":"ID3","user_username":"+919876543210","contact_user_id":"ID1","contact_user_username":"+919876543211","created_at":"TIME"},"timestamp":"TIME","seq":3}],"#,
        r#""cursor":"EPOCH-3","head":3,"first":1}"#
    ));
    assert_eq!(answer.text_at("cursor"), answer.cursor());
    let event = answer.json()["events"][1].clone();
    assert_eq!((&event["data"]["id"], &event["timestamp"]), (&contact["id"], &contact["created_at"]));
    assert_eq!(event["data"]["created_at"], contact["created_at"]);
    world.finish().await;
}

/// Goal: following `cursor` reads all, each once, with and without a filter. Method: walks with several limits.
#[tokio::test]
async fn pages_of_events_join_to_the_log() {
    let world = World::start().await;
    let users = world.api.users(4).await;
    for i in 0..12 {
        world.api.send_message(&users[i % 4], &users[(i + 1) % 4], "x").await;
    }
    world.api.add_contact(&users[2], &users[0]).await;
    let second = format!("user={}", users[1]);
    for (filter, expected) in [
        ("", (1..=17).collect::<Vec<u64>>()),
        ("types=message_sent", (5..=16).collect()),
        ("types=user_created,contact_added", vec![1, 2, 3, 4, 17]),
        (&second, vec![2, 5, 6, 9, 10, 13, 14]),
        (&format!("{second}&types=message_sent"), vec![5, 6, 9, 10, 13, 14]),
        ("types=contact_removed", vec![]),
    ] {
        for limit in [1, 3, 1000] {
            let (mut found, mut after) = (Vec::new(), "0".to_owned());
            loop {
                let page = world.api.get(&format!("/api/events?after={after}&limit={limit}&{filter}")).await.json();
                let seqs = seqs(&page);
                assert!(seqs.len() <= limit);
                page["cursor"].as_str().expect("a page has a cursor").clone_into(&mut after);
                if seqs.is_empty() {
                    break;
                }
                found.extend(seqs);
            }
            assert_eq!(found, expected, "{filter} limit={limit}");
            assert!(after.ends_with("-17"), "{filter} ends at {after}");
        }
    }
    world.finish().await;
}

/// Goal: a position may be a cursor or a seq. Method: both forms of each position, and none, which is the beginning.
#[tokio::test]
async fn a_position_is_a_cursor_or_a_seq() {
    let world = World::start().await;
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    let (epoch, _) = cursor.split_once('-').expect("a cursor has an epoch");
    for (after, expected) in [("0", vec![1, 2, 3]), ("2", vec![3]), ("3", vec![])] {
        for after in [after.to_owned(), format!("{epoch}-{after}")] {
            assert_eq!(seqs(&world.api.get(&format!("/api/events?after={after}")).await.json()), expected, "after={after}");
        }
    }
    assert_eq!(seqs(&world.api.get("/api/events").await.json()), [1, 2, 3]);
    world.finish().await;
}

/// Goal: a position that cannot be served is gone, and says why. Method: a cursor ahead, a seq ahead, another epoch.
#[tokio::test]
async fn a_position_that_cannot_be_served_is_gone() {
    let world = World::start().await;
    world.api.users(3).await;
    let cursor = world.api.cursor().await;
    let (epoch, _) = cursor.split_once('-').expect("a cursor has an epoch");
    let other = if epoch == "00000000" { "00000001" } else { "00000000" };
    for (after, reason) in [
        (format!("{epoch}-4"), "cursor_ahead"),
        ("4".into(), "cursor_ahead"),
        (i64::MAX.to_string(), "cursor_ahead"),
        (format!("{other}-2"), "epoch_changed"),
    ] {
        let message = world.api.get(&format!("/api/events?after={after}&wait=30")).await.refused(410, "cursor_gone");
        assert!(message.contains(reason), "{after}: {message}");
    }
    world.finish().await;
}

/// Goal: a query that cannot be read is refused by name. Method: a table.
#[tokio::test]
async fn queries_that_cannot_be_read_are_refused() {
    let world = World::start().await;
    for (query, code, field) in [
        ("after=garbage", "invalid_field", "after"),
        ("after=-1", "invalid_field", "after"),
        ("after=9f3a01c7-", "invalid_field", "after"),
        ("after=9F3A01C7-1", "invalid_field", "after"),
        ("after=9223372036854775808", "invalid_field", "after"),
        ("limit=0", "invalid_field", "limit"),
        ("limit=1001", "invalid_field", "limit"),
        ("types=contact_added,nonsense", "invalid_field", "types"),
        ("types=,", "invalid_field", "types"),
        ("user=somebody", "invalid_id", "user"),
        ("wait=31", "invalid_field", "wait"),
        ("wait=-1", "invalid_field", "wait"),
        ("wait=soon", "invalid_field", "wait"),
    ] {
        let message = world.api.get(&format!("/api/events?{query}")).await.refused(400, code);
        assert!(message.contains(field), "{query}: {message}");
    }
    let page = world.api.get("/api/events?after=&limit=&types=&user=&wait=").await.json();
    assert_eq!(page["events"], json!([]), "what is empty counts as not given");
    world.finish().await;
}

/// Goal: `types` may come in several pieces on every transport, and anything else that comes twice is refused. Method: the same
/// filter in several spellings by poll, stream and socket; each other parameter twice.
#[tokio::test]
async fn lists_may_come_in_pieces() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    world.api.add_contact(&asha, &ravi).await;
    world.api.send_message(&asha, &ravi, "hi").await;
    for types in [
        "types=contact_added,message_sent",
        "types=contact_added&types=message_sent",
        "types=message_sent&after=0&types=contact_added",
        "types=contact_added&types=&types=message_sent",
        "types=contact_added&%74ypes=message_sent,contact_added",
    ] {
        let query = if types.contains("after") { types.to_owned() } else { format!("after=0&{types}") };
        assert_eq!(seqs(&world.api.get(&format!("/api/events?{query}")).await.json()), [3, 4], "{query}");
        let mut stream = EventSource::open(world.server.address(), &query).await;
        stream.skip(1).await;
        assert_eq!(stream.seqs(2).await, [3, 4], "{query}");
        let mut dashboard = world.dashboard(&query).await;
        assert_eq!(dashboard.seqs(2).await, [3, 4], "{query}");
    }
    for query in ["after=0&after=1", "user=&user=", "limit=1&limit=2", "types=nonsense&types=message_sent", "wait=0&wait=0"] {
        world.api.get(&format!("/api/events?{query}")).await.refused(400, "invalid_field");
        assert_eq!(EventSource::open(world.server.address(), query).await.status, 400, "{query}");
        assert!(Dashboard::try_connect(world.server.address(), query).await.is_err(), "{query}");
    }
    world.sessions(0).await;
    world.finish().await;
}
