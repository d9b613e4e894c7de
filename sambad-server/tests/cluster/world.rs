//! Three servers, what they share, and nginx in front of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sambad_client::{After, Client, Event, EventQuery, Seq};
use sambad_server::testing::{Balancer, Postgres, Proxy, Redis, free_port};
use tempfile::TempDir;

use crate::harness::process::Process;
use crate::harness::{Api, soon};

/// Servers of a cluster.
pub(crate) const SERVERS: usize = 3;
/// Longest page of the log.
const PAGE_EVENTS: u32 = 1000;
/// Lines of a server's log that a failed test shows.
const LINES_SHOWN: usize = 30;

/// Three servers on one database, each with a link to Redis of its own; nothing in it is shared with another test.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    pub(crate) nginx: Balancer,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
}

/// One of them: it may be killed, and comes back at the same address.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) api: Api,
    /// Between it and Redis.
    pub(crate) link: Proxy,
    process: Option<Process>,
    flags: Vec<String>,
    /// Holds a log of each life.
    logs: TempDir,
    lives: u32,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
        postgres.create("sambad").await;
        let mut servers = Vec::new();
        for _ in 0..SERVERS {
            let link = Proxy::to_port(redis.port()).await;
            let redis = redis.url_at(link.address().port());
            servers.push(Server::new(link, &postgres.url("sambad"), &redis));
        }
        for server in &mut servers {
            server.start().await;
        }
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        Self { servers, nginx: Balancer::nginx(&addresses).await, redis, postgres }
    }

    /// A client that goes through nginx.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.nginx.url()).unwrap()
    }

    /// A client of each server.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.servers.iter().map(Server::client).collect()
    }
}

impl Server {
    fn new(link: Proxy, database: &str, redis: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listen = address.to_string();
        let flags = ["--listen", &listen, "--database", database, "--redis", redis].map(str::to_owned).into();
        let (api, logs) = (Api::new(&format!("http://{address}")), tempfile::tempdir().unwrap());
        Self { address, api, link, process: None, flags, logs, lives: 0 }
    }

    /// Starts it; it listens when this returns.
    pub(crate) async fn start(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        self.lives += 1;
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        self.process = Some(Process::start_logged(&flags, &self.log()).await);
    }

    /// Kills it where it stands, as `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().child.kill().await.unwrap();
    }

    /// Sends it a signal.
    pub(crate) async fn signal(&self, name: &str) {
        self.process.as_ref().unwrap().signal(name).await;
    }

    /// Sends it SIGTERM, and waits for the end, which must be a good one.
    pub(crate) async fn terminate(&mut self) {
        let process = self.process.take().unwrap();
        process.terminate().await;
        assert_eq!(process.end().await.code(), Some(0));
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address)).unwrap()
    }

    /// Sessions that it says it has.
    pub(crate) async fn sessions(&self) -> u64 {
        self.api.get("/api/health").await.json()["sessions"].as_u64().unwrap()
    }

    fn log(&self) -> PathBuf {
        self.logs.path().join(format!("{}.log", self.lives))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!("{}:\n{}", self.address, lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n"));
        }
    }
}

/// The whole log up to `end` as one server has it, checked to be without a hole.
pub(crate) async fn whole_log(client: &Client, end: Seq) -> Vec<Event> {
    // What another server wrote may be on its way.
    let (after, wait) = (Some(After::Seq(Seq(end.0 - 1))), Some(Duration::from_secs(30)));
    let query = EventQuery { after, wait, ..EventQuery::default() };
    assert_eq!(soon("end of the log", client.events(&query)).await.unwrap().value.head, end);
    let (mut events, mut last) = (Vec::new(), Seq::ZERO);
    loop {
        let query = EventQuery { after: Some(After::Seq(last)), limit: Some(PAGE_EVENTS), ..EventQuery::default() };
        let page = soon("page of the log", client.events(&query)).await.unwrap().value;
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
