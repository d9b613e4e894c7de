//! The budget of new phones is one, however many servers are asked.

use futures_util::future::join_all;
use sambad_server::testing::Database;
use serde_json::{Value, json};

use crate::harness::process::Process;

/// New phones of a day.
const BUDGET: usize = 100;
/// Phones of a book: the budget is no multiple of it.
const BOOK: usize = 7;

fn book(number: usize) -> Value {
    let entries: Vec<_> = (number * BOOK..(number + 1) * BOOK).map(|n| json!({ "phone": format!("+9190{n:08}") })).collect();
    json!({ "contacts": entries })
}

/// Goal: who asks two servers at the same time gets no more than the budget, and no book in part; a phone that one server counted
/// is known to the other, and after a restart. Method: 40 books of 7 phones, each server gets every other at once; then the books
/// that were served, each at the other server, and a new one.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_have_one_budget() {
    let database = Database::new().await;
    let budget = BUDGET.to_string();
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--limit-loopback", "--new-phones-per-day", &budget];
    let (one, other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&flags, &[]));
    let servers = [one, other];
    let sync = async |server: &Process, number: usize| server.api.post("/api/sync-contacts", book(number)).await.status;
    let statuses = join_all((0..40).map(|number| sync(&servers[number % 2], number))).await;
    let served: Vec<usize> = (0..40).filter(|number| statuses[*number] == 200).collect();
    assert_eq!(served.len(), BUDGET / BOOK, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    for number in &served {
        assert_eq!(sync(&servers[(number + 1) % 2], *number).await, 200, "known to the other server");
    }
    for server in &servers {
        assert_eq!(sync(server, 41).await, 429);
        server.terminate().await;
    }
    let again = Process::start_with(&flags, &[]).await;
    assert_eq!((sync(&again, served[0]).await, sync(&again, 42).await), (200, 429));
    // What is left of the budget is there for one who asks for less.
    let rest: Vec<_> = (0..BUDGET % BOOK).map(|n| json!({ "phone": format!("+9191{n:08}") })).collect();
    assert_eq!(again.api.post("/api/sync-contacts", json!({ "contacts": rest })).await.status, 200);
    let one_more = json!({ "contacts": [{ "phone": "+919200000000" }] });
    let refused = again.api.post("/api/sync-contacts", one_more).await;
    refused.refused(429, "rate_limited");
}
