//! `/api/asyncapi.json` and `/api/openapi.json`: what they say is what is on the wire.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Dashboard, EventSource, World};

/// Compares a document with its copy in `docs`; SAMBAD_UPDATE_SNAPSHOTS=1 writes the copy anew.
fn is_the_copy(document: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, format!("{document}\n")).expect("the copy can be written");
    }
    let copy = std::fs::read_to_string(&path).expect("the copy can be read");
    assert!(copy.trim_end() == document, "{} differs from what the server serves", path.display());
}

/// Every `$ref` in a document points to something in it.
fn refers_to_itself(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(target) if name == "$ref" => {
                let pointer = target.strip_prefix('#').expect("documents refer to themselves only");
                assert!(document.pointer(pointer).is_some(), "{target} is nowhere");
            }
            value => refers_to_itself(document, value),
        }),
        Value::Array(items) => items.iter().for_each(|item| refers_to_itself(document, item)),
        _ => {}
    }
}

/// The names under which a channel has messages, or an operation of it.
fn messages(document: &Value, operation: &str) -> BTreeSet<String> {
    let messages = document["operations"][operation]["messages"].as_array().expect("operations have messages");
    let names = messages.iter().map(|message| message["$ref"].as_str().and_then(|target| target.rsplit('/').next()));
    names.map(|name| name.expect("messages are references").to_owned()).collect()
}

/// Checks a frame against the document, and gives its type.
fn check(document: &Value, frame: &Value) -> String {
    let kind = frame["type"].as_str().unwrap_or_else(|| panic!("{frame} has a type"));
    let mut schema = document.clone();
    schema["$ref"] = format!("#/components/messages/{kind}/payload").into();
    let validator = jsonschema::draft7::options().should_validate_formats(true).build(&schema).expect("the document is a schema");
    let faults: Vec<String> = validator.iter_errors(frame).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{frame}: {faults:?}");
    kind.to_owned()
}

/// Causes an event of every kind.
async fn everything_happens(api: &Api) {
    let users = api.users(2).await;
    let contact = api.add_contact(&users[0], &users[1]).await.json()["contact"]["id"].as_str().expect("an id").to_owned();
    api.delete(&format!("/api/contacts/{contact}")).await;
    api.send_message(&users[0], &users[1], "<b>hello</b> \u{1f600}").await;
}

/// Goal: every frame that a session can get is as the document says, none is missing in it and none is in it that there is not.
/// Method: a session that meets all of them, and what clients send as the document has it; the same by event stream.
#[tokio::test]
async fn frames_are_what_asyncapi_says() {
    let config = ServerConfig { heartbeat: Duration::from_secs(1), ..ServerConfig::default() };
    let world = World::start_with(config, Limits::default()).await;
    let served = world.api.get("/api/asyncapi.json").await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    is_the_copy(&served.text, "asyncapi.json");
    let document = served.json();
    refers_to_itself(&document, &document);
    everything_happens(&world.api).await;

    let mut seen = BTreeSet::new();
    let mut replayed = world.dashboard("after=0").await;
    seen.insert(check(&document, &serde_json::from_str(&replayed.connected).expect("frames are JSON")));
    while !seen.contains("live") {
        seen.insert(check(&document, &replayed.frame().await));
    }
    for sent in [
        json!({ "type": "ping" }),
        json!({ "type": "subscribe", "types": ["message_sent"], "user": null }),
        json!({ "type": "subscribe" }),
        json!({ "type": "auth", "token": "t" }),
    ] {
        check(&document, &sent);
        replayed.send(sent.to_string()).await;
        seen.insert(check(&document, &replayed.frame().await));
    }
    replayed.send("nonsense").await;
    seen.insert(check(&document, &replayed.frame().await));
    let mut lost = Dashboard::connect(world.server.address(), "after=00000000-1").await;
    seen.insert(check(&document, &lost.frame().await));
    let mut quiet = world.dashboard("types=message_sent").await;
    world.api.user("+919999999999").await;
    seen.insert(check(&document, &quiet.frame().await));
    // Needs a token that ends within a minute: the document's own test has that frame.
    seen.insert("token_expiring".into());
    assert_eq!(seen, messages(&document, "send_frames"));

    let mut seen = BTreeSet::new();
    for query in ["after=0", "after=00000000-1"] {
        let mut stream = EventSource::open(world.server.address(), query).await;
        while !seen.contains(if query == "after=0" { "live" } else { "resync" }) {
            let message = stream.message().await.expect("the stream is open");
            let data = message.lines().find_map(|line| line.strip_prefix("data: ")).expect("messages have data");
            let kind = check(&document, &serde_json::from_str(data).expect("data is JSON"));
            assert!(message.contains(&format!("event: {kind}\n")), "{message}");
            seen.insert(kind);
        }
    }
    let config = ServerConfig { heartbeat: Duration::from_secs(1), ..ServerConfig::default() };
    let brisk = World::start_with(config, Limits::default()).await;
    let mut stream = EventSource::open(brisk.server.address(), "types=message_sent").await;
    brisk.api.users(1).await;
    while let Some(message) = stream.message().await {
        let Some(data) = message.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
        let kind = check(&document, &serde_json::from_str(data).expect("data is JSON"));
        if kind == "heartbeat" {
            let listed = brisk.api.get("/api/admin/sessions").await.json();
            let id = listed["sessions"][0]["session"].as_str().expect("the stream is a session");
            assert_eq!(brisk.api.delete(&format!("/api/admin/sessions/{id}")).await.status, 200);
        }
        seen.insert(kind);
    }
    drop(stream);
    brisk.finish().await;
    assert_eq!(seen, messages(&document, "send_messages"));
    drop((replayed, lost, quiet));
    world.finish().await;
}

