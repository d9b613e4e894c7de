//! Phone numbers as people and programs write them, and users whom older versions stored under other spellings.

use sambad_core::{Command, Limits, Outcome};
use sambad_server::ServerConfig;
use serde_json::{Value, json};

use crate::harness::World;

const LOGIN: &str = "/api/users/login";

/// Stores a user as a version that knew nothing of countries did, and gives the id.
async fn stored(world: &World, phone: &str) -> String {
    let command = Command::Login { phone: phone.parse().expect("an E.164 number"), name: None };
    let receipt = world.server.sambad().execute(command, None).await.expect("the user is stored");
    let Outcome::LoggedIn { user, created: true } = receipt.outcome else { panic!("{receipt:?}") };
    user.id.to_string()
}

/// Goal: one person is one user, however the phone is written and whichever route it is sent to. Method: spellings of one number
/// at every route that takes a phone.
#[tokio::test]
async fn a_number_is_one_user_at_every_route() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    for (written, in_path) in [
        (json!("09876543210"), "09876543210"),
        (json!("919876543210"), "919876543210"),
        (json!("00 91 98765 43210"), "00%2091%2098765%2043210"),
        (json!("+9109876543210"), "%2B9109876543210"),
        (json!("98765.43210"), "98765.43210"),
        (json!("98765\u{a0}43210"), "98765%C2%A043210"),
        (json!("+91\u{2011}98765\u{2011}43210"), "%2B91%E2%80%9198765%E2%80%9143210"),
        (json!("९८७६५४३२१०"), "%E0%A5%AF%E0%A5%AE%E0%A5%AD%E0%A5%AC%E0%A5%AB%E0%A5%AA%E0%A5%A9%E0%A5%A8%E0%A5%A7%E0%A5%A6"),
        (json!("tel:+91-98765-43210"), "tel:+91-98765-43210"),
        (json!("+91009876543210"), "%2B91009876543210"),
        (json!("0919876543210"), "0919876543210"),
        (json!("+91919876543210"), "%2B91919876543210"),
        (json!("{98765}\u{3002}43210\u{61c}"), "%7B98765%7D%E3%80%8243210%D8%9C"),
        (json!(9_876_543_210_u64), "9876543210"),
        (json!(919_876_543_210_u64), "919876543210"),
    ] {
        for body in [json!({ "phone": written }), json!({ "mobileNumber": written, "countryCode": "+\u{200e}९१" })] {
            let answer = world.api.post(LOGIN, &body).await;
            assert_eq!((answer.status, answer.text_at("id"), answer.seq()), (200, asha.clone(), None), "{body}");
        }
        let contact = world.api.post("/api/contacts", json!({ "userId": ravi, "phone": written })).await;
        assert_eq!(contact.json()["contact"]["contact_user_id"], json!(asha), "{written}");
        let named = world.api.post("/api/contacts", json!({ "userId": ravi, "contactUserId": written })).await;
        assert_eq!(named.json()["contact"]["contact_user_id"], json!(asha), "{written}");
        let message = world.api.post("/api/messages", json!({ "fromUserId": ravi, "toUserId": written, "content": "x" })).await;
        assert_eq!((message.status, message.text_at("to_user_id")), (201, asha.clone()), "{written}");
        let message = world.api.post("/api/messages", json!({ "fromUserId": written, "toUserId": ravi, "content": "x" })).await;
        assert_eq!((message.status, message.text_at("from_user_id")), (201, asha.clone()), "{written}");
        let synced = world.api.post("/api/sync-contacts", json!({ "contacts": [{ "phone": written }] })).await.json();
        assert_eq!(synced["sambadUsers"][0]["id"], json!(asha), "{written}");
        let shown = world.api.get(&format!("/api/users/{in_path}")).await;
        assert_eq!((shown.status, shown.text_at("id")), (200, asha.clone()), "{written}");
        let listed = world.api.get(&format!("/api/users?q={in_path}")).await.json();
        assert!(written == json!("tel:+91-98765-43210") || listed[0]["id"] == json!(asha), "{written}: {listed}");
    }
    let users = world.api.get("/api/users").await.json();
    assert_eq!(users.as_array().map(Vec::len), Some(2), "nobody was made up");
    world.finish().await;
}

