//! A database of its own for each test, on the PostgreSQL that the environment names, and cores on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sambad_core::check::Severity;
use sambad_core::{
    After, Broker, Command, Config, Delivery, Event, Filter, Outcome, Receipt, Sambad, Seq, Subscription, UserId, maintenance,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::proxy::Proxy;

const POLL: Duration = Duration::from_millis(100);

fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests through scripts/with-services.sh"))
}

pub(crate) fn redis_url() -> String {
    environment("SAMBAD_TEST_REDIS_URL")
}

pub(crate) fn redis_client() -> redis::Client {
    redis::Client::open(redis_url()).unwrap()
}

/// A database of the test's own, empty at first.
pub(crate) struct Database {
    pub(crate) url: String,
    name: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        Self::of("template1").await
    }

    /// A copy of it, made while nobody is connected to it.
    pub(crate) async fn copy(&self) -> Self {
        Self::of(&self.name).await
    }

    async fn of(template: &str) -> Self {
        let maintenance = environment("SAMBAD_TEST_POSTGRES_URL");
        let name = format!("sambad_test_{}", uuid::Uuid::now_v7().simple());
        let create = format!("create database {name} template {template}");
        connect(&maintenance).await.execute(AssertSqlSafe(create)).await.unwrap();
        let (server, _) = maintenance.rsplit_once('/').unwrap();
        Self { url: format!("{server}/{name}"), name }
    }

    /// The secret of its log.
    pub(crate) async fn secret(&self) -> Vec<u8> {
        sqlx::query_scalar("select secret from log").fetch_one(&mut connect(&self.url).await).await.unwrap()
    }

    /// Runs SQL on it.
    pub(crate) async fn run(&self, sql: &'static str) {
        connect(&self.url).await.execute(sql).await.unwrap();
    }
}

/// Cores on one database, which is dropped with them.
pub(crate) struct Servers {
    database: Database,
    all: Vec<Sambad>,
}

impl Servers {
    /// Starts `count` cores with the broker that a PostgreSQL database has by itself.
    pub(crate) async fn start(count: usize) -> Self {
        Self::start_with(count, |_| None, POLL).await
    }

    pub(crate) async fn start_with(count: usize, broker: impl Fn(usize) -> Option<Broker>, poll_interval: Duration) -> Self {
        let mut servers = Self { database: Database::new().await, all: Vec::new() };
        servers.open(count, broker, poll_interval).await;
        servers
    }

    /// At once, as a deployment does: they must agree on who makes the schema.
    async fn open(&mut self, count: usize, broker: impl Fn(usize) -> Option<Broker>, poll_interval: Duration) {
        let opening = (0..count).map(|n| Sambad::open(Config { broker: broker(n), poll_interval, ..Config::new(self.url()) }));
        self.all = futures_util::future::join_all(opening).await.into_iter().map(Result::unwrap).collect();
    }

    /// Stops all cores; the database stays.
    pub(crate) async fn stop(&self) {
        futures_util::future::join_all(self.all.iter().map(Sambad::shutdown)).await;
    }

    /// Starts as many cores as there were, on the same database.
    pub(crate) async fn start_again(&mut self, broker: impl Fn(usize) -> Option<Broker>, poll_interval: Duration) {
        self.open(self.all.len(), broker, poll_interval).await;
    }

    /// Copies the database of cores that were stopped, within PostgreSQL, for as many others.
    pub(crate) async fn copy(&self) -> Self {
        Self { database: self.database.copy().await, all: self.all.clone() }
    }

    /// The secret of the stored log.
    pub(crate) async fn secret(&self) -> Vec<u8> {
        self.database.secret().await
    }

    /// Starts one core whose connections go through a proxy.
    pub(crate) async fn start_behind_proxy() -> (Self, Proxy) {
        let database = Database::new().await;
        let url = &database.url;
        let options: PgConnectOptions = url.parse().unwrap();
        let to = tokio::net::lookup_host((options.get_host(), options.get_port())).await.unwrap().next().unwrap();
        let proxy = Proxy::start(to).await;
        let behind = url.replace(&format!("{}:{}", options.get_host(), options.get_port()), &proxy.address.to_string());
        assert_ne!(behind, *url);
        let sambad = Sambad::open(Config { poll_interval: POLL, ..Config::new(behind) }).await.unwrap();
        (Self { database, all: vec![sambad] }, proxy)
    }

