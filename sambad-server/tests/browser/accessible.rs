//! Contrast, labels and roles, as axe-core judges them.

use fantoccini::key::Key;
use sambad_server::testing::TestServer;
use serde_json::{Value, json};

use crate::page::Page;
use crate::people::People;

/// axe-core 4.14.1, MPL-2.0; its licence lies beside it.
const AXE: &str = include_str!("vendor/axe.min.js");

/// Nothing is loaded for it: the page's policy would forbid that, and its styles are its own.
const RUN: &str = "const done = arguments[0];
    axe.run(document, { preload: false, resultTypes: ['violations'] }).then(
        ({ violations }) => done(violations.map(({ id, help, nodes }) =>
            ({ id, help, nodes: nodes.slice(0, 5).map((node) => `${node.target}: ${node.html.slice(0, 120)}: ${node.any.concat(node.all)[0]?.message ?? ''}`) }))),
        (error) => done(String(error)));";

pub(crate) async fn no_violations(page: &Page, view: &str) {
    if page.js("typeof window.axe").await != "object" {
        page.browser.client.execute(AXE, Vec::new()).await.unwrap();
    }
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        page.browser.cdp("Emulation.setEmulatedMedia", features).await;
        page.until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches")).await;
        // Colours that are on their way are neither the old nor the new ones.
        page.stands_still().await;
        let violations = page.browser.client.execute_async(RUN, Vec::new()).await.unwrap();
        assert_eq!(violations, Value::Array(Vec::new()), "{view}, {scheme}: {violations:#}");
    }
}

/// Goal: who sees little or listens to the page can use it, in light and in dark. Method: axe-core on the overview with events of each
/// kind, on a user's page, and on the help.
#[tokio::test]
async fn everybody_can_read_it() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let users = people.users(1, 6).await;
    let page = Page::open(server.url()).await;
    for (n, user) in users.iter().enumerate().skip(1) {
        people.contact(users[0], *user).await;
        people.message(*user, users[0], &format!("hello {n}")).await;
    }
    let contact = people.client.contacts(&sambad_client::ContactQuery::default()).await.unwrap().value[0].contact.id;
    people.client.remove_contact(contact).await.unwrap();
    page.shows(people.head + 1).await;
    page.sessions(1).await;
    no_violations(&page, "overview").await;
    page.keys("?").await;
    page.until("document.querySelector('dialog[open], [role=dialog]:not([hidden])') !== null").await;
    no_violations(&page, "help").await;
    page.key(Key::Escape).await;
    page.goto(&format!("#/users/{}", users[0].id)).await;
    page.until("document.querySelector('main').innerText.includes('hello 3')").await;
    no_violations(&page, "user page").await;
    page.finish().await;
    server.stop().await;
}
