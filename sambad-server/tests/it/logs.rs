//! The log of the real binary, as a machine reads it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::process::{Process, database, run};
use crate::harness::{Dashboard, EventSource, soon};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A server whose log goes into a file.
struct Logged {
    server: Process,
    file: PathBuf,
    _directory: TempDir,
}

impl Logged {
    async fn start(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("log");
        let database = database(directory.path());
        let all = [&["--listen", "127.0.0.1:0", "--database", &database, "--log-format", "json"], args].concat();
        Self { server: Process::start_logged(&all, &file).await, file, _directory: directory }
    }

    /// Stops the server; its lines, and the whole text.
    async fn end(mut self) -> (Vec<Value>, String) {
        self.server.terminate().await;
        assert_eq!(soon("end of the process", self.server.ends()).await.code(), Some(0));
        read(&self.file)
    }
}

fn read(file: &Path) -> (Vec<Value>, String) {
    let text = std::fs::read_to_string(file).expect("the log can be read");
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    (lines.collect(), text)
}

fn of<'a>(lines: &'a [Value], target: &str, message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["target"] == target && line["message"] == message).collect()
}

/// Goal: from a request's id one finds the transaction that stored it, and from a trace the request. Method: writes with an id
/// and a trace of their own; their lines, the batches' lines, the seqs that were answered.
#[tokio::test]
async fn a_request_is_followed_to_its_batch() {
    let logged = Logged::start(&["--log-requests", "all", "--log", "info,sambad_core=debug"]).await;
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let mut answered = Vec::new();
    for number in 0..5 {
        let id = format!("request-{number}");
        let headers = [("x-request-id", id.as_str()), ("traceparent", traceparent.as_str())];
        let login = json!({ "phone": format!("+91987654321{number}") });
        let answer = logged.server.api.post_with("/api/users/login", &headers, login).await;
        answered.push((id, answer.seq().expect("a new user is an event")));
    }
    let bad = [("traceparent", "00-nonsense-00f067aa0ba902b7-01")];
    logged.server.api.request(reqwest::Method::GET, "/api/health?secret=1", &bad, None).await;
    let (lines, _) = logged.end().await;
    let (requests, batches) =
        (of(&lines, "sambad_server::request", "request"), of(&lines, "sambad_core::committer", "batch committed"));
    for (id, seq) in answered {
        let request = requests.iter().find(|line| line["request_id"] == id.as_str()).expect("the request has a line");
        assert_eq!((&request["seq"], &request["trace_id"]), (&json!(seq), &json!(TRACE)));
        assert_eq!((&request["method"], &request["route"]), (&json!("POST"), &json!("/api/users/login")));
        assert_eq!((&request["status"], &request["level"]), (&json!(200), &json!("INFO")));
        assert!(request["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{request}");
        assert!(request["elapsed_us"].as_u64().is_some_and(|elapsed| elapsed > 0), "{request}");
        let batch: Vec<_> = batches.iter().filter(|line| line["batch"] == request["batch"]).collect();
        let [batch] = batch[..] else { panic!("one batch, not {batch:?}") };
        let (head, events) = (batch["head"].as_u64().expect("a head"), batch["events"].as_u64().expect("events"));
        assert!(head - events < seq && seq <= head, "{seq} is not in {batch}");
        assert!(batch["elapsed_us"].as_u64().is_some_and(|elapsed| elapsed > 0) && batch["commands"].as_u64() >= Some(1));
    }
    let health = requests.iter().find(|line| line["route"] == "/api/health").expect("reads have a line as well");
    assert_eq!((health.get("trace_id"), health.get("batch")), (None, None), "a malformed trace is none");
    assert_eq!(health["path"], "/api/health", "without its query");
}

/// Goal: by default only what fails has a line, which says why. Method: requests of both kinds, one with an id that is none;
/// then `none`.
#[tokio::test]
async fn failures_have_a_line() {
    let logged = Logged::start(&[]).await;
    logged.server.api.user("+919876543210").await;
    let refused = [("x-request-id", "with space")];
    logged.server.api.request(reqwest::Method::GET, "/api/users?limit=0", &refused, None).await.refused(400, "invalid_field");
    logged.server.api.get("/nowhere").await.refused(404, "not_found");
    let (lines, _) = logged.end().await;
    let requests = of(&lines, "sambad_server::request", "request");
    let told = requests.iter().map(|line| (&line["route"], &line["status"], &line["code"]));
    let expected = [(json!("/api/users"), json!(400), json!("invalid_field")), (json!("none"), json!(404), json!("not_found"))];
    assert!(told.eq(expected.iter().map(|(route, status, code)| (route, status, code))), "{requests:?}");
    assert!(requests[0]["request_id"].as_str().is_some_and(|id| id.len() == 36), "{requests:?}");

    let silent = Logged::start(&["--log-requests", "none"]).await;
    silent.server.api.get("/nowhere").await;
    assert!(of(&silent.end().await.0, "sambad_server::request", "request").is_empty());
}

/// Goal: whoever floods a server with failures does not fill its disk. Method: hundreds at once, again and again.
#[tokio::test]
async fn failed_lines_are_bounded() {
    let logged = Logged::start(&[]).await;
    for _ in 0..3 {
        futures_util::future::join_all((0..200).map(|_| logged.server.api.get("/nowhere"))).await;
    }
    let scrape = async || crate::harness::scrape::Scrape::of(&logged.server.api).await;
    // Told with the first failure of a later second.
    let left_out = soon("lines left out", async {
        loop {
            // More than a second has room for, also where a second is not enough for all of the first ones.
            futures_util::future::join_all((0..200).map(|_| logged.server.api.get("/nowhere"))).await;
            let left_out = scrape().await.value("sambad_request_lines_left_out_total", &[]);
            if left_out > 0.0 {
                return left_out;
            }
        }
    })
    .await;
    let (lines, _) = logged.end().await;
    let told: u64 = of(&lines, "sambad_server::request", "log lines about failed requests were dropped")
        .iter()
        .map(|line| line["lines"].as_u64().expect("a number"))
        .sum();
    assert!(told > 0 && (left_out - told as f64).abs() < 1e-9, "{left_out} and {told}");
}

/// Goal: each session's end has a line that says what it came to. Method: one that the client closes, one that is cut, one
/// that the drain ends.
#[tokio::test]
async fn sessions_end_with_a_line() {
    let logged = Logged::start(&[]).await;
    let (api, address) = (&logged.server.api, logged.server.address);
    let user = api.user("+919876543210").await;
    let mut closed = Dashboard::connect(address, &format!("after=0&user={user}")).await;
    assert_eq!(closed.seqs_past_live(1).await, [1]);
    let session = |text: &str| serde_json::from_str::<Value>(text).expect("frames are JSON")["data"]["session"].clone();
    let closed_id = session(&closed.connected);
    closed.close(1000).await;
    let mut cut = EventSource::open(address, "after=0").await;
    cut.skip(1).await;
    assert_eq!(cut.seqs(1).await, [1]);
    drop(cut);
    let drained = Dashboard::connect(address, "").await;
    let drained_id = session(&drained.connected);
    let reader = tokio::spawn(async move {
        let mut drained = drained;
        drained.ended().await
    });
    let cursor = api.cursor().await;
    let (lines, _) = logged.end().await;
    soon("goodbye", reader).await.expect("it does not panic");
    let ends = of(&lines, "sambad_server::session", "session ended");
    assert_eq!(ends.len(), 3, "{ends:?}");
    let by = |id: &Value| *ends.iter().find(|line| line["session"] == *id).expect("the session has a line");
    let (closed, drained) = (by(&closed_id), by(&drained_id));
    assert_eq!((&closed["reason"], &closed["events"], &closed["user"]), (&json!("client_closed"), &json!(1), &json!(user)));
    assert_eq!((&drained["reason"], &drained["code"], &drained["events"]), (&json!("drain"), &json!(4000), &json!(0)));
    let sse = ends.iter().find(|line| line["transport"] == "sse").expect("the stream has a line");
    assert_eq!((&sse["reason"], &sse["events"]), (&json!("connection_lost"), &json!(1)));
    for end in ends {
        assert_eq!(end["cursor"], json!(cursor), "{end}");
        assert!(end["lived_s"].as_f64().is_some_and(|lived| lived > 0.0), "{end}");
        assert!(end["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{end}");
    }
}

/// Goal: what people write, their phones, and credentials are in no line, whatever is logged. Method: all of them sent at the
/// most talkative level, then looked for.
#[tokio::test]
async fn nothing_secret_is_logged() {
    let logged = Logged::start(&["--log-requests", "all", "--log", "debug"]).await;
    let api = &logged.server.api;
    let (a, b) = (api.user("+919876543210").await, api.user("+919876543211").await);
    let secret =
        [("authorization", "Bearer tell-nobody"), ("cookie", "session=tell-nobody"), ("content-type", "application/json")];
    let body = json!({ "fromUserId": a, "toUserId": b, "content": "meet me at noon" }).to_string();
    api.request(reqwest::Method::POST, "/api/messages", &secret, Some(body)).await;
    api.get("/api/users/%2B919876543210").await;
    api.get("/api/users?q=9876543210").await;
    api.post("/api/users/login", r#"{"phone":"+919876543210","#).await;
    api.post("/api/users/login", json!({ "phone": "+91987654321012345678" })).await;
    let mut dashboard = Dashboard::connect(logged.server.address, "after=0").await;
    dashboard.seqs_past_live(3).await;
    dashboard.close(1000).await;
    let (lines, text) = logged.end().await;
    assert!(lines.len() > 8);
    for bad in ["meet me", "tell-nobody", "9876543210", "9876543211"] {
        assert!(!text.contains(bad), "{bad} is in the log:\n{text}");
    }
}

/// Goal: a line says who asked, by role and name and never by token, and metrics are for admins. Method: tokens of two roles and
/// none ask for `/metrics` of a server that wants tokens.
#[tokio::test]
async fn who_asked_is_logged() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = directory.path().join("key");
    let (key, database) = (key.to_str().expect("a path"), database(directory.path()));
    let made = run(&["key", "generate", key], &[]).await;
    assert!(made.status.success(), "{made:?}");
    let file = directory.path().join("log");
    let token = async |role: &str| {
        let args = ["token", "create", "--role", role, "--subject", "Grace", "--auth-key", key, "--database", &database];
        let printed = run(&args, &[]).await;
        assert!(printed.status.success(), "{printed:?}");
        let printed = String::from_utf8(printed.stdout).expect("text");
        printed.lines().last().expect("the token").to_owned()
    };
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--auth", "token", "--auth-key", key];
    let args = [&args[..], &["--log-format", "json", "--log-requests", "all", "--log", "debug"]].concat();
    let mut server = Process::start_logged(&args, &file).await;
    let (admin, service) = (token("admin").await, token("service").await);
    for (token, status) in [(Some(&admin), 200), (Some(&service), 403), (None, 401)] {
        let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
        let headers = [("authorization", bearer.as_str())];
        let headers = if token.is_some() { &headers[..] } else { &[] };
        let answer = server.api.request(reqwest::Method::GET, "/metrics", headers, None).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    server.terminate().await;
    assert_eq!(soon("end of the process", server.ends()).await.code(), Some(0));
    let (lines, text) = read(&file);
    let told: Vec<_> = of(&lines, "sambad_server::request", "request")
        .into_iter()
        .map(|line| (line["status"].clone(), line["roles"].clone(), line["subject"].clone(), line["code"].clone()))
        .collect();
    let expected = [
        (json!(200), json!("admin"), json!("Grace"), json!(null)),
        (json!(403), json!("service"), json!("Grace"), json!("forbidden")),
        (json!(401), json!(null), json!(null), json!("unauthorized")),
    ];
    assert_eq!(told, expected);
    assert!(!text.contains(&admin) && !text.contains(&service));
}
