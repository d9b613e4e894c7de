//! The page without a mouse.

use fantoccini::key::Key;
use sambad_server::testing::TestServer;
use serde::Deserialize;

use crate::page::Page;
use crate::people::People;

/// Where the focus is, and how it shows.
#[derive(Debug, Deserialize)]
struct Focus {
    /// What it is, for people.
    name: String,
    /// Its place among all that can have the focus, in the order of the document; -1 for the page itself.
    place: i64,
    visible: bool,
    /// Whether it lies, at least in part, within the window.
    in_view: bool,
    labelled: bool,
}

const FOCUS: &str = "(() => {
    const e = document.activeElement;
    if (!e || e === document.body) return { name: 'page', place: -1, visible: true, in_view: true, labelled: true };
    const all = [...document.querySelectorAll('*')];
    const box = e.getBoundingClientRect();
    const outlined = (e) => e && getComputedStyle(e).outlineStyle !== 'none' && parseFloat(getComputedStyle(e).outlineWidth) > 0;
    const label = e.getAttribute('aria-label') ?? e.labels?.[0]?.textContent ?? (e.getAttribute('aria-labelledby') ?? '').split(' ')
        .map((id) => document.getElementById(id)?.textContent ?? '').join(' ');
    return {
        name: `${e.localName}#${e.id}[${e.dataset.testid ?? ''}] ${(e.textContent || label).trim().slice(0, 30)}`,
        place: all.indexOf(e),
        visible: outlined(e) || (e.matches('input') && outlined(e.closest('label'))),
        in_view: box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth && box.width > 0 && box.height > 0,
        labelled: (label + e.textContent + (e.title ?? '')).trim() !== '',
    };
})()";

/// Everything that a person can operate, but for the rows of lists, which have keys of their own.
const CONTROLS: &str = "[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]')]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled && e.tabIndex >= 0 && !e.closest('[inert]')
        && !e.closest('[data-testid=feed-row], [data-testid=user-row], [data-testid=sessions-row]'))
    .map((e) => [...document.querySelectorAll('*')].indexOf(e))";

/// Goal: Tab leads to every control, in the order of the document, each with a name and a focus that can be seen, and on past the
/// feed. Method: Tab until it comes round; what had the focus against all that can have it.
#[tokio::test]
async fn tab_reaches_every_control() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let users = people.users(1, 5).await;
    people.contact(users[0], users[1]).await;
    let page = Page::open(server.url()).await;
    page.shows(people.head).await;
    page.until("document.querySelectorAll('[data-testid=user-row]').length === 5").await;
    page.sessions(1).await;
    let controls: Vec<i64> = serde_json::from_value(page.js(CONTROLS).await).unwrap();
    assert!(controls.len() >= 8, "{controls:?}");
    let mut walk: Vec<Focus> = Vec::new();
    for _ in 0..200 {
        page.key(Key::Tab).await;
        let focus: Focus = serde_json::from_value(page.js(FOCUS).await).unwrap();
        if !walk.is_empty() && (focus.place == -1 || focus.place == walk[0].place) {
            break;
        }
        walk.push(focus);
    }
    for focus in &walk {
        println!("{} {}", focus.place, focus.name);
        assert!(focus.visible, "the focus does not show: {focus:?}");
        assert!(focus.in_view, "the focus is out of sight: {focus:?}");
        assert!(focus.labelled, "nobody can tell what it is: {focus:?}");
    }
    assert!(walk.windows(2).all(|pair| pair[0].place < pair[1].place), "the order is not the document's: {walk:#?}");
    let missed: Vec<_> = controls.iter().filter(|place| !walk.iter().any(|focus| focus.place == **place)).collect();
    assert!(missed.is_empty(), "Tab does not reach {missed:?}");
    page.finish().await;
    server.stop().await;
}

/// Goal: the keys that the help names work, and not while somebody types. Method: each key, and what came of it.
#[tokio::test]
async fn keys_do_what_the_help_says() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let users = people.users(1, 2).await;
    let page = Page::open(server.url()).await;
    page.shows(2).await;
    let focused = "document.activeElement?.dataset.testid ?? ''";
    let help = "document.querySelector('dialog[open], [role=dialog]:not([hidden])')";

    page.keys("/").await;
    page.until(&format!("['users-search', 'filter-user'].includes({focused})")).await;
    page.keys("p?").await;
    assert_eq!(page.js("document.activeElement.value").await, "p?", "keys are letters while somebody types");
    assert_eq!(page.js(&format!("{help} === null")).await, true);
    page.key(Key::Escape).await;
    page.until("document.activeElement.value === '' || document.activeElement === document.body").await;
    page.js("document.activeElement.blur()").await;

    page.keys("p").await;
    people.message(users[0], users[1], "while paused").await;
    page.card_shows("messages", 1).await;
    assert_eq!(page.rows().await, [2, 1], "p pauses");
    page.keys("p").await;
    page.shows(3).await;

    page.keys("?").await;
    page.until(&format!("{help}?.checkVisibility() === true")).await;
    page.key(Key::Escape).await;
    page.until(&format!("!({help}?.checkVisibility() ?? false)")).await;
    page.finish().await;
    server.stop().await;
}
