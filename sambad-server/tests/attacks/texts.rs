//! Texts that would be code if anybody took them for it.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::soon;
use crate::siege::{Siege, connect_from};

/// SQL, HTML, formats, control characters.
const TEXTS: &[&str] = &[
    "'; drop table users; --",
    "\" or 1=1 --",
    "x' union select * from events --",
    "%' or '1'='1",
    "_%_%",
    "\\'; delete from events; --",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "%s%n%x%p",
    "../../../../etc/passwd",
    "$(id)`id`|id;id",
    "\u{202e}txt.exe\u{200b}",
    "line\nbreak\r\nSet-Cookie: a=b",
];

/// Goal: whatever a text says, it comes back as what it was, and does nothing. Method: every text in every field that takes
/// one; names and contents read back, everything else refused by the contract's codes; then all the tables are there.
#[tokio::test(flavor = "multi_thread")]
async fn texts_are_data() {
    let siege = Siege::start(&[]).await;
    let api = siege.server.api.clone();
    siege
        .during("texts", async {
            for (i, text) in TEXTS.iter().enumerate() {
                let phone = format!("+9190002{i:05}");
                let login = api.post("/api/users/login", json!({ "phone": phone, "name": text })).await;
                assert_eq!((login.status, &login.json()["name"]), (200, &json!(text)));
                let user = login.text_at("id");
                let sent = api.send_message(&user, &user, text).await;
                assert_eq!((sent.status, &sent.json()["content"]), (201, &json!(text)));
                let read = api.get(&format!("/api/messages?userId={user}")).await;
                assert_eq!(read.json()[0]["content"], json!(text));
                assert_eq!(read.header("content-type"), Some("application/json"));
                refusals(&siege, &user, text).await;
            }
        })
        .await;
    let users = api.get("/api/users?limit=500").await.json();
    let names: Vec<&Value> = users.as_array().expect("a list").iter().map(|user| &user["name"]).collect();
    assert!(TEXTS.iter().all(|text| names.contains(&&json!(text))), "{names:?}");
    siege.end().await;
}

/// Puts `text` where no text belongs.
async fn refusals(siege: &Siege, user: &str, text: &str) {
    let api = &siege.server.api;
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let kind = json!({ "fromUserId": user, "toUserId": user, "content": "x", "type": text });
    api.post("/api/messages", kind).await.refused(400, "invalid_field");
    for body in [json!({ "phone": text }), json!({ "mobileNumber": "9876543210", "countryCode": text })] {
        let answer = api.post("/api/users/login", body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let contact = api.post("/api/contacts", json!({ "userId": text, "contactUserId": user })).await;
    assert_eq!(contact.status, 400, "{contact:?}");
    for path in ["/api/users/", "/api/contacts?userId=", "/api/messages?userId=", "/api/events?after=", "/api/events?types="] {
        let answer = api.get(&format!("{path}{encoded}")).await;
        assert!((400..=404).contains(&answer.status), "{path}{encoded}: {answer:?}");
    }
    let found = api.get(&format!("/api/users?q={encoded}")).await;
    let found = (found.status, found.json().as_array().map_or(0, Vec::len));
    assert!(found.0 == 200 && found.1 <= 1 || found.0 == 400, "{text}: {found:?}");
    if text.is_ascii() && !text.contains('\n') {
        let headers = [("idempotency-key", text), ("x-request-id", text)];
        let answer = api.post_with("/api/users/login", &headers, json!({ "phone": "+919876543210" })).await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        let answer = api.request(Method::GET, "/api/events/stream", &[("last-event-id", text)], None).await;
        answer.refused(400, "invalid_field");
    }
}

/// Goal: no path leads to a file that is not the dashboard's. Method: ways out of a folder in every spelling, byte by byte.
#[tokio::test(flavor = "multi_thread")]
async fn paths_lead_nowhere() {
    let siege = Siege::start(&[]).await;
    let address = siege.address();
    let ups =
        ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "....//", "..;/", "%c0%ae%c0%ae/", "%252e%252e%252f", "..%00/"];
    siege
        .during("paths", async {
            for up in ups {
                for begin in ["/", "/dashboard/", "/docs/", "/api/", "/sambad.js/", "//", "/dashboard/./"] {
                    for target in ["etc/passwd", "proc/self/environ", "sambad.db", "Cargo.toml"] {
                        let path = format!("{begin}{}{target}", up.repeat(8));
                        let mut stream = connect_from(8, address).await.expect("the server accepts");
                        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                        stream.write_all(request.as_bytes()).await.expect("the server reads");
                        let mut answer = Vec::new();
                        let _ = soon("end of the connection", stream.read_to_end(&mut answer)).await;
                        let answer = String::from_utf8_lossy(&answer);
                        let refused = ["400", "404"].iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status} ")));
                        assert!(refused && !answer.contains("root:") && !answer.contains("SQLite"), "{path}: {answer}");
                    }
                }
            }
        })
        .await;
    siege.end().await;
}
