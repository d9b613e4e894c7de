//! Phones by the thousand, to find out which have accounts.

use serde_json::json;

use crate::logins::post;
use crate::siege::Siege;

/// Phones of a book.
const BOOK: u32 = 1_000;

fn book(first: u32) -> String {
    let entries: Vec<_> = (first..first + BOOK).map(|n| json!({ "phone": format!("+9190{n:08}") })).collect();
    json!({ "contacts": entries }).to_string()
}

/// Goal: one address asks for 20,000 new phones in a day and no more, by whatever route; what it asked for before, and others'
/// addresses, are served as before, and a client notices nothing. Method: 60 books of 1,000 phones each from one address, ten at a
/// time; then every other route that takes a phone.
#[tokio::test(flavor = "multi_thread")]
async fn books_of_invented_phones() {
    let siege = Siege::start(&[]).await;
    let address = siege.address();
    let sync = |host: u8, first: u32| async move { post(host, address, "/api/sync-contacts", &book(first)).await };
    let attack = async {
        let mut statuses = Vec::new();
        for tens in 0..6 {
            let books = (0..10).map(|n| sync(20, (tens * 10 + n) * BOOK));
            statuses.extend(futures_util::future::join_all(books).await);
        }
        statuses
    };
    let statuses = siege.during("books of invented phones", attack).await;
    let served = statuses.iter().filter(|status| **status == Some(200)).count();
    assert_eq!(served, 20, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, Some(200 | 429))), "{statuses:?}");
    let known = statuses.iter().position(|status| *status == Some(200)).expect("some were served");
    let known = u32::try_from(known).expect("few") * BOOK;
    assert_eq!(sync(20, known).await, Some(200), "a known book is free");
    // Of 20,000 phones one or two may have had the digest of another, and cost nothing.
    let mut left = 0;
    while post(20, address, "/api/sync-contacts", &json!({ "contacts": [{ "phone": format!("+9192{left:08}") }] }).to_string())
        .await
        == Some(200)
    {
        left += 1;
        assert!(left < 20, "the budget has an end");
    }
    let (asha, nobody) = ("+919876543210", "+919111111111");
    for (path, body) in [
        ("/api/contacts", json!({ "userId": asha, "phone": nobody })),
        ("/api/contacts", json!({ "userId": nobody, "contactUserId": "01920000-0000-7000-8000-000000000000" })),
        ("/api/messages", json!({ "fromUserId": "01920000-0000-7000-8000-000000000000", "toUserId": nobody, "content": "x" })),
        ("/api/messages", json!({ "fromUserId": nobody, "toUserId": "9111111111", "content": "x" })),
    ] {
        assert_eq!(post(20, address, path, &body.to_string()).await, Some(429), "{path} {body}");
    }
    assert_eq!(sync(21, 900_000).await, Some(200), "another address has its own budget");
    siege.end().await;
}
