//! `/api/admin`: the dashboard's figures and feed.

use serde_json::{Value, json};

use crate::harness::World;

/// Goal: figures are the contract's and move with every write, and only with writes. Method: all of it after each step.
#[tokio::test]
async fn analytics_move_with_writes() {
    let world = World::start().await;
    let mut expected = [0, 0, 0];
    check(&world, expected).await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    expected[0] = 2;
    check(&world, expected).await;
    let contact = world.api.add_contact(&asha, &ravi).await.json()["contact"]["id"].clone();
    world.api.add_contact(&asha, &ravi).await;
    expected[1] = 1;
    check(&world, expected).await;
    world.api.send_message(&asha, &ravi, "hi").await;
    expected[2] = 1;
    check(&world, expected).await;
    world.api.delete(&format!("/api/contacts/{}", contact.as_str().expect("a contact has an id"))).await;
    let (today, days) = analytics(&world).await;
    let date = today["date"].as_str().expect("a day has a date");
    let expected = format!(
        r#"{{"totalUsers":2,"newUsers":2,"activeUsers":2,"inactiveUsers":0,"growth":100.0,"totalContacts":0,"totalMessages":1,"daily":[{days}{{"date":"{date}","users":2,"contacts":1,"messages":1}}]}}"#
    );
    world.api.get("/api/admin/analytics").await.is(200, &expected);
    world.finish().await;
}

/// Today's figures, and the text of the 29 days before, which must be empty ones.
async fn analytics(world: &World) -> (Value, String) {
    let analytics = world.api.get("/api/admin/analytics").await.json();
    let mut days = analytics["daily"].as_array().expect("daily is a list").clone();
    assert_eq!(days.len(), 30);
    let today = days.pop().expect("30 days");
    let before = days.iter().map(|day| {
        let date = day["date"].as_str().expect("a day has a date");
        format!(r#"{{"date":"{date}","users":0,"contacts":0,"messages":0}},"#)
    });
    (today, before.collect())
}

async fn check(world: &World, [users, contacts, messages]: [u64; 3]) {
    let (today, days) = analytics(world).await;
    let date = today["date"].as_str().expect("a day has a date");
    let growth = if users == 0 { "0.0" } else { "100.0" };
    let expected = format!(
        r#"{{"totalUsers":{users},"newUsers":{users},"activeUsers":{users},"inactiveUsers":0,"growth":{growth},"totalContacts":{contacts},"totalMessages":{messages},"daily":[{days}{{"date":"{date}","users":{users},"contacts":{contacts},"messages":{messages}}}]}}"#
    );
    let answer = world.api.get("/api/admin/analytics").await;
    answer.is(200, &expected);
    assert_eq!(answer.cursor_seq(), users + contacts + messages);
}

/// Goal: the feed tells who did what to whom, newest first. Method: literal body over every kind of event.
#[tokio::test]
async fn activity_tells_who_did_what() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let added = world.api.add_contact(&asha, &ravi).await.json();
    world.api.send_message(&ravi, &asha, "hi").await;
    let contact = added["contact"]["id"].as_str().expect("a contact has an id");
    world.api.delete(&format!("/api/contacts/{contact}")).await;
    let data = r#""data":{"id":"ID1","user_id":"ID2","user_username":"+919876543210","contact_user_id":"ID3","contact_user_username":"+919876543211","created_at":"TIME"}"#;
    let user = r#""username":"+919876543210","email":"9876543210@sambad.local","created_at":"TIME""#;
    let expected = [
        format!(r#"{{"type":"contact_removed","description":"+919876543210 removed +919876543211","time":"TIME","seq":5,{data}}}"#),
        r#"{"type":"message_sent","description":"+919876543211 sent a message to +919876543210","time":"TIME","seq":4,"data":{"id":"ID4","from_user_id":"ID3","from_username":"+919876543211","to_user_id":"ID2","to_username":"+919876543210","content":"hi","type":"text","created_at":"TIME"}}"#.into(),
        format!(r#"{{"type":"contact_added","description":"+919876543210 added +919876543211","time":"TIME","seq":3,{data}}}"#),
        format!(r#"{{"type":"user_created","description":"+919876543211 joined","time":"TIME","seq":2,"data":{{"id":"ID3",{}}}}}"#, user.replace("43210", "43211")),
        format!(r#"{{"type":"user_created","description":"+919876543210 joined","time":"TIME","seq":1,"data":{{"id":"ID2",{user}}}}}"#),
    ];
    let answer = world.api.get("/api/admin/activity").await;
    answer.is(200, &format!("[{}]", expected.join(",")));
    assert_eq!(answer.cursor_seq(), 5);
    world.finish().await;
}

/// Goal: the feed is as long as asked for, 20 unless told. Method: 30 events.
#[tokio::test]
async fn activity_is_as_long_as_asked_for() {
    let world = World::start().await;
    world.api.users(30).await;
    for (query, from) in [("", 11), ("?limit=3", 28), ("?limit=500", 1)] {
        let feed = world.api.get(&format!("/api/admin/activity{query}")).await.json();
        let seqs: Vec<u64> = feed.as_array().into_iter().flatten().filter_map(|entry| entry["seq"].as_u64()).collect();
        assert_eq!(seqs, (from..=30).rev().collect::<Vec<u64>>(), "{query}");
    }
    world.finish().await;
}

/// Goal: the admin's list of users is the newest first, in the form of `/api/users`. Method: both lists, one reversed.
#[tokio::test]
async fn admin_users_are_newest_first() {
    let world = World::start().await;
    world.api.users(3).await;
    let (newest, oldest) = (world.api.get("/api/admin/users").await, world.api.get("/api/users").await.json());
    let mut oldest = oldest.as_array().expect("a list").clone();
    oldest.reverse();
    assert_eq!((newest.json(), newest.cursor_seq()), (json!(oldest), 3));
    world.finish().await;
}
