//! One user: contacts, messages, and what concerns them as it happens.

use sambad_server::testing::TestServer;

use crate::page::Page;
use crate::people::People;

/// Goal: a user's page shows who they are, their contacts and messages, and follows what concerns them and nothing else. Method: go
/// there from the list; events of theirs and of others; back.
#[tokio::test]
async fn a_user_has_a_page() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let asha = people.user("+919876543210", "Asha").await;
    let ravi = people.user("+919876543211", "Ravi").await;
    let emma = people.user("+12125550100", "Emma").await;
    people.contact(asha, ravi).await;
    people.message(ravi, asha, "see you at four").await;
    people.message(ravi, emma, "not for Asha").await;
    let page = Page::open(server.url()).await;
    let row = format!("[data-testid=user-row][data-id='{}']", asha.id);
    page.until(&format!("document.querySelector(\"{row}\") !== null")).await;
    page.js(&format!("(document.querySelector(\"{row} a\") ?? document.querySelector(\"{row}\")).click()")).await;
    page.until(&format!("location.hash === '#/users/{}'", asha.id)).await;
    let seen = "document.querySelector('main').innerText";
    for text in ["Asha", "+91", "Ravi", "see you at four"] {
        page.until(&format!("{seen}.includes('{text}')")).await;
    }
    assert_eq!(page.js(&format!("{seen}.includes('not for Asha')")).await, false);

    people.message(emma, ravi, "still not for Asha").await;
    people.message(emma, asha, "lunch?").await;
    page.until(&format!("{seen}.includes('lunch?')")).await;
    people.contact(asha, emma).await;
    page.until("document.querySelector('[data-testid=user-contacts]').innerText.includes('+12125550100')").await;
    assert_eq!(page.js(&format!("{seen}.includes('still not for Asha')")).await, false);

    page.browser.client.back().await.unwrap();
    // The user's own feed has shown that event as well, so that the overview's own rows are waited for.
    let first = "document.querySelector('[data-testid=feed] [data-testid=feed-row]')?.dataset.seq";
    page.until(&format!("{first} === '{}'", people.head)).await;
    page.finish().await;
    server.stop().await;
}
