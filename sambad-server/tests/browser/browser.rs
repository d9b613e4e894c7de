//! Chromium and its driver: started for one test, gone with it.

use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::harness::soon;

/// What is needed that Cargo does not bring.
const MISSING: &str =
    "tests in a browser need Chromium and its driver: `apt-get install chromium chromium-driver`, or run scripts/test.sh";
/// How often the driver is started: it takes a port that is free for IPv6 and ends where that is taken for IPv4.
const STARTS: usize = 5;
const READY: &str = "ChromeDriver was started successfully on port ";
/// Without a screen, as root, without a word to anybody outside. The pipe has Chromium end when its driver does, however that is.
/// Windows that no person looks at draw and keep time as any.
const ARGS: [&str; 15] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-pipe",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--enable-precise-memory-info",
    "--force-color-profile=srgb",
    "--lang=en-GB",
];

/// A browser of the test's own.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Child,
    chromium: Option<Pid>,
    _profile: TempDir,
}

/// What is written down of what the browser does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The console and every request.
    Everything,
    /// The console alone: telling of each frame of a socket would cost more than the page does.
    Console,
}

/// Starts the driver; gives its port.
async fn start_driver() -> (Child, String) {
    for _ in 0..STARTS {
        let mut command = Command::new("chromedriver");
        // In the test's process group: whoever kills that has no browser left over.
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut driver = command.spawn().unwrap_or_else(|error| panic!("chromedriver: {error}; {MISSING}"));
        let mut lines = BufReader::new(driver.stdout.take().expect("stdout is a pipe")).lines();
        while let Some(line) = soon("line of the driver", lines.next_line()).await.expect("stdout is text") {
            if let Some(port) = line.strip_prefix(READY) {
                return (driver, port.trim_end_matches('.').to_owned());
            }
        }
    }
    panic!("chromedriver ended; {MISSING}")
}

impl Browser {
    /// Starts one, with an empty window of a laptop's size.
    pub(crate) async fn start(watched: Watched) -> Self {
        let (driver, port) = start_driver().await;
        let profile = tempfile::tempdir().expect("a temporary directory");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&profile, watched))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|error| panic!("Chromium does not start: {error}; {MISSING}"));
        let id = client.capabilities().and_then(|capabilities| capabilities.get("goog:processID")?.as_i64());
        let chromium = id.and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Self { client, driver, chromium, _profile: profile }
    }

    /// The browser's process.
    pub(crate) fn process(&self) -> i32 {
        self.chromium.expect("the driver tells").as_raw_nonzero().get()
    }

    /// A command of the Chrome DevTools Protocol.
    pub(crate) async fn cdp(&self, cmd: &'static str, params: Value) -> Value {
        let answer = self.client.issue_cmd(Vendor { path: "goog/cdp/execute", body: json!({ "cmd": cmd, "params": params }) });
        answer.await.unwrap_or_else(|error| panic!("{cmd}: {error}"))
    }

    /// What was written down since the last time: `browser` is the console, `performance` what the DevTools see.
    pub(crate) async fn log(&self, name: &'static str) -> Vec<Value> {
        let log = self.client.issue_cmd(Vendor { path: "se/log", body: json!({ "type": name }) }).await;
        match log.unwrap_or_else(|error| panic!("log {name}: {error}")) {
            Value::Array(entries) => entries,
            other => panic!("{other}"),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.start_kill();
        let Some(chromium) = self.chromium else { return };
        // It ends by itself when its pipe does; its profile is deleted next, so it has to be gone.
        for _ in 0..100 {
            if test_kill_process(chromium).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = kill_process(chromium, Signal::KILL);
    }
}

fn capabilities(profile: &TempDir, watched: Watched) -> Capabilities {
    let mut args: Vec<String> = ARGS.iter().map(|arg| (*arg).into()).collect();
    args.push(format!("--user-data-dir={}", profile.path().display()));
    args.push("--window-size=1280,900".into());
    let mut logs = json!({ "browser": "ALL" });
    if watched == Watched::Everything {
        logs["performance"] = "ALL".into();
    }
    let Value::Object(capabilities) = json!({
        "browserName": "chrome",
        "goog:loggingPrefs": logs,
        "goog:chromeOptions": { "args": args },
        "timeouts": { "script": 60_000, "pageLoad": 30_000 },
        // A dialog that a hostile name opened must be seen, not closed in silence.
        "unhandledPromptBehavior": "ignore",
    }) else {
        unreachable!("an object was written")
    };
    capabilities
}

type BadUrl = <Url as FromStr>::Err;

/// A command of this driver beside those of the standard.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, BadUrl> {
        base_url.join(&format!("session/{}/{}", session_id.expect("there is a session"), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
