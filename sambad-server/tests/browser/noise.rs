//! What must not happen in any test: an error on the console, a violation of the policy, a request to another origin.

use serde_json::Value;

use crate::browser::Watched;
use crate::page::Page;

/// Whether the server was away during the test, so that connections failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    None,
    Provoked,
    /// It was there, and refused who had not logged in.
    Refused,
}

/// What Chromium itself writes to the console when nobody listens, or a connection breaks: no script can keep it from that.
const FAILED_CONNECTIONS: [&str; 6] = [
    "net::ERR_CONNECTION_REFUSED",
    "net::ERR_CONNECTION_RESET",
    "net::ERR_EMPTY_RESPONSE",
    "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
    "WebSocket connection to ",
    // What a position that is stored no longer is answered with.
    "status of 410 (Gone)",
];

/// What it writes of refusals.
const REFUSALS: [&str; 2] = ["status of 401 (Unauthorized)", "WebSocket connection to "];

/// Checks the window that the page is in, and the whole browser's logs.
pub(crate) async fn none(page: &Page, origin: &str, watched: Watched, outage: Outage) {
    let mut noise: Vec<String> = serde_json::from_value(page.js("window.watcher.errors").await).unwrap();
    let excuses: &[&str] = match outage {
        Outage::None => &[],
        Outage::Provoked => &FAILED_CONNECTIONS,
        Outage::Refused => &REFUSALS,
    };
    let excused = |text: &str| excuses.iter().any(|excuse| text.contains(excuse));
    for entry in page.browser.log("browser").await {
        let text = entry["message"].as_str().unwrap_or_default();
        if matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")) && !excused(text) {
            noise.push(format!("console: {text}"));
        }
    }
    let loaded = page.js("performance.getEntriesByType('resource').map((entry) => entry.name)").await;
    let loaded: Vec<String> = serde_json::from_value(loaded).unwrap();
    assert!(!loaded.is_empty(), "the page has scripts");
    noise.extend(loaded.into_iter().filter(|url| is_foreign(url, origin)).map(|url| format!("loaded: {url}")));
    if watched == Watched::Everything {
        let requests = requests(page).await;
        let expected = if outage == Outage::Refused { origin } else { "ws://" };
        assert!(requests.iter().any(|url| url.starts_with(expected)), "requests are written down: {requests:?}");
        noise.extend(requests.into_iter().filter(|url| is_foreign(url, origin)).map(|url| format!("requested: {url}")));
    }
    assert!(noise.is_empty(), "\n{}", noise.join("\n"));
}

/// Every address that the browser was asked for, sockets included.
async fn requests(page: &Page) -> Vec<String> {
    let entries = page.browser.log("performance").await;
    let urls = entries.iter().filter_map(|entry| {
        let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
        let message = &message["message"];
        // The browser's own first page, before the dashboard is opened.
        if message["params"]["documentURL"].as_str().is_some_and(|page| page.starts_with("chrome://")) {
            return None;
        }
        match message["method"].as_str()? {
            "Network.requestWillBeSent" => message["params"]["request"]["url"].as_str().map(str::to_owned),
            "Network.webSocketCreated" => message["params"]["url"].as_str().map(str::to_owned),
            _ => None,
        }
    });
    urls.collect()
}

fn is_foreign(url: &str, origin: &str) -> bool {
    let socket = origin.replacen("http", "ws", 1);
    // What a window holds before it is sent anywhere.
    let empty = ["data:,", "about:blank"].contains(&url);
    let within = |origin: &str| url.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !empty && !within(origin) && !within(&socket)
}
