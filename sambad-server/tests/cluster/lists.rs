//! Lists show what their cursor says, whatever the clocks of the servers say, and instants are the same wherever they stand.

use sambad_server::testing::{Database, free_port};
use tokio::sync::watch;

use crate::harness::process::{Process, database};
use crate::harness::{Api, soon};
use crate::pages::{Checked, Load, check_pages};

/// Preloaded, it gives a process another wall clock; its monotonic clock stays.
const CLOCKS: &str = "libfaketime.so.1";

/// A server that comes back at the same address, each time with the clock that the test wants.
struct Server {
    flags: Vec<String>,
    process: Option<Process>,
    api: Api,
}

impl Server {
    async fn start(database: &str, offset: &str) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let api = Api::new(&format!("http://{listen}"));
        let flags = ["--listen", &listen, "--database", database].map(str::to_owned).into();
        let mut server = Self { flags, process: None, api };
        server.resume(offset).await;
        server
    }

    async fn resume(&mut self, offset: &str) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let library = clocks();
        let fake = [("LD_PRELOAD", &*library), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        self.process = Some(Process::start_with(&flags, if offset.is_empty() { &[] } else { &fake }).await);
    }

    async fn stop(&mut self) {
        let process = self.process.take().unwrap();
        process.terminate().await;
        assert_eq!(process.end().await.code(), Some(0));
    }
}

/// Where the library of clocks is: Debian names the folder after the processor.
fn clocks() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path().join("faketime"));
    let mut found = folders.map(|folder| folder.join(CLOCKS)).filter(|file| file.exists());
    found.next().expect("libfaketime is installed").display().to_string()
}

/// Waits until so many more pages were read and so many more writes acknowledged.
async fn go_on(load: &Load, pages: u64, writes: u64) {
    async fn more(what: &str, mut counter: watch::Receiver<u64>, n: u64) {
        let goal = *counter.borrow() + n;
        soon(what, counter.wait_for(|now| *now >= goal)).await.unwrap();
    }
    tokio::join!(more("pages", load.pages(), pages), more("writes", load.writes(), writes));
}

/// What was compared was enough of everything.
fn was_enough(checked: &Checked) {
    assert!(checked.pages >= 200 && checked.followed >= 20, "{checked:?}");
    assert!(checked.kinds.iter().all(|(_, events)| *events > 0), "{checked:?}");
}

/// Goal: each page of a list has the rows that the log has up to the page's own cursor, in the order of the log, and an event has
/// the instant of its row, as lists, answers and the retry of a write on another server give it. Method: two servers on one
/// PostgreSQL with one clock; writers and readers of every list at both; each page is compared with the log afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_what_the_log_says() {
    let postgres = Database::new().await;
    let (one, other) = tokio::join!(Server::start(postgres.url(), ""), Server::start(postgres.url(), ""));
    let load = Load::start(&[one.api.clone(), other.api.clone()]).await;
    go_on(&load, 240, 200).await;
    was_enough(&check_pages(load.stop().await, &[one.api.clone(), other.api.clone()]).await);
}

/// Goal: the same while the clocks of the servers differ and servers are started anew. Method: one clock is 2 s behind, then 3 s
/// ahead after a restart under load, then right.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_what_the_log_says_whatever_clocks_say() {
    let postgres = Database::new().await;
    let (one, mut other) = tokio::join!(Server::start(postgres.url(), ""), Server::start(postgres.url(), "-2s"));
    let load = Load::start(&[one.api.clone(), other.api.clone()]).await;
    for offset in ["+3s", ""] {
        go_on(&load, 80, 80).await;
        other.stop().await;
        other.resume(offset).await;
    }
    go_on(&load, 80, 80).await;
    was_enough(&check_pages(load.stop().await, &[one.api.clone(), other.api.clone()]).await);
}

/// Goal: the same on one server with SQLite, whose time stands still after its clock was set back. Method: a clock 30 s ahead for
/// the first writes, then the right one and three restarts, whose ids do not sort behind those before.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_what_the_log_says_while_time_stands_still() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&database(folder.path()), "+30s").await;
    let load = Load::start(&[server.api.clone()]).await;
    for _ in 0..3 {
        go_on(&load, 60, 60).await;
        server.stop().await;
        server.resume("").await;
    }
    go_on(&load, 60, 60).await;
    was_enough(&check_pages(load.stop().await, &[server.api.clone()]).await);
}
