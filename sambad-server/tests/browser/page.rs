//! The dashboard in one window: what tests ask of it, and how they wait.

use fantoccini::key::Key;
use fantoccini::wd::WindowHandle;
use serde_json::Value;

use crate::browser::{Browser, Watched};
use crate::noise::{self, Outage};

/// Kept before any script of the page runs: what goes wrong in it, and every row that it ever shows.
const WATCHER: &str = include_str!("watcher.js");

/// An open dashboard.
pub(crate) struct Page {
    pub(crate) browser: Browser,
    origin: String,
    watched: Watched,
}

impl Page {
    /// Opens the dashboard of the server at `url`, and waits until it is live.
    pub(crate) async fn open(url: &str) -> Self {
        Self::open_watched(url, "", Watched::Everything).await
    }

    /// Opens a view of it, such as `#/users/…`.
    pub(crate) async fn open_watched(url: &str, view: &str, watched: Watched) -> Self {
        let browser = Browser::start(watched).await;
        let page = Self { browser, origin: url.into(), watched };
        page.watch_window().await;
        page.goto(view).await;
        page.is_live().await;
        page
    }

    /// Opens another page of the server, and waits until `ready` is true in it.
    pub(crate) async fn open_other(url: &str, path: &str, ready: &str) -> Self {
        let browser = Browser::start(Watched::Console).await;
        let page = Self { browser, origin: url.into(), watched: Watched::Console };
        page.watch_window().await;
        page.browser.client.goto(&format!("{url}{path}")).await.unwrap();
        page.until(ready).await;
        page
    }

    /// Opens a view of a dashboard whose server wants to know who asks, and waits for the form.
    pub(crate) async fn open_locked(url: &str, view: &str) -> Self {
        let browser = Browser::start(Watched::Everything).await;
        let page = Self { browser, origin: url.into(), watched: Watched::Everything };
        page.watch_window().await;
        page.goto(view).await;
        page.is_locked().await;
        page
    }

    /// Waits until the form to log in is all there is.
    pub(crate) async fn is_locked(&self) {
        self.until(
            "document.activeElement?.dataset.testid === 'login-email' && !document.getElementById('main').checkVisibility()",
        )
        .await;
    }

