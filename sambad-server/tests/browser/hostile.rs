//! What strangers write is text.

use sambad_server::testing::TestServer;
use serde_json::json;

use crate::page::Page;
use crate::people::People;

const NAMES: [&str; 6] = [
    "<img src=x onerror=alert(1)>",
    "</script><script>window.pwned=1</script>",
    "<b onmouseover=\"window.pwned=1\">bold</b>",
    "\u{202e}nimda\u{202c}",
    "👩‍👩‍👧‍👦🏳️‍🌈 Zoë",
    "javascript:alert(1)//&lt;&quot;'\"",
];

/// Goal: names and messages are text wherever they are shown, whatever they hold. Method: names of markup, scripts, overrides of the
/// writing direction and emoji; as messages too, and one of 4,096 characters; the feed, the list of users, a user's page: no element
/// came of them, no dialog opened, the texts are there as written, and the page is not wider than its window.
#[tokio::test]
async fn hostile_text_stays_text() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let page = Page::open(server.url()).await;
    let mut users = Vec::new();
    for (n, name) in NAMES.iter().enumerate() {
        users.push(people.user(&format!("+91987654320{n}"), name).await);
    }
    let long = "W".repeat(4096);
    for (n, text) in NAMES.iter().chain([&long.as_str()]).enumerate() {
        people.message(users[n % 6], users[(n + 1) % 6], text).await;
    }
    people.contact(users[0], users[1]).await;
    page.shows(people.head).await;
    page.until("document.querySelectorAll('[data-testid=user-row]').length === 6").await;
    holds(&page, &NAMES, "the feed and the list of users").await;

    page.goto(&format!("#/users/{}", users[1].id)).await;
    page.until(&format!("document.body.textContent.includes({})", json!(NAMES[0]))).await;
    holds(&page, &NAMES[..2], "a user's page").await;
    page.finish().await;
    server.stop().await;
}

async fn holds(page: &Page, texts: &[&str], place: &str) {
    for text in texts {
        page.until(&format!("document.body.textContent.includes({})", json!(text))).await;
    }
    assert_eq!(page.js("window.pwned ?? null").await, json!(null), "{place}");
    assert!(page.browser.client.get_alert_text().await.is_err(), "{place}: a dialog");
    let made = "document.querySelectorAll('img, li b, tr b, [onerror], [onmouseover], script:not([src]), iframe').length";
    assert_eq!(page.js(made).await, 0, "{place}: text became elements");
    let width = page.js("document.documentElement.scrollWidth - innerWidth").await;
    assert!(width.as_i64().unwrap() <= 0, "{place} is {width} px wider than the window");
    // The direction of one name must not turn what stands beside it: each is a paragraph of its own.
    let apart = "[...document.querySelectorAll('*')].filter((e) => e.children.length === 0 && e.textContent.includes('nimda') \
        && e.closest('main, dialog, body') && !['isolate', 'isolate-override', 'plaintext'].includes(getComputedStyle(e).unicodeBidi) \
        && e.localName !== 'bdi' && !e.closest('bdi, [dir=auto]') && e.localName !== 'script').map((e) => e.outerHTML)";
    assert_eq!(page.js(apart).await, json!([]), "{place}: overrides of the direction are not kept apart");
}

/// Goal: a text is written in its own direction, whatever stood in its row before. Method: messages in Arabic and in Portuguese by
/// turns, so many that rows are filled again with a text of the other direction, several times.
#[tokio::test]
async fn the_direction_of_a_text_is_its_own() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let users = people.users(1, 2).await;
    let page = Page::open(server.url()).await;
    for round in 0..4 {
        for n in 0..121 {
            let text = if n % 2 == 0 { "oi, tudo bem?" } else { "السلام عليكم، كيف حالك؟" };
            people.message(users[0], users[1], text).await;
        }
        page.shows(people.head).await;
        // Where the mark at the end stands, of the rows that can be seen.
        let wrong = "[...document.querySelectorAll('[data-testid=feed] .excerpt')].slice(0, 12).filter((e) => {
            const mark = document.createRange();
            mark.setStart(e.firstChild, e.textContent.length - 1);
            mark.setEnd(e.firstChild, e.textContent.length);
            const [{ left }, whole] = [mark.getBoundingClientRect(), e.getBoundingClientRect()];
            return (left > (whole.left + whole.right) / 2) !== e.textContent.startsWith('oi');
        }).map((e) => e.outerHTML)";
        assert_eq!(page.js(wrong).await, json!([]), "round {round}");
    }
    page.finish().await;
    server.stop().await;
}
