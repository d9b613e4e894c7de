//! A server that is killed while people write.

use std::time::Duration;

use sambad_client::{Client, NewMessage};

use crate::database::{Rows, free_port};
use crate::harness::PATIENCE;
use crate::harness::process::{Process, database};
use crate::noise::Outage;
use crate::page::Page;
use crate::people::{People, Somebody};

const WRITES: u64 = 200;
/// The pause of a writer before it tries again.
const RETRY: Duration = Duration::from_millis(20);

/// Sends messages one after the other, each until it is answered; its key makes sure that it is stored once.
async fn write(client: Client, [one, other]: [Somebody; 2], done: tokio::sync::watch::Sender<u64>) {
    for n in 0..WRITES {
        let client = client.with_idempotency_key(&format!("write-{n}")).unwrap();
        let message = NewMessage::text(one.id, other.id, format!("message {n}"));
        while let Err(error) = client.send_message(&message).await {
            assert!(error.is_transient(), "{error}");
            tokio::time::sleep(RETRY).await;
        }
        done.send_replace(n + 1);
    }
}

/// Goal: a server that is killed and comes back while 200 writes go on costs the page nothing: it returns by itself, shows every
/// event once, and its figures are the database's. Method: the real binary on a file, SIGKILL after 80 writes, a start on the same
/// port; every row that the page ever showed; rows counted by SQLite.
#[tokio::test]
async fn a_killed_server_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["--listen", &listen, "--database", &database(directory.path())];
    let mut server = Process::start_with(&args, &[]).await;
    let url = format!("http://{listen}");
    let mut people = People::at(&url);
    let users = people.users(1, 2).await;
    let page = Page::open(&url).await;
    let (done, mut progress) = tokio::sync::watch::channel(0);
    let writer = tokio::spawn(write(people.client.clone(), [users[0], users[1]], done));
    progress.wait_for(|done| *done >= 80).await.unwrap();
    server.child.kill().await.unwrap();
    page.until("document.querySelector('[data-testid=badge]').dataset.state === 'reconnecting'").await;
    let server = Process::start_with(&args, &[]).await;
    tokio::time::timeout(PATIENCE, writer).await.expect("the writes end").unwrap();

    page.shows_all(2 + WRITES).await;
    page.until("document.querySelector('[data-testid=badge]').dataset.state === 'live'").await;
    let every: Vec<u64> = (1..=2 + WRITES).collect();
    assert_eq!(page.ever_shown().await, (every.clone(), Vec::new()), "every event has had its row, and none had two");
    assert_eq!(page.rows().await, every.into_iter().rev().collect::<Vec<_>>());
    let rows = Rows::count(directory.path()).await;
    assert_eq!(rows, Rows { users: 2, contacts: 0, messages: WRITES, head: 2 + WRITES });
    rows.are_shown_by(&page).await;
    page.finish_after(Outage::Provoked).await;
    server.terminate().await;
    server.end().await;
}
