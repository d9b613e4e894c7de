//! A database with a faulty disk under it, and a port at which its server comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sambad_client::{After, Client, Event, EventQuery, Seq};
use tempfile::TempDir;

use crate::harness::process::Process;
use crate::layer::Layer;

/// Longest page of the log.
const PAGE_EVENTS: u32 = 1000;

/// Where a test's server lives; it may be started and killed any number of times.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) layer: Layer,
    /// Holds the database; may be a disk of its own.
    folder: PathBuf,
    port: u16,
    /// Holds what must survive a fault: the layer's files.
    _scratch: TempDir,
    _folder: Option<TempDir>,
}

impl World {
    /// A world on the disk for temporary files; with `records`, the layer keeps a log.
    pub(crate) fn new(records: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // SQLite resolves links before it opens a file, and the layer compares paths as text.
        let path = folder.path().canonicalize().unwrap();
        Self { _folder: Some(folder), ..Self::in_folder(path, records) }
    }

    /// A world whose database lies in `folder`.
    pub(crate) fn in_folder(folder: PathBuf, records: bool) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        Self { layer: Layer::new(scratch.path(), records), folder, port: free_port(), _scratch: scratch, _folder: None }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("sambad.db")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.port)).unwrap()
    }

    /// Starts the server, on the layer.
    pub(crate) async fn start(&self) -> Process {
        self.try_start().await.unwrap_or_else(|printed| panic!("the server ended; it printed {printed:?}"))
    }

    /// Starts the server on the layer; an error when it ended before it listened.
    pub(crate) async fn try_start(&self) -> Result<Process, Vec<String>> {
        let env = self.layer.env(&self.database());
        let listen = format!("127.0.0.1:{}", self.port);
        let database = format!("sqlite:{}", self.database().display());
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Process::try_start_with(&["--listen", &listen, "--database", &database], &env).await
    }

    /// The stored log after `seq`, checked to be without a hole.
    pub(crate) async fn log_after(&self, seq: u64) -> Vec<Event> {
        let (client, mut events, mut last) = (self.client(), Vec::new(), Seq(seq));
        loop {
            let query = EventQuery { after: Some(After::Seq(last)), limit: Some(PAGE_EVENTS), ..EventQuery::default() };
            let page = client.events(&query).await.unwrap().value;
            for event in &page.events {
                assert_eq!(event.seq, last.next(), "the log has a hole");
                last = event.seq;
            }
            if page.events.is_empty() {
                assert_eq!(page.head, last, "the log ends before its head");
                return events;
            }
            events.extend(page.events);
        }
    }

    /// How long the layer's log is now: what is answered from now on was answered after all that.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.layer.log().map_or(0, |log| std::fs::metadata(log).map_or(0, |log| log.len()))
    }
}

/// Kills a server where it stands, as `kill -9`.
pub(crate) async fn kill(mut server: Process) {
    server.child.kill().await.unwrap();
}

/// A port that stays free while its server is dead: below those that the kernel gives to outgoing connections, as one of
/// these may otherwise take it, or a client that dials it may be connected to itself.
fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = fastrand::u16(10_240..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// The seed of this run: SAMBAD_TEST_SEED, or a new one; printed, so that a run can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SAMBAD_TEST_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SAMBAD_TEST_SEED={seed}");
    seed
}

/// How often to do something: a number in the environment, for long runs, or the suite's own.
pub(crate) fn times(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// The pause of a client before it tries again.
pub(crate) const RETRY: Duration = Duration::from_millis(5);