/// Goal: the document is whole, and says which of the two sorts of server this is. Method: its references, and what it asks for.
#[tokio::test]
async fn openapi_is_served() {
    let world = World::start().await;
    let document = world.api.get("/api/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    refers_to_itself(&document, &document);
    assert!(document["components"]["securitySchemes"].is_null(), "nobody is asked who they are");
    world.finish().await;
}

/// Checks an answer against the document: its status, its headers, its body, and that its fields are those of the document.
fn check_answer(document: &Value, route: &str, answer: &Answer) {
    let (method, path) = route.split_once(' ').expect("a route is a method and a path");
    let pointer = format!("/paths/{}/{}/responses/{}", path.replace('/', "~1"), method.to_lowercase(), answer.status);
    let mut response = document.pointer(&pointer).unwrap_or_else(|| panic!("{route} answers {}", answer.status));
    if let Some(target) = response["$ref"].as_str() {
        response = document.pointer(&target[1..]).expect("references are good");
    }
    for (name, header) in response["headers"].as_object().expect("every answer has headers") {
        let target = header["$ref"].as_str().map_or("", |target| &target[1..]);
        let required = document.pointer(target).is_some_and(|header| header["required"] == true);
        assert!(!required || answer.header(name).is_some(), "{route} without {name}: {answer:?}");
    }
    let media_type = answer.header("content-type").expect("a type").split(';').next().unwrap_or_default();
    let mut schema = response["content"][media_type]["schema"].clone();
    assert!(schema.is_object(), "{route}: {media_type}");
    if media_type != "application/json" {
        return;
    }
    let body = answer.json();
    schema["components"] = document["components"].clone();
    let several = body.as_array().cloned();
    if several.is_some() {
        assert_eq!(schema["type"], "array", "{route}");
        let items = schema["items"].take();
        schema = json!({ "allOf": [items], "components": document["components"] });
    }
    if path != "/api/openapi.json" && path != "/api/asyncapi.json" {
        schema["unevaluatedProperties"] = false.into();
    }
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("it is a schema");
    for item in several.unwrap_or_else(|| vec![body]) {
        let faults: Vec<String> = validator.iter_errors(&item).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{route}: {item}: {faults:?}");
    }
}

/// Goal: answers have the fields, headers and statuses of the document, and no others. Method: every route that answers with
/// more than text, with something to show, and refusals of several sorts; bodies are held against the document as closed.
#[tokio::test]
async fn answers_are_what_openapi_says() {
    let world = World::start().await;
    let api = &world.api;
    let document = api.get("/api/openapi.json").await.json();
    let check = |route: &str, answer: Answer| check_answer(&document, route, &answer);
    everything_happens(api).await;
    let login = api.post("/api/users/login", json!({ "phone": "+919876543210", "name": "Asha" })).await;
    let (user, other) = (login.text_at("id"), api.user("+919876543211").await);
    check("POST /api/users/login", login);
    let contact = json!({ "userId": user, "contactUserId": other });
    check("POST /api/contacts", api.post("/api/contacts", &contact).await);
    check("POST /api/contacts", api.post("/api/contacts", &contact).await);
    check("POST /api/messages", api.send_message(&user, &other, "hello").await);
    let book = json!({ "contacts": [{ "name": "A", "phone": "+919876543210" }] });
    check("POST /api/sync-contacts", api.post("/api/sync-contacts", book).await);
    check("GET /api/users/{id}", api.get(&format!("/api/users/{user}")).await);
    let session = world.dashboard("").await;
    world.sessions(1).await;
    for path in ["users", "contacts", "messages", "events", "health", "openapi.json", "asyncapi.json"] {
        check(&format!("GET /api/{path}"), api.get(&format!("/api/{path}")).await);
    }
    for path in ["analytics", "activity", "users", "sessions", "audit"] {
        check(&format!("GET /api/admin/{path}"), api.get(&format!("/api/admin/{path}")).await);
    }
    for path in ["/", "/livez", "/readyz", "/metrics"] {
        check(&format!("GET {path}"), api.get(path).await);
    }
    let sessions = api.get("/api/admin/sessions").await.json();
    let id = sessions["sessions"][0]["session"].as_str().expect("an id").to_owned();
    check("DELETE /api/admin/sessions/{id}", api.delete(&format!("/api/admin/sessions/{id}")).await);
    drop(session);
    let contact = api.get("/api/contacts").await.json()[0]["id"].as_str().expect("an id").to_owned();
    check("DELETE /api/contacts/{id}", api.delete(&format!("/api/contacts/{contact}")).await);

    check("DELETE /api/contacts/{id}", api.delete(&format!("/api/contacts/{contact}")).await);
    check("GET /api/events", api.get("/api/events?after=00000000-1").await);
    check("GET /api/users", api.get("/api/users?limit=0").await);
    check("POST /api/users/login", api.post("/api/users/login", "{").await);
    check("POST /api/users/login", api.request(Method::POST, "/api/users/login", &[], Some("{}".into())).await);
    check("GET /ws", api.get("/ws").await);
    world.finish().await;
}

/// A body as the document describes it: the schema of a POST, to which it is valid or not.
fn is_described(document: &Value, path: &str, body: &Value) -> bool {
    let pointer = format!("/paths/{}/post/requestBody/content/application~1json/schema", path.replace('/', "~1"));
    let mut schema = document.pointer(&pointer).expect("the request has a schema").clone();
    schema["components"] = document["components"].clone();
    jsonschema::draft202012::new(&schema).expect("it is a schema").is_valid(body)
}

/// Goal: the document accepts what the server accepts: national numbers, JSON numbers, older names of fields, absent fields in all
/// their forms; and rejects what has no number at all. Method: bodies that succeed, and bodies that fail, both sent.
#[tokio::test]
async fn requests_that_work_are_valid() {
    let world = World::start().await;
    let document = world.api.get("/api/openapi.json").await.json();
    let (asha, ravi) = (world.api.user("+919876543210").await, world.api.user("+919876543211").await);
    let spellings = [
        json!("+919876543210"),
        json!("9876543210"),
        json!("09876543210"),
        json!("00 91 98765 43210"),
        json!("98765.43210"),
        json!("9876543210.0"),
        json!("+91 (0) 98765/43210"),
        json!("98765\u{a0}43210"),
        json!("\u{200e}+91\u{2011}98765\u{2011}43210"),
        json!("९८७६५४३२१०"),
        json!("tel:+91-98765-43210"),
        json!("TEL:+91-98765-43210"),
        json!("{98765}\u{3002}43210\u{61c}"),
        json!(9_876_543_210_u64),
        json!(919_876_543_210_u64),
    ];
    let users = spellings.iter().cloned().chain([json!(asha), json!(asha.to_uppercase()), json!(format!(" {asha} "))]);
    let mut bodies = Vec::new();
    for phone in &spellings {
        bodies.push(("/api/users/login", json!({ "phone": phone })));
        bodies.push(("/api/users/login", json!({ "mobileNumber": phone, "countryCode": "91", "phone": "" })));
        bodies.push(("/api/users/login", json!({ "mobileNumber": "any text", "phone": phone })));
        bodies.push(("/api/contacts", json!({ "userId": ravi, "contactUserId": " ", "phone": phone })));
        bodies.push(("/api/sync-contacts", json!({ "contacts": [{ "phone": phone }, { "name": "no phone" }, 7, null] })));
    }
    for user in users {
        bodies.push(("/api/contacts", json!({ "userId": ravi, "contactUserId": user, "phone": "any text", "name": null })));
        bodies.push(("/api/contacts", json!({ "userId": user, "contactUserId": ravi, "name": "" })));
        bodies.push(("/api/messages", json!({ "fromUserId": user, "fromId": "any text", "toUserId": ravi, "content": "x" })));
        bodies.push(("/api/messages", json!({ "fromUserId": ravi, "toUserId": user, "content": "x", "type": null })));
        bodies.push(("/api/messages", json!({ "fromId": ravi, "toId": user, "content": "x" })));
        bodies
            .push(("/api/messages", json!({ "fromUserId": null, "fromId": user, "toUserId": "", "toId": ravi, "content": "x" })));
        bodies.push(("/api/sync-contacts", json!({ "userId": user, "contacts": [] })));
    }
    for code in [json!("+91"), json!(91), json!("0091"), json!("+\u{200e}९१"), json!(""), json!(" "), json!(null)] {
        bodies.push(("/api/users/login", json!({ "mobileNumber": "9876543210", "countryCode": code })));
    }
    for (path, body) in bodies {
        let answer = world.api.post(path, &body).await;
        assert!(answer.status < 300 && is_described(&document, path, &body), "{path} {body}: {answer:?}");
    }
    for (path, body) in [
        ("/api/users/login", json!({})),
        ("/api/users/login", json!({ "phone": "", "mobileNumber": null })),
        ("/api/users/login", json!({ "phone": "CALL-ME-NOW" })),
        ("/api/users/login", json!({ "phone": -919_876_543_210_i64 })),
        ("/api/users/login", json!({ "phone": "+919876543210", "countryCode": "IN" })),
        ("/api/contacts", json!({ "userId": ravi })),
        ("/api/contacts", json!({ "userId": "", "contactUserId": asha })),
        ("/api/contacts", json!({ "userId": ravi, "contactUserId": "nobody" })),
        ("/api/messages", json!({ "fromUserId": ravi, "content": "x" })),
        ("/api/messages", json!({ "fromUserId": ravi, "toUserId": true, "toId": asha, "content": "x" })),
        ("/api/messages", json!({ "fromUserId": ravi, "toUserId": asha, "content": "" })),
    ] {
        let answer = world.api.post(path, &body).await;
        assert!(answer.status == 400 && !is_described(&document, path, &body), "{path} {body}: {answer:?}");
    }
    world.finish().await;
}

/// Goal: examples of requests work on a new server, in the order of a first session. Method: every one that needs no token.
#[tokio::test]
async fn examples_work_in_order() {
    let world = World::start().await;
    let document = world.api.get("/api/openapi.json").await.json();
    for path in ["/api/users/login", "/api/contacts", "/api/messages", "/api/sync-contacts"] {
        let pointer = format!("/paths/{}/post/requestBody/content/application~1json/examples", path.replace('/', "~1"));
        let examples = document.pointer(&pointer).and_then(Value::as_object).expect("the request has examples");
        for (name, example) in examples {
            let answer = world.api.post(path, &example["value"]).await;
            let is_new = answer.json()["created"] == true || answer.status == 201 || path == "/api/sync-contacts";
            assert!(answer.status < 300 && is_new, "{path} {name}: {answer:?}");
        }
    }
    let user = &document["paths"]["/api/users/{id}"]["get"]["parameters"][0]["example"];
    let shown = world.api.get(&format!("/api/users/{}", user.as_str().expect("a phone").replace('+', "%2B"))).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    world.finish().await;
}
