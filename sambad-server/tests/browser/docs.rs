//! `/docs`: the reference of the API.

use std::collections::BTreeSet;

use sambad_server::testing::TestServer;
use serde_json::Value;

use crate::harness::Api;
use crate::page::Page;

/// How many operations the page shows.
const SHOWN: &str = "document.querySelectorAll('.opblock').length";

/// Goal: the page shows every operation of the document and tries one out, from this server alone and within its policy.
/// Method: what it shows against the document; one opened and sent, its answer; console, policy and addresses as of any page.
#[tokio::test]
async fn the_reference_shows_the_document() {
    let server = TestServer::start().await;
    let document = Api::new(server.url()).get("/api/openapi.json").await.json();
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        operations.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let page = Page::open_other(server.url(), "/docs", &format!("{SHOWN} === {}", operations.len())).await;
    let shown = "[...document.querySelectorAll('.opblock')].map((block) => \
        `${block.querySelector('.opblock-summary-method').textContent} ${block.querySelector('.opblock-summary-path').dataset.path}`)";
    let shown: BTreeSet<String> = serde_json::from_value(page.js(shown).await).unwrap();
    assert_eq!(shown, operations);

    let block = "document.querySelector('[id$=\"-listUsers\"]')";
    page.js(&format!("{block}.querySelector('.opblock-summary-control').click()")).await;
    page.until(&format!("{block}.querySelector('.try-out__btn') !== null")).await;
    page.js(&format!("{block}.querySelector('.try-out__btn').click()")).await;
    page.until(&format!("{block}.querySelector('.execute') !== null")).await;
    page.js(&format!("{block}.querySelector('.execute').click()")).await;
    let answered = format!("{block}.querySelector('.live-responses-table tbody .response-col_status')?.textContent ?? ''");
    page.until(&format!("({answered}).startsWith('200')")).await;
    page.stands_still().await;

    let links: Vec<String> =
        serde_json::from_value(page.js("[...document.querySelectorAll('.about a')].map((link) => link.href)").await).unwrap();
    for link in links {
        let path = link.strip_prefix(server.url()).expect("links are the server's own");
        assert_eq!(Api::new(server.url()).get(path).await.status, 200, "{link}");
    }
    if let Some(path) = std::env::var_os("SAMBAD_TEST_DOCS_PICTURE") {
        std::fs::write(path, page.browser.client.screenshot().await.unwrap()).unwrap();
    }
    assert_eq!(page.js("document.querySelectorAll('.errors-wrapper').length").await, Value::from(0));
    page.finish().await;
    server.stop().await;
}
