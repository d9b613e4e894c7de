//! `/api/asyncapi.json` and `/api/openapi.json`: what they say is what is on the wire.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Api, Dashboard, EventSource, World};

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
    let world = World::start().await;
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
    assert_eq!(seen, messages(&document, "send_messages"));
    drop((replayed, lost));
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
