//! What the log must never tell: what people write, their names and phones, tokens and passwords.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::process::{Process, database};
use crate::harness::{Dashboard, EventSource, soon};

/// Digits, names and words that appear nowhere but in what clients send.
const SECRETS: [&str; 8] =
    ["9188776655", "8877665544", "9188776644", "Zebra-Name", "Walrus-Content", "Heron-Key", "Ibex-Token", "Lynx-Cookie"];

/// Goal: at whatever level, the log holds nothing that clients said. Method: the binary at `trace`, with a line for every
/// request; each way in which a text comes in, good and bad; then every secret is looked for, however it may be spelled.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_what_people_say_to_itself() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (log, database) = (directory.path().join("log"), database(directory.path()));
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--log", "trace", "--log-requests", "all"];
    let mut server = Process::start_logged(&args, &log).await;
    let api = server.api.clone();
    let credentials = [("authorization", "Bearer Ibex-Token"), ("cookie", "sambad_session=Lynx-Cookie")];
    let mut dashboard = Dashboard::connect(server.address, "").await;
    let mut source = EventSource::open(server.address, "").await;
    let asha = api.post("/api/users/login", json!({ "phone": "+919188776655", "name": "Zebra-Name" })).await.text_at("id");
    let ravi = api.user("+918877665544").await;
    let message = json!({ "fromUserId": asha, "toUserId": "+918877665544", "content": "Walrus-Content" });
    let keyed = [("idempotency-key", "Heron-Key")];
    assert_eq!(api.post_with("/api/messages", &keyed, &message).await.status, 201);
    api.post_with("/api/messages", &keyed, json!({ "fromUserId": ravi })).await.refused(400, "invalid_field");
    api.post("/api/contacts", json!({ "userId": asha, "phone": "+918877665544", "name": "Zebra-Name" })).await;
    api.post("/api/sync-contacts", json!({ "contacts": [{ "name": "Zebra-Name", "phone": "9188776644" }] })).await;
    for path in [
        "/api/users/+919188776655",
        "/api/users/%252B919188776655",
        "/api/users/9188776655%C2%A0",
        "/api/users/tel:+919188776655",
        "/api/users?q=%2B9188776655",
        "/api/users?q=Zebra-Name",
    ] {
        api.request(Method::GET, path, &credentials, None).await;
    }
    for body in [r#"{"phone":"+919188776655","#, r#"{"phone":["Walrus-Content"]}"#, r#"{"content":"Walrus-Content"}"#] {
        for path in ["/api/users/login", "/api/messages", "/api/admin/login"] {
            api.post_with(path, &credentials, body).await;
        }
    }
    api.post("/api/messages", json!({ "fromUserId": asha, "toUserId": "+919188776644", "content": "Walrus-Content" })).await;
    for frame in ["Walrus-Content", r#"{"type":"Walrus-Content"}"#, r#"{"type":"auth","token":"Ibex-Token"}"#] {
        dashboard.send(frame.to_owned()).await;
    }
    soon("events", async { while dashboard.frame().await["type"] != "contact_added" {} }).await;
    source.skip(5).await;
    drop((dashboard, source));
    server.terminate().await;
    assert_eq!(soon("end of the process", server.ends()).await.code(), Some(0));
    let log = std::fs::read_to_string(&log).expect("the log is UTF-8");
    assert!(log.lines().count() > 20, "it is a log");
    for secret in SECRETS {
        // As text, and as the list of numbers that bytes are for `{:?}`.
        let numbers = secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        for spelled in [secret.to_owned(), numbers] {
            let told: Vec<&str> = log.lines().filter(|line| line.contains(&spelled)).take(3).collect();
            assert!(told.is_empty(), "{secret} is in the log: {told:#?}");
        }
    }
}

/// Goal: whoever needs phones in the log can have them, and contents even then not. Method: the flag, a path with a phone.
#[tokio::test]
async fn phones_are_logged_when_asked_for() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (log, database) = (directory.path().join("log"), database(directory.path()));
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--log", "trace", "--log-requests", "all", "--log-pii"];
    let server = Process::start_logged(&args, &log).await;
    let user = server.api.user("+919188776655").await;
    server.api.send_message(&user, &user, "Walrus-Content").await;
    server.api.get("/api/users/+919188776655").await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    let log = std::fs::read_to_string(&log).expect("the log is UTF-8");
    assert!(log.contains("/api/users/+919188776655") && !log.contains("Walrus-Content"), "{log}");
}

/// Goal: no line of the log controls a terminal or reads as another. Method: raw paths with controls of Latin-1 and marks of direction,
/// to the binary with lines in JSON and as text; every character of the log.
#[tokio::test(flavor = "multi_thread")]
async fn log_lines_show_what_is_in_them() {
    for format in ["json", "text"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (log, database) = (directory.path().join("log"), database(directory.path()));
        let args = ["--listen", "127.0.0.1:0", "--database", &database, "--log-format", format, "--log-requests", "all"];
        let server = Process::start_logged(&args, &log).await;
        let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("the server accepts");
        let request = "GET /x\u{9b}31m\u{202e}y\u{2066}\u{2028} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        soon("answer", stream.read_to_string(&mut answer)).await.expect("the server answers");
        server.terminate().await;
        assert_eq!(server.end().await.code(), Some(0));
        let text = std::fs::read_to_string(&log).expect("the log is text");
        assert!(text.contains("31m") && text.contains("202e"), "{format}: {answer} {text}");
        let found = text.chars().find(|c| *c != '\n' && sambad_core::text::is_deceptive(*c));
        assert_eq!(found, None, "{format}: {text}");
        if format == "json" {
            let path = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("lines are JSON")["path"].clone();
            assert!(text.lines().any(|line| path(line) == "/x\u{9b}31m\u{202e}y\u{2066}\u{2028}"), "{text}");
        }
    }
}
