//! Ten thousand dashboards whose server is restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use sambad_client::{Client, Error, EventStream, EventStreamOptions, Item, State, Verifier};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::harness::PATIENCE;
use crate::harness::process::{Process, database};

const CLIENTS: usize = 10_000;
/// Handshakes at a time, so that opening them takes no longer than it must.
const OPENING_AT_ONCE: usize = 256;
const WINDOW: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);

/// What all clients have seen together.
#[derive(Debug, Default)]
struct Seen {
    live: AtomicUsize,
    /// Goodbyes with a time to come back.
    told: AtomicUsize,
    /// Refusals with Retry-After.
    shed: AtomicUsize,
    events: AtomicU64,
    changed: Notify,
}

impl Seen {
    async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let reached = async {
            loop {
                let changed = self.changed.notified();
                if reached(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("no {what}: {self:?}"));
    }

    /// Reads a stream to its end; whatever is not as promised ends the test.
    async fn follow(&self, mut stream: EventStream, mut verifier: Verifier) {
        while let Some(item) = stream.next().await {
            match item.expect("no stream ends") {
                Item::Event(event) => {
                    verifier.check(event.seq).expect("every event once and in order");
                    self.events.fetch_add(1, Ordering::Relaxed);
                }
                Item::State(State::Live { .. }) => drop(self.live.fetch_add(1, Ordering::Relaxed)),
                Item::State(State::Reconnecting { why, .. }) => match why {
                    Error::Closed { code: 4000, reason } if reason.contains("reconnect_after_ms=") => {
                        self.told.fetch_add(1, Ordering::Relaxed);
                    }
                    Error::Api { status, retry_after, .. } => {
                        assert!(status == 503 && retry_after.is_some(), "{status}");
                        self.shed.fetch_add(1, Ordering::Relaxed);
                    }
                    Error::Anomaly(anomaly) => panic!("{anomaly}"),
                    // Between the two servers nobody listens.
                    _ => {}
                },
                Item::Resync(resync) => panic!("{resync:?}"),
                _ => {}
            }
            self.changed.notify_waiters();
        }
    }
}

/// Goal: ten thousand clients come back to a server that was restarted, spread over the drain window, within it and five seconds,
/// and miss nothing. Method: the real binary and the real client; SIGTERM, a start on the same port, events before and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_clients_come_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start(directory.path()).await;
    let address = server.address.to_string();
    server.api.users(2).await;
    let client = Client::new(&format!("http://{address}")).expect("an address");
    let seen = Arc::new(Seen::default());
    let begun = Instant::now();
    let open = |_| {
        let (mut stream, seen) = (client.stream(EventStreamOptions::default()), Arc::clone(&seen));
        async move {
            let cursor = loop {
                match stream.next().await.expect("a stream goes on").expect("no stream ends") {
                    Item::State(State::Live { cursor, .. }) => break cursor,
                    Item::State(_) => {}
                    other => panic!("{other:?}"),
                }
            };
            (stream, Verifier::unfiltered(cursor.seq), seen)
        }
    };
    let mut clients = JoinSet::new();
    let mut opened = stream::iter(0..CLIENTS).map(open).buffer_unordered(OPENING_AT_ONCE);
    while let Some((stream, verifier, seen)) = opened.next().await {
        clients.spawn(async move { seen.follow(stream, verifier).await });
    }
    println!("{CLIENTS} opened in {:.1?}", begun.elapsed());
    server.api.user("+447700900001").await;
    seen.until("event at every client", |seen| seen.events.load(Ordering::Relaxed) == CLIENTS as u64).await;

    let begun = Instant::now();
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    let down = begun.elapsed();
    let server = Process::start_with(&["--listen", &address, "--database", &database(directory.path())], &[]).await;
    let missed = server.api.user("+447700900002").await;
    seen.until("return of every client", |seen| seen.live.load(Ordering::Relaxed) == CLIENTS).await;
    let back = begun.elapsed();
    seen.until("second event at every client", |seen| seen.events.load(Ordering::Relaxed) == 2 * CLIENTS as u64).await;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "{missed}: the server was gone after {down:.1?}; {} told when to come back, {} shed; all back after {back:.1?}",
        count(&seen.told),
        count(&seen.shed)
    );
    assert!(count(&seen.told) > CLIENTS * 9 / 10, "goodbyes reach the clients");
    assert!(back < WINDOW + GRACE, "back after {back:?}");
    assert!(clients.try_join_next().is_none(), "a client met what was not promised");
}