    pub(crate) fn url(&self) -> &str {
        &self.database.url
    }

    /// Runs a statement past all servers.
    pub(crate) async fn run(&self, statement: &'static str) {
        connect(self.url()).await.execute(statement).await.unwrap();
    }

    pub(crate) fn get(&self, n: usize) -> &Sambad {
        &self.all[n]
    }

    pub(crate) fn all(&self) -> Vec<Sambad> {
        self.all.clone()
    }

    /// How many events of each kind are stored.
    pub(crate) async fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let head = self.get(0).stored_bounds().await.unwrap().head;
        self.get(0).grown_beyond(Seq(head.0 - 1)).await;
        let (mut kinds, mut after) = (BTreeMap::new(), After::Seq(Seq(0)));
        loop {
            let page = self.get(0).events(after, Filter::default(), 1000).await.unwrap();
            if page.events.is_empty() {
                return kinds;
            }
            for event in &page.events {
                *kinds.entry(event.kind.as_str()).or_default() += 1;
            }
            after = After::Cursor(page.cursor);
        }
    }

    /// Makes everybody's last activity an hour old, so that the next one is noted.
    pub(crate) async fn age_activity(&self) {
        let mut connection = connect(&self.database.url).await;
        connection.execute("update users set last_active_at = last_active_at - interval '50 minutes'").await.unwrap();
        maintenance_of_days(&mut connection).await;
    }

    /// Whatever `check` examines is as it should be.
    pub(crate) async fn assert_sound(&self) {
        assert_sound(&self.database.url).await;
    }
}

/// Whatever `check` examines is as it should be.
pub(crate) async fn assert_sound(url: &str) {
    let findings = maintenance::check(url).await.unwrap();
    let faults: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What went an hour back may have gone to another day.
async fn maintenance_of_days(connection: &mut PgConnection) {
    connection
        .execute(
            "update daily set last_active = 0;
            insert into daily (day, users, contacts, messages, last_active)
                select floor(extract(epoch from last_active_at) / 86400)::bigint, 0, 0, 0, count(*) from users group by 1
                on conflict (day) do update set last_active = excluded.last_active",
        )
        .await
        .unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        // Its cores may still be connected, and this may be a panic: a thread of its own, and a drop by force.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = connect(&environment("SAMBAD_TEST_POSTGRES_URL")).await;
                connection.execute(AssertSqlSafe(format!("drop database {name} with (force)"))).await.unwrap();
            });
        });
        let _ = dropped.join();
    }
}

async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// A login of user number `number`.
pub(crate) fn login(number: u64) -> Command {
    Command::Login { phone: format!("+91{:010}", 9_000_000_000 + number).parse().unwrap(), name: None }
}

pub(crate) fn user_id(receipt: &Receipt) -> UserId {
    match &receipt.outcome {
        Outcome::LoggedIn { user, .. } => user.id,
        other => panic!("{other:?}"),
    }
}

/// The next `count` events.
pub(crate) async fn events(subscription: &mut Subscription, count: u64) -> Vec<Event> {
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        match subscription.next().await.unwrap() {
            Delivery::Events(events) => all.extend(events),
            Delivery::Live(_) => {}
            resync @ Delivery::Resync { .. } => panic!("{resync:?}"),
        }
    }
    all
}

/// Their seqs.
pub(crate) async fn collect(subscription: &mut Subscription, count: u64) -> Vec<u64> {
    events(subscription, count).await.iter().map(|event| event.seq.0).collect()
}

/// A TCP proxy that can be closed: connections end, and new ones are refused.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    pub(crate) async fn start(to: &redis::ConnectionAddr) -> Self {
        let redis::ConnectionAddr::Tcp(host, port) = to.clone() else { panic!("{to} is not on a port") };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(true));
        let gate = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut closed, to) = (gate.subscribe(), (host.clone(), port));
                tokio::spawn(async move {
                    if !*closed.borrow() {
                        return;
                    }
                    let mut server = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = closed.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, open }
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}
