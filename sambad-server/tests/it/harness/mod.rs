//! A server, a typed way to talk to it, and an audit of its log at the end of every test.

pub(crate) mod h2;
pub(crate) mod http;
pub(crate) mod mask;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod scrape;
pub(crate) mod socket;
pub(crate) mod source;
pub(crate) mod stderr;
pub(crate) mod tls;
pub(crate) mod wrong_clock;

use std::future::Future;
use std::time::Duration;

use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::testing::TestServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

pub(crate) use http::{Answer, Api};
pub(crate) use mask::masked;
pub(crate) use raw::Raw;
pub(crate) use socket::{Dashboard, Ended};
pub(crate) use source::EventSource;

/// Longest wait for anything: far beyond what a loaded machine needs, so that only a hang ends a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`; what does not come is named.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("no {what} within {PATIENCE:?}"),
    }
}

/// A server of the test's own.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) api: Api,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(ServerConfig::default(), Limits::default()).await
    }

    pub(crate) async fn start_with(config: ServerConfig, limits: Limits) -> Self {
        Self::on(TestServer::start_with(config, limits).await)
    }

    /// A server over TLS whose certificate is `pem`.
    pub(crate) async fn secure(config: ServerConfig, limits: Limits, pem: &str) -> Self {
        let server = TestServer::start_with(config, limits).await;
        let api = Api::trusting(server.url(), pem);
        Self { server, api }
    }

    /// A server on a database that another one left.
    pub(crate) async fn restart(directory: TempDir) -> Self {
        Self::on(TestServer::start_in(directory, ServerConfig::default(), Limits::default()).await)
    }

    fn on(server: TestServer) -> Self {
        let api = Api::new(server.url());
        Self { server, api }
    }

    /// A dashboard on `/ws`, its `connected` frame read.
    pub(crate) async fn dashboard(&self, query: &str) -> Dashboard {
        Dashboard::connect(self.server.address(), query).await
    }

    /// An event stream, asked for until it is let in: the place of a session that has ended is free a moment later.
    pub(crate) async fn source_once_there_is_a_place(&self, query: &str) -> EventSource {
        soon("a place", async {
            loop {
                let source = EventSource::open(self.server.address(), query).await;
                if source.status == 200 {
                    return source;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// A connection on which the test writes what it likes.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.server.address()).await
    }

    /// Waits until the server counts `sessions` open sockets.
    pub(crate) async fn sessions(&self, sessions: u64) {
        soon("such count of sessions", async {
            while self.api.get("/api/health").await.json()["sessions"] != sessions {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Audits the log against the counters, then stops the server. Gives back the database's directory.
    pub(crate) async fn finish(self) -> TempDir {
        audit(&self.api).await;
        self.server.stop().await
    }
}

/// What a log holds, by kind of event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) users: u64,
    pub(crate) contacts: u64,
    pub(crate) messages: u64,
}

/// Reads the whole log that one server wrote: as [`audit_shared`], and time never runs backwards.
pub(crate) async fn audit(api: &Api) -> Vec<Value> {
    let events = audit_shared(api).await;
    let time = |event: &Value| event["timestamp"].as_str().expect("events have a time").to_owned();
    for pair in events.windows(2) {
        assert!(time(&pair[0]) <= time(&pair[1]), "time runs backwards: {pair:?}");
    }
    events
}

/// Reads the whole log, which several servers may have written: seq has no hole, and the counters say what the events say.
pub(crate) async fn audit_shared(api: &Api) -> Vec<Value> {
    let events = api.whole_log().await;
    let mut counts = Counts::default();
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event["seq"], seq, "the log has a hole");
        match event["type"].as_str() {
            Some("user_created") => counts.users += 1,
            Some("contact_added") => counts.contacts += 1,
            Some("contact_removed") => counts.contacts -= 1,
            Some("message_sent") => counts.messages += 1,
            other => panic!("unknown type of event {other:?}"),
        }
    }
    let analytics = api.get("/api/admin/analytics").await;
    assert_eq!(analytics.cursor_seq(), events.len() as u64, "the log grew during the audit");
    assert_eq!(totals(&analytics.json()), counts, "counters and events disagree");
    events
}

/// The totals that analytics show.
pub(crate) fn totals(analytics: &Value) -> Counts {
    let count = |name: &str| analytics[name].as_u64().expect("analytics are numbers");
    Counts { users: count("totalUsers"), contacts: count("totalContacts"), messages: count("totalMessages") }
}
