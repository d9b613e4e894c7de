//! How browsers see a session end: by their own `WebSocket` and `EventSource`, in a page that tells the test what it sees.
//!
//! Firefox has no driver in Debian, so the page tells it by plain requests.

use std::process::Stdio;

use reqwest::Url;
use sambad_server::testing::TestServer;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::browser::{Browser, Watched};
use crate::harness::{Api, soon};

const MISSING: &str = "`apt-get install firefox-esr`, or run scripts/test.sh";
/// Opens a session for each way to end one, and tells what becomes of it: `NAME opened ID`, then `NAME CODE REASON CLEAN`. Once its
/// event stream is closed, it opens another that always ends at once, to learn when a browser comes back that is not told to stay away.
const PAGE: &str = r#"<!doctype html><title>Sessions</title><script>
    const server = new URL(location).searchParams.get("server");
    const url = server.replace("http", "ws") + "/ws";
    const tell = (text) => fetch("/told?" + encodeURIComponent(text));
    function open(name, then) {
        const socket = new WebSocket(url);
        socket.onmessage = ({ data }) => {
            const frame = JSON.parse(data);
            if (frame.type === "error") tell(`${name} error ${frame.code}`);
            if (frame.type !== "connected") return;
            tell(`${name} opened ${frame.data.session}`);
            then(socket);
        };
        socket.onclose = ({ code, reason, wasClean }) => tell(`${name} ${code} ${reason} ${wasClean}`);
    }
    open("expelled", () => {});
    open("noisy", (socket) => [1, 2, 3, 4, 5].forEach(() => socket.send("noise")));
    open("huge", (socket) => socket.send("x".repeat(1 << 20)));
    open("own", (socket) => socket.close(3000, "bye"));
    open("drained", () => {});
    const source = new EventSource(server + "/api/events/stream");
    source.addEventListener("connected", ({ data }) => tell(`source opened ${JSON.parse(data).data.session}`));
    source.addEventListener("closed", ({ data }) => {
        tell(`source closed ${data}`);
        let times = 0;
        new EventSource("/ends").onopen = () => tell(`control ${++times}`);
    });
</script>"#;

/// What the page has told.
struct Told {
    lines: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Told {
    /// The first line that begins like this.
    async fn line(&mut self, begin: &str) -> String {
        loop {
            if let Some(line) = self.seen.iter().find(|line| line.starts_with(begin)) {
                return line.clone();
            }
            let line = soon("line of the page", self.lines.recv()).await;
            self.seen.push(line.unwrap());
        }
    }
}

/// Serves the page and takes what it tells, a request a connection.
async fn serve_page() -> (String, Told) {
    let (sender, lines) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let sender = sender.clone();
            // A browser also opens connections that it does not use.
            tokio::spawn(async move { answer(BufReader::new(stream), &sender).await });
        }
    });
    (format!("http://{address}"), Told { lines, seen: Vec::new() })
}

async fn answer(mut stream: BufReader<TcpStream>, told: &mpsc::UnboundedSender<String>) -> std::io::Result<()> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line);
    }
    let target = lines[0].split(' ').nth(1).unwrap_or_default();
    let url = Url::parse(&format!("http://page{target}")).unwrap();
    let (kind, body) = match url.path() {
        "/" => ("text/html", PAGE),
        "/ends" => ("text/event-stream", ":\n\n"),
        "/told" => {
            // Nobody listens any more once the test is over.
            let _ = told.send(url.query_pairs().map(|(text, _)| text.into_owned()).collect());
            ("text/plain", "")
        }
        _ => ("text/plain", ""),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?;
    stream.shutdown().await
}

/// The address of the page for a server.
fn address(page: &str, server: &TestServer) -> String {
    format!("{page}/?server={}", server.url())
}

/// Ends each session of the page in its own way, and checks what it says of that.
async fn sessions_end(mut told: Told, server: TestServer) {
    let api = Api::new(server.url());
    for name in ["expelled", "source"] {
        let opened = told.line(&format!("{name} opened ")).await;
        let id = opened.rsplit(' ').next().unwrap();
        assert_eq!(api.delete(&format!("/api/admin/sessions/{id}")).await.status, 200);
    }
    assert_eq!(told.line("expelled 4").await, "expelled 4503 forbidden true");
    assert_eq!(told.line("source closed").await, r#"source closed {"type":"closed","code":4503,"reason":"forbidden"}"#);
    assert_eq!(told.line("noisy 4").await, "noisy 4500 bad_frames true");
    assert_eq!(told.line("huge error").await, "huge error frame_too_large");
    // Chromium calls a close clean only if nothing that the page sent was left over, and the server does not wait for all of this.
    let huge = told.line("huge 4").await;
    assert!(huge.starts_with("huge 4500 bad_frames "), "{huge}");
    assert_eq!(told.line("own 3").await, "own 3000 bye true");
    told.line("drained opened ").await;
    // By now the closed stream would be back as well.
    told.line("control 2").await;
    let listed = api.get("/api/admin/sessions").await.json();
    let kinds: Vec<_> = listed["sessions"].as_array().unwrap().iter().map(|session| session["transport"].as_str()).collect();
    assert_eq!(kinds, [Some("websocket")], "{listed}");
    let (drained, _) = tokio::join!(told.line("drained 4"), server.stop());
    assert_eq!(drained, "drained 4000 drain reconnect_after_ms=0 true");
}

/// Goal: Firefox, which takes a session for cleanly closed only after the whole handshake, does so however it ends, gets the frame that
/// says why, and stays away from a stream that was closed. Method: a page with sessions closed by an admin, for bad frames, for a frame
/// that is too long, by itself, by a server that goes; and an event stream closed by an admin.
#[tokio::test(flavor = "multi_thread")]
async fn firefox_sees_clean_closes() {
    let server = TestServer::start().await;
    let (page, told) = serve_page().await;
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("firefox-esr");
    command.args(["--headless", "--no-remote", "--new-instance", "--profile"]).arg(profile.path()).arg(address(&page, &server));
    // It keeps what it remembers below its home as well.
    command.env("HOME", profile.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut firefox = command.spawn().unwrap_or_else(|error| panic!("firefox-esr: {error}; {MISSING}"));
    sessions_end(told, server).await;
    firefox.kill().await.unwrap();
}

/// Goal: so does Chromium. Method: the same page.
#[tokio::test(flavor = "multi_thread")]
async fn chromium_sees_clean_closes() {
    let server = TestServer::start().await;
    let (page, told) = serve_page().await;
    let browser = Browser::start(Watched::Console).await;
    browser.client.goto(&address(&page, &server)).await.unwrap();
    sessions_end(told, server).await;
}