/// Goal: a number that its country cannot have is refused, says why, and makes no user; one of a range that nobody has is taken.
/// Method: a table around the lengths of several countries.
#[tokio::test]
async fn impossible_lengths_are_refused() {
    let world = World::start().await;
    for (body, told) in [
        (json!({ "phone": "+1415555010" }), "phone: too short for +1: 9 digits after the country code, expected 10"),
        (json!({ "phone": "+141555501000" }), "phone: too long for +1: 11 digits after the country code, expected 10"),
        (
            json!({ "mobileNumber": "98765" }),
            "mobileNumber: too short for +91: 5 digits after the country code, expected 8 to 13",
        ),
        (json!({ "mobileNumber": "5550100", "countryCode": "+1" }), "mobileNumber: too short for +1"),
        (json!({ "mobileNumber": "22345678901234", "countryCode": "" }), "mobileNumber: too long for +91"),
        (
            json!({ "phone": "+65123456789" }),
            "phone: wrong length for +65: 9 digits after the country code, expected 8, 10 to 11",
        ),
        (json!({ "phone": "9876543210", "countryCode": "IN" }), "countryCode: expected a country code: + and 1 to 4 digits"),
        (json!({ "phone": "CALL-ME-NOW" }), "phone: expected digits"),
    ] {
        let message = world.api.post(LOGIN, &body).await.refused(400, "invalid_phone");
        assert!(message.contains(told), "{body}: {message}");
    }
    for phone in ["+910000000000", "+19995550100", "+6599999999", "+6834002", "+80012345678", "+999001700000003"] {
        let answer = world.api.post(LOGIN, json!({ "phone": phone })).await;
        assert_eq!(answer.status, 200, "{phone}: {answer:?}");
    }
    assert_eq!(world.api.whole_log().await.len(), 6);
    world.finish().await;
}

/// Goal: fields that say nothing count as not there. Method: a table of empty ones.
#[tokio::test]
async fn empty_fields_are_absent() {
    let world = World::start().await;
    let id = world.api.user("+919876543210").await;
    for body in [
        json!({ "mobileNumber": "9876543210", "countryCode": "" }),
        json!({ "mobileNumber": "9876543210", "countryCode": " " }),
        json!({ "mobileNumber": "9876543210", "countryCode": null }),
        json!({ "mobileNumber": "9876543210", "countryCode": 91 }),
        json!({ "mobileNumber": "9876543210", "phone": "", "countryCode": "+91" }),
        json!({ "phone": "+919876543210", "mobileNumber": "" }),
    ] {
        assert_eq!(world.api.post(LOGIN, &body).await.text_at("id"), id, "{body}");
    }
    world.finish().await;
}

/// Goal: whoever was stored under another spelling is found by what was written then, at every route; whoever writes the number
/// itself is somebody else. Method: users as older versions stored them, one of them beside the user of the number itself.
#[tokio::test]
async fn old_accounts_stay_reachable() {
    let world = World::start().await;
    let ravi = world.api.user("+919876543211").await;
    for (spelling, written, number) in [
        ("+9109876543210", json!("09876543210"), "+919876543210"),
        ("+91919876543210", json!(919_876_543_210_u64), "+919876543210"),
        ("+12345678", json!("+12345678"), ""),
    ] {
        let id = stored(&world, spelling).await;
        for own in [false, true] {
            if own && !number.is_empty() {
                world.api.user(number).await;
            }
            let path = written.as_str().map_or_else(|| written.to_string(), |text| text.replace('+', "%2B"));
            assert_eq!(world.api.post(LOGIN, json!({ "phone": written })).await.text_at("id"), id, "{spelling}");
            assert_eq!(world.api.get(&format!("/api/users/{path}")).await.text_at("id"), id, "{spelling}");
            let contact = world.api.post("/api/contacts", json!({ "userId": ravi, "phone": written })).await.json();
            assert_eq!(contact["contact"]["contact_user_id"], json!(id), "{spelling}");
            let message = json!({ "fromUserId": ravi, "toUserId": written, "content": "x" });
            assert_eq!(world.api.post("/api/messages", message).await.text_at("to_user_id"), id, "{spelling}");
            let book = json!({ "contacts": [{ "phone": written, "name": "B" }] });
            let synced = world.api.post("/api/sync-contacts", book).await.json();
            assert_eq!(synced["sambadUsers"], json!([{ "id": id, "phone": spelling, "name": "B" }]), "{spelling}");
            let listed = world.api.get(&format!("/api/users?q={path}")).await.json();
            let found: Vec<&Value> = listed.as_array().into_iter().flatten().map(|user| &user["id"]).collect();
            assert!(found.contains(&&json!(id)), "{spelling}: {listed}");
        }
    }
    // Neither is stored: there is no such user, and no such number.
    for (path, status, code) in [("%2B919876500000", 404, "user_not_found"), ("%2B1234567", 400, "invalid_phone")] {
        world.api.get(&format!("/api/users/{path}")).await.refused(status, code);
    }
    let message = json!({ "fromUserId": ravi, "toUserId": "+12345679", "content": "x" });
    world.api.post("/api/messages", message).await.refused(400, "invalid_phone");
    world.finish().await;
}

