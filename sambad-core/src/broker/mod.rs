//! "The log grew", to and from other servers.
//!
//! **Invariant:** a message is a hint. A lost, late, repeated or reordered one costs time and nothing else, since seq has no
//! holes and the log is polled underneath. So does a forged one: events are taken from authenticated messages alone, and a
//! head, which any user of the database may notify, is a reason to ask the store. Nobody waits for a broker: not the
//! committer, and no reader.

mod key;
mod message;
mod postgres;
mod redis;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cursor::{Epoch, Seq};
use crate::error::Error;
use crate::event::Event;
use crate::merge::Merge;
use crate::stats::Stats;
use crate::store::Store;

/// How often something is sent although nothing happened: a connection without a word is seen to be dead.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Silence after which a connection is opened anew.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Pause before a connection that failed is opened anew: doubled each time, up to the last.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Between two lines of the log about messages that were rejected: whoever sends them does not fill it.
const REJECTED_LINE_INTERVAL: Duration = Duration::from_secs(60);
/// How late a message of another server may be before what it would bring is read from the log.
const LATE_MAX: Duration = Duration::from_millis(10);

/// By whom servers of one database tell each other that the log grew. Without a word they poll its head.
#[derive(Debug, Clone)]
pub enum Broker {
    /// Nobody: this server alone writes, or polling is fast enough.
    Local,
    /// PostgreSQL itself, by NOTIFY after each COMMIT: a message says how far the log reaches, and the others read it.
    Postgres,
    /// Redis, by publish and subscribe: a message brings the events themselves.
    Redis(RedisUrl),
}

impl Broker {
    /// Its name in settings and figures.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Postgres => "postgres",
            Self::Redis(_) => "redis",
        }
    }
}

/// Where Redis is. Shown without user and password.
#[derive(Clone)]
pub struct RedisUrl(Box<::redis::Client>);

impl std::str::FromStr for RedisUrl {
    type Err = Error;

    /// Reads `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]`, `rediss://…` for TLS, or `unix:///PATH`.
    fn from_str(url: &str) -> Result<Self, Error> {
        // What the parser says of it might show the password.
        let client = ::redis::Client::open(url);
        client
            .map(|client| Self(Box::new(client)))
            .map_err(|_| Error::field("redis", "expected redis://USER:PASSWORD@HOST:PORT, rediss://… or unix:///PATH"))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.get_connection_info().addr(), f)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the tasks of a broker have in common.
#[derive(Debug, Clone)]
struct Context {
    merge: Arc<Merge>,
    stats: Stats,
    /// Whether messages come in.
    connected: Arc<AtomicBool>,
    /// When a rejected message was last logged. A std lock: no section awaits.
    rejected_line: Arc<Mutex<Option<Instant>>>,
    epoch: Epoch,
    stop: CancellationToken,
}

impl Context {
    /// Notes that messages come in or do not, and tells of a change.
    fn note(&self, connected: bool, broker: &'static str, error: Option<&(dyn std::error::Error + 'static)>) {
        if self.connected.swap(connected, Ordering::Relaxed) == connected {
            return;
        }
        if connected {
            tracing::info!(broker, "broker is connected");
        } else {
            Self::away(broker, error);
        }
    }

    /// Counts a message that no server of this log made.
    fn reject(&self, broker: &'static str) {
        let rejected = &self.stats.broker.foreign;
        rejected.add(1);
        let mut line = self.rejected_line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_none_or(|at| at.elapsed() >= REJECTED_LINE_INTERVAL) {
            *line = Some(Instant::now());
            let rejected = rejected.get();
            tracing::warn!(
                broker,
                rejected,
                "rejected a message that is not from a server of this log: another program uses its channel"
            );
        }
    }

    /// Tells that no messages come in.
    fn away(broker: &'static str, error: Option<&(dyn std::error::Error + 'static)>) {
        tracing::warn!(broker, error, "broker is unavailable: events of other servers are found by polling");
    }
}

/// The sending side of a broker, held by the committer.
#[derive(Debug)]
pub(crate) enum Publisher {
    Local,
    Postgres(watch::Sender<Seq>),
    Redis(redis::Publisher),
}

/// A broker at work.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) publisher: Publisher,
    pub(crate) tasks: Vec<JoinHandle<()>>,
    /// Whether messages come in.
    pub(crate) connected: Arc<AtomicBool>,
    /// How long a hole is waited for to be filled by a message.
    pub(crate) patience: Duration,
}

/// Starts what connects this server with others.
///
/// # Errors
/// `Internal` when the broker refuses; one that is away is waited for meanwhile.
pub(crate) async fn start(
    broker: &Broker,
    store: &Store,
    merge: &Arc<Merge>,
    stats: &Stats,
    stop: &CancellationToken,
) -> Result<Running, Error> {
    let connected = Arc::new(AtomicBool::new(false));
    let context = Context {
        merge: Arc::clone(merge),
        stats: stats.clone(),
        connected: Arc::clone(&connected),
        rejected_line: Arc::default(),
        epoch: merge.log().bounds().epoch,
        stop: stop.clone(),
    };
    let (publisher, tasks, patience) = match broker {
        Broker::Local => (Publisher::Local, Vec::new(), Duration::ZERO),
        Broker::Postgres => {
            let (publisher, tasks) = postgres::start(store, context).await?;
            (Publisher::Postgres(publisher), tasks, Duration::ZERO)
        }
        Broker::Redis(url) => {
            let (publisher, tasks) = redis::start(url, store, context).await?;
            (Publisher::Redis(publisher), tasks, LATE_MAX)
        }
    };
    Ok(Running { publisher, tasks, connected, patience })
}

impl Publisher {
    /// Sends, later, what was committed up to `head`. Never waits: what cannot be sent is dropped.
    pub(crate) fn publish(&self, events: &[Event], head: Seq) {
        match self {
            Self::Local => {}
            Self::Postgres(heads) => drop(heads.send_replace(head)),
            Self::Redis(publisher) => publisher.publish(events),
        }
    }
}

/// Pauses that grow.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(RETRY_PAUSE_MIN)
    }

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(RETRY_PAUSE_MAX);
        pause
    }
}
