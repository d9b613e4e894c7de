//! Reading the feed: pausing, filtering, and the badge.

use sambad_server::testing::TestServer;

use crate::page::Page;
use crate::people::People;

/// Goal: a paused feed stands still and loses nothing. Method: pause, 25 events, look, go on; the pill that says how many wait.
#[tokio::test]
async fn a_pause_loses_nothing() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let users = people.users(1, 2).await;
    let page = Page::open(server.url()).await;
    page.shows(2).await;
    page.click("pause").await;
    for n in 0..25 {
        people.message(users[0], users[1], &format!("while paused {n}")).await;
    }
    page.card_shows("messages", 25).await;
    page.until("document.querySelector('[data-testid=feed-new-pill]').textContent.includes('25')").await;
    assert_eq!(page.rows().await, [2, 1], "what is read stands still");
    page.click("pause").await;
    page.shows_all(27).await;
    assert_eq!(page.rows().await, (1..=27).rev().collect::<Vec<_>>());
    // Also by the pill, which ends the pause.
    page.click("pause").await;
    people.message(users[1], users[0], "one more").await;
    page.until("document.querySelector('[data-testid=feed-new-pill]').checkVisibility()").await;
    page.click("feed-new-pill").await;
    page.shows_all(28).await;
    assert_eq!(page.ever_shown().await, ((1..=28).collect(), Vec::new()));
    page.finish().await;
    server.stop().await;
}

/// Goal: filters by type, by user and by country show what passes, of what was and of what comes, and lose nothing. Method: a few
/// events, each filter with the rows that must be left, another event that passes and one that does not, then no filter.
#[tokio::test]
async fn filters_show_what_passes() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let asha = people.user("+919876543210", "Asha").await;
    let ravi = people.user("+919876543211", "Ravi").await;
    let emma = people.user("+12125550100", "Emma").await;
    people.contact(asha, ravi).await;
    people.message(emma, asha, "hi").await;
    let page = Page::open(server.url()).await;
    page.shows(5).await;

    page.click("filter-type-message_sent").await;
    rows_are(&page, &[5]).await;
    people.contact(ravi, emma).await;
    people.message(ravi, asha, "passes").await;
    rows_are(&page, &[7, 5]).await;
    page.click("filter-type-message_sent").await;
    rows_are(&page, &[7, 6, 5, 4, 3, 2, 1]).await;

    type_into(&page, "filter-user", "+12125550100").await;
    rows_are(&page, &[6, 5, 3]).await;
    people.message(asha, ravi, "does not pass").await;
    people.message(asha, emma, "passes").await;
    rows_are(&page, &[9, 6, 5, 3]).await;
    type_into(&page, "filter-user", "").await;

    rows_are(&page, &[9, 8, 7, 6, 5, 4, 3, 2, 1]).await;
    type_into(&page, "filter-country", "+91").await;
    rows_are(&page, &[9, 8, 7, 6, 5, 4, 2, 1]).await;
    type_into(&page, "filter-country", "").await;
    rows_are(&page, &[9, 8, 7, 6, 5, 4, 3, 2, 1]).await;
    page.card_shows("messages", 4).await;

    type_into(&page, "users-search", "emm").await;
    page.until("document.querySelectorAll('[data-testid=user-row]').length === 1").await;
    page.until(&format!("document.querySelector('[data-testid=user-row]').dataset.id === '{}'", emma.id)).await;
    page.finish().await;
    server.stop().await;
}

async fn rows_are(page: &Page, seqs: &[u64]) {
    let shown = "[...document.querySelectorAll('[data-testid=feed] [data-testid=feed-row]')].map((row) => Number(row.dataset.seq)).join()";
    let seqs: Vec<_> = seqs.iter().map(u64::to_string).collect();
    page.until(&format!("{shown} === '{}'", seqs.join(","))).await;
}

/// Replaces what a field holds, as a person does.
async fn type_into(page: &Page, testid: &str, text: &str) {
    let field = page.browser.client.find(fantoccini::Locator::Css(&format!("[data-testid={testid}]"))).await.unwrap();
    // All of it chosen, and deleted: WebDriver's own way of emptying a field tells the page nothing.
    field.send_keys("\u{e009}a\u{e000}\u{e003}").await.unwrap();
    field.send_keys(text).await.unwrap();
}

/// Goal: the badge says what is: live, then reconnecting with the server gone. Method: a server that stops, and says goodbye.
#[tokio::test]
async fn the_badge_is_honest() {
    let server = TestServer::start().await;
    let page = Page::open(server.url()).await;
    let badge = "document.querySelector('[data-testid=badge]')";
    page.until(&format!("{badge}.dataset.state === 'live' && /live/i.test({badge}.textContent)")).await;
    server.stop().await;
    page.until(&format!("{badge}.dataset.state === 'reconnecting' && /reconnecting/i.test({badge}.textContent)")).await;
    page.finish_after(crate::noise::Outage::Provoked).await;
}
