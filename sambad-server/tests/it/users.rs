//! `/api/users`: log in, list, show.

use serde_json::json;

use crate::harness::World;

const USER: &str = r#""id":"ID1","username":"+919876543210","email":"9876543210@sambad.local","phone":"+919876543210","name":null,"status":"active","created_at":"TIME","last_active_at":"TIME""#;

/// Goal: the seed's login, exactly. Method: literal bodies of the first login and of the second.
#[tokio::test]
async fn login_creates_then_finds() {
    let world = World::start().await;
    let body = json!({ "mobileNumber": "9876543210", "countryCode": "+91" });
    let first = world.api.post("/api/users/login", &body).await;
    first.is(200, &format!(r#"{{{USER},"created":true,"seq":1,"user":{{{USER}}}}}"#));
    assert_eq!(first.cursor_seq(), 1);
    let second = world.api.post("/api/users/login", &body).await;
    second.is(200, &format!(r#"{{{USER},"created":false,"seq":null,"user":{{{USER}}}}}"#));
    assert_eq!((second.text_at("id"), second.cursor()), (first.text_at("id"), first.cursor()));
    world.finish().await;
}

/// Goal: one person is one user however the phone is written. Method: a table of forms that all mean the same number.
#[tokio::test]
async fn phones_may_be_written_in_many_ways() {
    let world = World::start().await;
    let id = world.api.user("+919876543210").await;
    for body in [
        json!({ "mobileNumber": "9876543210", "countryCode": "+91" }),
        json!({ "mobileNumber": "9876543210", "countryCode": "91" }),
        json!({ "mobileNumber": "9876543210" }),
        json!({ "mobileNumber": "+91 98765-43210", "countryCode": "+1" }),
        json!({ "mobileNumber": "(98765) 43210", "countryCode": "+91", "unknown": [1] }),
        json!({ "phone": "+91 (987) 654-3210" }),
        json!({ "phone": "9876543210", "countryCode": null }),
    ] {
        let answer = world.api.post("/api/users/login", &body).await;
        assert_eq!((answer.status, answer.text_at("id"), answer.seq()), (200, id.clone(), None), "{body}");
    }
    world.finish().await;
}

/// Goal: a name is taken at the first login and kept. Method: login with one, with another, and with an empty one.
#[tokio::test]
async fn the_first_login_names_the_user() {
    let world = World::start().await;
    for (phone, name, kept) in [
        ("+919876543210", json!(" Asha "), json!("Asha")),
        ("+919876543210", json!("Else"), json!("Asha")),
        ("+919876543211", json!("  "), json!(null)),
        ("+919876543212", json!("न".repeat(100)), json!("न".repeat(100))),
    ] {
        let answer = world.api.post("/api/users/login", json!({ "phone": phone, "name": name })).await;
        assert_eq!(answer.json()["name"], kept, "{phone} {name}");
    }
    world.finish().await;
}

/// Goal: a user is shown by id and by phone, with the cursor of the read. Method: literal body, both ways.
#[tokio::test]
async fn a_user_is_shown_by_id_and_by_phone() {
    let world = World::start().await;
    let id = world.api.user("+919876543210").await;
    for path in [format!("/api/users/{id}"), format!("/api/users/{}", id.to_uppercase()), "/api/users/%2B919876543210".into()] {
        let answer = world.api.get(&path).await;
        answer.is(200, &format!("{{{USER}}}"));
        assert_eq!((answer.text_at("id"), answer.cursor_seq()), (id.clone(), 1));
    }
    world.finish().await;
}

/// Goal: users are listed oldest first, with a cursor. Method: literal body of one page.
#[tokio::test]
async fn users_are_listed() {
    let world = World::start().await;
    world.api.get("/api/users").await.is(200, "[]");
    world.api.user("+919876543210").await;
    let answer = world.api.get("/api/users").await;
    answer.is(200, &format!("[{{{USER}}}]"));
    assert_eq!((answer.cursor_seq(), answer.header("link")), (1, None));
    world.finish().await;
}

/// Goal: pages joined are the list, whatever their size, in every order there is. Method: walk with several limits.
#[tokio::test]
async fn pages_of_users_join_to_the_list() {
    let world = World::start().await;
    let mut ids = world.api.users(7).await;
    for (path, newest_first) in [("/api/users?", false), ("/api/admin/users?", true), ("/api/users?q=%2B91&", false)] {
        if newest_first {
            ids.reverse();
        }
        for (limit, pages) in [(1, 7), (2, 4), (3, 3), (7, 1), (500, 1)] {
            let (users, walked) = world.api.walk(&format!("{path}limit={limit}")).await;
            let found: Vec<&str> = users.iter().map(|user| user["id"].as_str().expect("a user has an id")).collect();
            assert_eq!((found, walked), (ids.iter().map(String::as_str).collect(), pages), "{path}limit={limit}");
        }
        if newest_first {
            ids.reverse();
        }
    }
    world.finish().await;
}

/// Goal: `q` finds by the beginning of phone or name, and nothing else. Method: a table over four users, paged by one.
#[tokio::test]
async fn q_finds_by_prefix() {
    let world = World::start().await;
    for (phone, name) in [
        ("+919876543210", Some("Asha Rao")),
        ("+919876000000", Some("asha")),
        ("+15551234567", Some("Bob 100%")),
        ("+442071838750", None),
    ] {
        world.api.post("/api/users/login", json!({ "phone": phone, "name": name })).await;
    }
    for (q, expected) in [
        ("%2B91987", vec!["+919876000000", "+919876543210"]),
        ("+91987", vec!["+919876000000", "+919876543210"]),
        ("98765", vec!["+919876543210"]),
        ("%2B1", vec!["+15551234567"]),
        ("%2B9199", vec![]),
        ("ash", vec!["+919876000000", "+919876543210"]),
        ("ASHA%20R", vec!["+919876543210"]),
        ("bob%20100%25", vec!["+15551234567"]),
        ("%25", vec![]),
        ("_sha", vec![]),
        ("sha", vec![]),
    ] {
        let (users, _) = world.api.walk(&format!("/api/users?limit=1&q={q}")).await;
        let found: Vec<&str> = users.iter().map(|user| user["phone"].as_str().expect("a user has a phone")).collect();
        assert_eq!(found, expected, "q={q}");
    }
    world.finish().await;
}

/// Goal: what no list can be asked for is refused by name. Method: a table over every paged list.
#[tokio::test]
async fn bounds_of_pages_are_checked() {
    let world = World::start().await;
    let lists = ["/api/users", "/api/admin/users", "/api/contacts", "/api/messages", "/api/admin/activity"];
    for list in lists {
        for limit in ["0", "501", "-1", "x", "1.5", "99999999999999999999"] {
            let message = world.api.get(&format!("{list}?limit={limit}")).await.refused(400, "invalid_field");
            assert!(message.contains("limit"), "{message}");
        }
        for limit in ["1", "500", ""] {
            world.api.get(&format!("{list}?limit={limit}")).await.is(200, "[]");
        }
        if list != "/api/admin/activity" {
            // The third is what an older version gave.
            for after in ["garbage", "01", "018f3b8e-7a8b-7c3d-8e4f-1a2b3c4d5e6f", "-0", "99999999999999999999"] {
                let message = world.api.get(&format!("{list}?after={after}")).await.refused(400, "invalid_field");
                assert!(message.contains("after") && message.contains("start the list again"), "{message}");
            }
        }
    }
    world.api.get("/api/users?limit=1&limit=2").await.refused(400, "invalid_field");
    world.finish().await;
}
