//! The button that ends somebody's session.

use fantoccini::key::Key;
use sambad_server::testing::TestServer;
use serde_json::Value;

use crate::harness::{Dashboard, Ended};
use crate::page::Page;

const OPEN: &str = "document.querySelector('[data-testid=close-session]').open";
/// The question is gone, and the panel has the focus: it gets it a moment later.
const CLOSED: &str = "!document.querySelector('[data-testid=close-session]').open && document.activeElement.matches('.scroll')";

/// Goal: a session is closed from the panel, by the keyboard, after a question that says which and can be answered with no; an open
/// server has the button as well. Method: another client's session, Escape, then yes; what that client is told.
#[tokio::test]
async fn a_session_is_closed_after_a_question() {
    let server = TestServer::start().await;
    let page = Page::open(server.url()).await;
    let mut other = Dashboard::connect(server.address(), "").await;
    let connected: Value = serde_json::from_str(&other.connected).unwrap();
    let id = connected["data"]["session"].as_str().unwrap();
    page.sessions(2).await;
    let focus = &format!("document.querySelector('[data-session=\"{id}\"] [data-testid=sessions-close]').focus()");
    for answer in [Key::Escape, Key::Enter] {
        page.js(focus).await;
        page.key(Key::Enter).await;
        page.until(OPEN).await;
        let text = page.js("document.querySelector('[data-testid=close-session] p').innerText").await;
        assert!(text.as_str().unwrap().starts_with("WebSocket from 127.0.0.1:"), "{text}");
        assert_eq!(page.js("document.activeElement.textContent").await, "Cancel", "the harmless answer comes first");
        // Enter on that one keeps it as well.
        page.key(answer).await;
        page.until(CLOSED).await;
    }
    page.sessions(2).await;
    page.js(focus).await;
    page.key(Key::Enter).await;
    page.until(OPEN).await;
    crate::accessible::no_violations(&page, "question").await;
    page.key(Key::Tab).await;
    page.key(Key::Enter).await;
    page.until(CLOSED).await;
    assert_eq!(other.text().await, Err(Ended::Closed(4503, "forbidden".into())));
    page.sessions(1).await;
    page.is_live().await;
    page.finish().await;
    server.stop().await;
}

/// Goal: a page whose own session is closed says so, keeps what it shows, does not come back by itself, and does when told to.
/// Method: the page's own row.
#[tokio::test]
async fn a_page_can_be_closed_and_come_back() {
    let server = TestServer::start().await;
    let page = Page::open(server.url()).await;
    page.sessions(1).await;
    page.until("document.querySelectorAll('[data-testid=sessions-row][data-own=true]').length === 1").await;
    page.js("document.querySelector('[data-testid=sessions-close]').click()").await;
    page.until(OPEN).await;
    page.click("close-session-yes").await;
    page.until("document.querySelector('[data-testid=badge]').dataset.state === 'closed'").await;
    page.until("document.getElementById('badge-text').textContent === 'Closed by an admin'").await;
    page.sessions(0).await;
    assert_eq!(page.js("document.getElementById('login').checkVisibility()").await, false, "nobody has to log in");
    page.js("scrollTo(0, 0)").await;
    page.click("reconnect").await;
    page.is_live().await;
    page.finish().await;
    server.stop().await;
}