/// Goal: an address book is read as far as it can be. Method: entries of every JSON type among good ones.
#[tokio::test]
async fn entries_of_any_type_keep_nobody_from_being_found() {
    let world = World::start().await;
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let contacts = json!([
        5, 5.5, -5, true, null, "+919876543210", [], [["+919876543210"]], {}, { "phone": {} }, { "phone": [{ "a": [1] }] },
        { "phone": null }, { "phone": 9.5 }, { "phone": 1e300 }, { "phone": false }, { "phone": "+12" },
        { "phone": 9_876_543_210_u64, "name": { "first": "Asha" } },
        { "name": 7, "phone": "0091-98765-43211", "other": [{}] },
    ]);
    let answer = world.api.post("/api/sync-contacts", json!({ "contacts": contacts })).await;
    let found = json!([
        { "id": asha, "phone": "+919876543210", "name": null },
        { "id": ravi, "phone": "+919876543211", "name": "7" },
    ]);
    assert_eq!(answer.json(), json!({ "success": true, "totalContacts": 18, "sambadUsers": found }));
    world.finish().await;
}

/// Goal: numbers without a country code are those of the server's country, or of the request's, and messages go to the sender's
/// country. Method: a server in +1, with users of both.
#[tokio::test]
async fn national_numbers_are_the_servers() {
    let config = ServerConfig { default_country_code: "+1".parse().expect("a country code"), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let (emma, asha) = (world.api.user("+14155550100").await, world.api.user("+919876543210").await);
    for body in [
        json!({ "mobileNumber": "(415) 555-0100" }),
        json!({ "mobileNumber": "1 415 555 0100" }),
        json!({ "mobileNumber": 4_155_550_100_u64 }),
        json!({ "phone": "415.555.0100" }),
        json!({ "mobileNumber": "5550100", "countryCode": "+1415" }),
        json!({ "mobileNumber": "4155550100.0", "countryCode": "＋1" }),
    ] {
        assert_eq!(world.api.post(LOGIN, &body).await.text_at("id"), emma, "{body}");
    }
    for body in [
        json!({ "mobileNumber": "098765 43210", "countryCode": "+91" }),
        json!({ "phone": "011 91 98765 43210" }),
        json!({ "mobileNumber": "00 91 98765 43210", "countryCode": "+61" }),
    ] {
        assert_eq!(world.api.post(LOGIN, &body).await.text_at("id"), asha, "{body}");
    }
    let ravi = world.api.user("+919876543211").await;
    for (from, to, recipient) in [(&ravi, "098765-43210", &asha), (&asha, "9876543211", &ravi), (&emma, "415-555-0100", &emma)] {
        let sent = world.api.send_message(from, to, "x").await;
        assert_eq!((sent.status, &sent.text_at("to_user_id")), (201, recipient), "{to}");
    }
    world.finish().await;
}
