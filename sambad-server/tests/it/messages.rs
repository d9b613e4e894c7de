//! `/api/messages`: send, list.

use serde_json::{Value, json};

use crate::harness::World;

const MESSAGE: &str = r#""id":"ID1","from_user_id":"ID2","from_username":"+919876543210","to_user_id":"ID3","to_username":"+919876543211","content":"hi","type":"text","created_at":"TIME""#;

/// Goal: a message is stored and listed as the contract says. Method: literal bodies.
#[tokio::test]
async fn a_message_is_sent_and_listed() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let sent = world.api.send_message(&asha, &ravi, "hi").await;
    sent.is(201, &format!(r#"{{{MESSAGE},"message":"Message sent successfully","seq":3}}"#));
    assert_eq!((sent.cursor_seq(), sent.text_at("from_user_id"), sent.text_at("to_user_id")), (3, asha, ravi));
    let listed = world.api.get("/api/messages").await;
    listed.is(200, &format!("[{{{MESSAGE}}}]"));
    assert_eq!(listed.cursor_seq(), 3);
    world.finish().await;
}

/// Goal: the recipient may be named in every way, national numbers by the sender's country. Method: a table.
#[tokio::test]
async fn recipients_may_be_named_in_many_ways() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let (john, jane) = (world.api.user("+15551234567").await, world.api.user("+15551234568").await);
    for (body, to) in [
        (json!({ "fromUserId": asha, "toUserId": ravi }), &ravi),
        (json!({ "fromId": asha, "toId": ravi }), &ravi),
        (json!({ "fromUserId": asha, "toUserId": "+91 98765 43211" }), &ravi),
        (json!({ "fromUserId": asha, "toUserId": "98765-43211" }), &ravi),
        (json!({ "fromUserId": john, "toUserId": "555 123 4568" }), &jane),
        (json!({ "fromUserId": "+15551234567", "toUserId": "(555) 1234568" }), &jane),
        (json!({ "fromUserId": john, "toUserId": format!("555{}1234568", " ".repeat(60_000)) }), &jane),
        (json!({ "fromUserId": asha, "toUserId": asha }), &asha),
    ] {
        let mut body = body;
        body["content"] = json!("x");
        let answer = world.api.post("/api/messages", &body).await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
        assert_eq!(&answer.text_at("to_user_id"), to, "{body}");
    }
    world.finish().await;
}

/// Goal: content and type are kept exactly up to their bounds. Method: a table of the widest that is allowed.
#[tokio::test]
async fn content_is_kept_exactly() {
    let world = World::start().await;
    let asha = world.api.user("+919876543210").await;
    let (wide, long_type) = ("😀".repeat(4096), format!("a{}", "_9".repeat(15)));
    for (content, kind) in [("\"\\\n\t\u{1}</script>\u{2028}", "text"), (" ", "a"), (&wide, &long_type)] {
        let body = json!({ "fromUserId": asha, "toUserId": asha, "content": content, "type": kind });
        let answer = world.api.post("/api/messages", body).await;
        assert_eq!((answer.text_at("content"), answer.text_at("type")), (content.to_owned(), kind.to_owned()));
        let (listed, event) = (world.api.get("/api/messages?limit=1").await.json(), world.api.whole_log().await.pop());
        assert_eq!(listed[0]["content"], content);
        assert_eq!(event.map(|event| event["data"]["content"].clone()), Some(json!(content)));
    }
    world.finish().await;
}

/// Goal: lists by user and by pair hold both directions, newest first, page by page. Method: three users who all talk.
#[tokio::test]
async fn messages_are_listed_by_user_and_by_pair() {
    let world = World::start().await;
    let users = world.api.users(3).await;
    let mut sent: Vec<Value> = Vec::new();
    for round in 0..3 {
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 0), (0, 0)] {
            sent.push(world.api.send_message(&users[from], &users[to], &format!("{round}")).await.json());
        }
    }
    sent.reverse();
    let ends = |message: &Value| [message["from_user_id"].clone(), message["to_user_id"].clone()];
    let (a, b) = (json!(users[0]), json!(users[1]));
    let of = |wanted: &dyn Fn(&Value) -> bool| sent.iter().filter(|m| wanted(m)).map(|m| m["id"].clone()).collect::<Vec<_>>();
    for (query, expected) in [
        (String::new(), of(&|_| true)),
        (format!("userId={}&", users[0]), of(&|m| ends(m).contains(&a))),
        (format!("userId={}&withUserId={}&", users[0], users[1]), of(&|m| ends(m).contains(&a) && ends(m).contains(&b))),
        (format!("userId={0}&withUserId={0}&", users[0]), of(&|m| ends(m) == [a.clone(), a.clone()])),
    ] {
        assert!(!expected.is_empty());
        for limit in [1, 2, 500] {
            let (found, pages) = world.api.walk(&format!("/api/messages?{query}limit={limit}")).await;
            let found: Vec<Value> = found.iter().map(|message| message["id"].clone()).collect();
            assert_eq!((&found, pages), (&expected, expected.len().div_ceil(limit)), "{query}limit={limit}");
        }
    }
    world.finish().await;
}