    async fn watch_window(&self) {
        self.browser.cdp("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": WATCHER })).await;
    }

    pub(crate) async fn goto(&self, view: &str) {
        self.browser.client.goto(&format!("{}/dashboard{view}", self.origin)).await.unwrap();
    }

    /// Opens a second window of the same dashboard, and goes on there. Gives back both.
    pub(crate) async fn second_window(&self) -> [WindowHandle; 2] {
        let first = self.browser.client.window().await.unwrap();
        let second = self.browser.client.new_window(false).await.unwrap().handle;
        self.switch(&second).await;
        self.watch_window().await;
        self.goto("").await;
        self.is_live().await;
        [first, second]
    }

    pub(crate) async fn switch(&self, window: &WindowHandle) {
        self.browser.client.switch_to_window(window.clone()).await.unwrap();
    }

    /// What an expression is in the page.
    pub(crate) async fn js(&self, expression: &str) -> Value {
        self.js_with(expression, Vec::new()).await
    }

    /// The same, with `arguments`.
    pub(crate) async fn js_with(&self, expression: &str, arguments: Vec<Value>) -> Value {
        let outcome = self.browser.client.execute(&format!("return ({expression});"), arguments).await;
        outcome.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits, in the page, until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        self.until_within(30_000, expression).await;
    }

    /// The same, with a limit in milliseconds.
    pub(crate) async fn until_within(&self, limit_ms: u32, expression: &str) {
        let script = format!(
            "const done = arguments[0], begun = performance.now();
            const look = () => {{
                if ({expression}) done(true);
                else if (performance.now() - begun > {limit_ms}) done(false);
                else setTimeout(look, 10);
            }};
            look();"
        );
        let came = self.browser.client.execute_async(&script, Vec::new()).await;
        if came.unwrap_or_else(|error| panic!("{expression}: {error}")) != true {
            let state = self.js("[window.watcher?.errors, document.documentElement.dataset.lastSeq, document.querySelector('[data-testid=badge]')?.outerHTML, document.body.innerText.slice(0, 2000)]").await;
            panic!("not within {limit_ms} ms: {expression}; the page: {state:#}");
        }
    }

    /// Waits until the page follows the log as it grows.
    pub(crate) async fn is_live(&self) {
        self.until("['live', 'resynced'].includes(document.querySelector('[data-testid=badge]')?.dataset.state)").await;
    }

    /// Waits until the feed shows the event at `seq` as its newest.
    pub(crate) async fn shows(&self, seq: u64) {
        self.until(&format!("Number(document.documentElement.dataset.lastSeq) === {seq}")).await;
    }

    /// Waits until the feed shows every event up to `seq`, the first included: those that can be seen come first.
    pub(crate) async fn shows_all(&self, seq: u64) {
        self.shows(seq).await;
        self.until(&format!("document.querySelectorAll('[data-testid=feed] [data-testid=feed-row]').length >= {seq}")).await;
    }

    /// Waits until a card shows a number, exactly.
    pub(crate) async fn card_shows(&self, card: &str, number: u64) {
        self.until(&format!("document.querySelector('[data-testid=card-{card}] [data-value], [data-testid=card-{card}][data-value]')?.dataset.value === '{number}'"))
            .await;
    }

    /// The seqs of the rows in the feed, from the top.
    pub(crate) async fn rows(&self) -> Vec<u64> {
        let rows =
            self.js("[...document.querySelectorAll('[data-testid=feed] [data-testid=feed-row]')].map((row) => Number(row.dataset.seq))").await;
        serde_json::from_value(rows).unwrap()
    }

    /// Every seq that a row has had since the page was loaded, and those that two rows had at once.
    pub(crate) async fn ever_shown(&self) -> (Vec<u64>, Vec<u64>) {
        serde_json::from_value(self.js("window.watcher.shown()").await).unwrap()
    }

    /// Goes to the panel of sessions, which asks only while it can be seen, and waits for what it shows.
    pub(crate) async fn sessions(&self, number: usize) {
        self.js("document.querySelector('[data-testid=sessions-count]').scrollIntoView()").await;
        self.until(&format!("document.querySelectorAll('[data-testid=sessions-row]').length === {number}")).await;
        self.js("scrollTo(0, 0)").await;
    }

    /// Waits until nothing moves any more, but for what always moves.
    pub(crate) async fn stands_still(&self) {
        self.until(
            "document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getTiming().iterations === Infinity)",
        )
        .await;
    }

    /// Clicks what has a `data-testid`.
    pub(crate) async fn click(&self, testid: &str) {
        let selector = format!("[data-testid={testid}]");
        let element = self.browser.client.find(fantoccini::Locator::Css(&selector)).await;
        element
            .unwrap_or_else(|error| panic!("{testid}: {error}"))
            .click()
            .await
            .unwrap_or_else(|error| panic!("{testid}: {error}"));
    }

    /// Types into whatever has the focus.
    pub(crate) async fn keys(&self, text: &str) {
        use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
        let typed = text.chars().fold(KeyActions::new("keyboard".into()), |keys, value| {
            keys.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.browser.client.perform_actions(typed).await.unwrap();
    }

    pub(crate) async fn key(&self, key: Key) {
        self.keys(&char::from(key).to_string()).await;
    }

    /// Ends the test's look at the page: nothing may have gone wrong in it that a test did not provoke.
    pub(crate) async fn finish(self) {
        self.finish_after(Outage::None).await;
    }

    /// The same, for a server that was away: the browser itself tells of connections that failed.
    pub(crate) async fn finish_after(self, outage: Outage) {
        noise::none(&self, &self.origin, self.watched, outage).await;
        self.browser.client.clone().close().await.unwrap();
    }
}
