//! `/api/contacts`: add, list, remove.

use serde_json::json;

use crate::harness::World;

const CONTACT: &str = r#""id":"ID1","user_id":"ID2","user_username":"+919876543210","contact_user_id":"ID3","contact_user_username":"+919876543211","created_at":"TIME","name":"+919876543211","phone":"+919876543211""#;

/// Goal: the seed's contact, added once. Method: literal bodies of the first and of the second attempt.
#[tokio::test]
async fn a_contact_is_added_once() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let first = world.api.add_contact(&asha, &ravi).await;
    first.is(201, &format!(r#"{{{CONTACT},"message":"Contact added successfully","contact":{{{CONTACT}}},"seq":3}}"#));
    assert_eq!(first.cursor_seq(), 3);
    let contact = &first.json()["contact"];
    assert_eq!((contact["user_id"].as_str(), contact["contact_user_id"].as_str()), (Some(&*asha), Some(&*ravi)));
    let second = world.api.add_contact(&asha, &ravi).await;
    second.is(200, &format!(r#"{{{CONTACT},"message":"Contact already exists","contact":{{{CONTACT}}},"seq":null}}"#));
    assert_eq!((&second.json()["contact"], second.cursor_seq()), (contact, 3));
    let back = world.api.add_contact(&ravi, &asha).await;
    assert_eq!((back.status, back.seq()), (201, Some(4)), "the other direction is a contact of its own");
    world.finish().await;
}

/// Goal: both ends may be named by phone. Method: a table of forms, each of a pair of its own.
#[tokio::test]
async fn contacts_may_be_named_by_phone() {
    let world = World::start().await;
    let asha = world.api.user("+919876543210").await;
    for (i, body) in [
        json!({ "userId": asha, "phone": "+919000000000", "name": " Ravi " }),
        json!({ "userId": asha, "phone": "90000-00001", "name": "Ravi" }),
        json!({ "userId": asha, "contactUserId": "+919000000002", "name": "Ravi" }),
        json!({ "userId": "+919876543210", "phone": "+91 90000 00003", "name": "Ravi" }),
    ]
    .into_iter()
    .enumerate()
    {
        let phone = format!("+91900000000{i}");
        let ravi = world.api.user(&phone).await;
        let answer = world.api.post("/api/contacts", &body).await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
        let contact = &answer.json()["contact"];
        assert_eq!((contact["user_id"].as_str(), contact["contact_user_id"].as_str()), (Some(&*asha), Some(&*ravi)), "{body}");
        assert_eq!((&contact["contact_user_username"], &contact["name"]), (&json!(phone), &json!("Ravi")), "{body}");
    }
    world.finish().await;
}

/// Goal: the list shows both users in full, newest first, page by page. Method: literal body; walks with and without user.
#[tokio::test]
async fn contacts_are_listed() {
    let world = World::start().await;
    let asha = world.api.user("+919876543210").await;
    let ravi = world.api.user("+919876543211").await;
    world.api.add_contact(&asha, &ravi).await;
    let user = r#""username":"+919876543210","email":"9876543210@sambad.local","phone":"+919876543210","name":null,"status":"active","created_at":"TIME","last_active_at":"TIME""#;
    let other = user.replace("9876543210", "9876543211");
    let answer = world.api.get(&format!("/api/contacts?userId={asha}")).await;
    let expected = format!(r#"[{{{CONTACT},"user":{{"id":"ID2",{user}}},"contact_user":{{"id":"ID3",{other}}}}}]"#);
    answer.is(200, &expected);
    assert_eq!((answer.cursor_seq(), answer.header("link")), (3, None));

    let mut added = vec![answer.json()[0]["id"].clone()];
    for friend in world.api.users(5).await {
        added.push(world.api.add_contact(&asha, &friend).await.json()["contact"]["id"].clone());
    }
    added.reverse();
    let foreign = world.api.add_contact(&ravi, &asha).await.json()["contact"]["id"].clone();
    for (limit, pages) in [(1, 6), (4, 2), (6, 1)] {
        let (found, walked) = world.api.walk(&format!("/api/contacts?userId={asha}&limit={limit}")).await;
        let found: Vec<_> = found.iter().map(|contact| contact["id"].clone()).collect();
        assert_eq!((&found, walked), (&added, pages), "limit={limit}");
    }
    added.insert(0, foreign);
    let (found, _) = world.api.walk("/api/contacts?limit=2").await;
    assert_eq!(found.iter().map(|contact| contact["id"].clone()).collect::<Vec<_>>(), added);
    world.finish().await;
}

/// Goal: a removed contact is gone once, told once, and may be added again. Method: the life of one contact.
#[tokio::test]
async fn a_contact_is_removed_once() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let added = world.api.add_contact(&asha, &ravi).await.json()["contact"].clone();
    let path = format!("/api/contacts/{}", added["id"].as_str().expect("a contact has an id"));
    let removed = world.api.delete(&path).await;
    removed.is(200, &format!(r#"{{{CONTACT},"message":"Contact removed","contact":{{{CONTACT}}},"seq":4}}"#));
    assert_eq!((&removed.json()["contact"], removed.cursor_seq()), (&added, 4));
    world.api.delete(&path).await.refused(404, "contact_not_found");
    world.api.get("/api/contacts").await.is(200, "[]");
    let again = world.api.add_contact(&asha, &ravi).await;
    assert_eq!((again.status, again.seq()), (201, Some(5)));
    assert_ne!(again.json()["contact"]["id"], added["id"]);
    world.finish().await;
}
