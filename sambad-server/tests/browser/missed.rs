//! A page that was cut off while much happened.

use std::path::Path;

use crate::database::{Rows, free_port};
use crate::harness::process::{Process, database};
use crate::harness::soon;
use crate::noise::Outage;
use crate::page::Page;
use crate::people::People;

const MISSED: u64 = 120;

/// A page that misses events: its server is killed, they are written through another port, and the server comes back.
struct Missing {
    page: Page,
    server: Process,
}

async fn start(port: u16, directory: &Path, flags: &[&str]) -> Process {
    let (listen, database) = (format!("127.0.0.1:{port}"), database(directory));
    Process::start_with(&[&["--listen", &listen, "--database", &database], flags].concat(), &[]).await
}

impl Missing {
    /// `first` is the oldest seq that is still stored when the page comes back.
    async fn events(directory: &Path, flags: &[&str], first: u64) -> Self {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let mut server = start(port, directory, flags).await;
        let mut people = People::at(&url);
        let users = people.users(1, 2).await;
        let page = Page::open(&url).await;
        page.card_shows("total-users", 2).await;
        server.child.kill().await.unwrap();

        let elsewhere = start(0, directory, flags).await;
        let mut people = People::at(&format!("http://{}", elsewhere.address));
        for n in 0..MISSED {
            people.message(users[0], users[1], &format!("missed {n}")).await;
        }
        soon("log as short as it should be", async {
            while elsewhere.api.get("/api/health").await.json()["first"] != first {
                tokio::task::yield_now().await;
            }
        })
        .await;
        elsewhere.terminate().await;
        elsewhere.end().await;
        Self { page, server: start(port, directory, flags).await }
    }

    async fn finish(self, directory: &Path) {
        Rows::count(directory).await.are_shown_by(&self.page).await;
        // What comes next is shown as ever.
        let mut people = People::at(&format!("http://{}", self.server.address));
        people.users(7, 1).await;
        self.page.card_shows("total-users", 3).await;
        self.page.shows(people.head).await;
        self.page.finish_after(Outage::Provoked).await;
        self.server.terminate().await;
        self.server.end().await;
    }
}

/// Goal: a page that missed more than the server holds in memory catches up from the stored log, and leaves nothing out. Method: a
/// server that keeps 2 KiB in memory; 120 events of some 350 bytes while the page is cut off.
#[tokio::test]
async fn what_the_tail_no_longer_holds_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Missing::events(directory.path(), &["--tail-bytes-max", "2048"], 1).await;
    missing.page.shows_all(2 + MISSED).await;
    assert_eq!(missing.page.ever_shown().await, ((1..=2 + MISSED).collect(), Vec::new()));
    missing.page.until("document.querySelector('[data-testid=badge]').dataset.state === 'live'").await;
    missing.finish(directory.path()).await;
}

/// Goal: a page whose position was trimmed away says that it had to reload, and is right afterwards. Method: a server that keeps ten
/// events; 120 while the page is cut off; what the badge said, the rows, the figures.
#[tokio::test]
async fn an_expired_cursor_resyncs() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Missing::events(directory.path(), &["--retain-events", "10"], MISSED - 7).await;
    missing.page.until("document.querySelector('[data-testid=badge]').dataset.state === 'resynced'").await;
    missing.page.shows(2 + MISSED).await;
    let rows = missing.page.rows().await;
    // Of those from before, some may stay; of the stored ones, none may be missing.
    assert_eq!(rows[..10], (MISSED - 7..=2 + MISSED).rev().collect::<Vec<_>>());
    assert_eq!(missing.page.ever_shown().await.1, Vec::<u64>::new());
    missing.finish(directory.path()).await;
}
