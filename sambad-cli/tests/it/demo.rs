//! `demo`: what it leaves in the log, and how it bears a server that goes away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use sambad_client::{After, Client, Event, EventQuery, Seq};
use sambad_core::{Config, Limits, Sambad};
use sambad_server::{config::ServerConfig, serve, testing::TestServer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{Ran, SOON, Watch, run};

/// The whole log.
async fn log(url: &str) -> Vec<Event> {
    let (client, mut events, mut after) = (Client::new(url).unwrap(), Vec::new(), Seq::ZERO);
    loop {
        let query = EventQuery { after: Some(After::Seq(after)), limit: Some(1000), ..EventQuery::default() };
        let page = client.events(&query).await.unwrap().value;
        let Some(last) = page.events.last() else { return events };
        after = last.seq;
        events.extend(page.events);
    }
}

/// How many events of each type there are.
fn types(events: &[Event]) -> BTreeMap<&str, usize> {
    let mut types = BTreeMap::new();
    for event in events {
        *types.entry(event.event_type.as_str()).or_default() += 1;
    }
    types
}

/// What an event says, without what differs from run to run.
fn told(event: &Event) -> String {
    let data: serde_json::Value = event.decode().unwrap();
    let fields = ["username", "user_username", "contact_user_username", "from_username", "to_username", "content"];
    format!("{} {:?}", event.event_type, fields.map(|field| data[field].as_str().unwrap_or_default()))
}

/// Runs the demo until it has made `writes` writes, however long that takes, and gives what it printed.
async fn demo(url: &str, args: &[&str], writes: usize) -> Ran {
    let mut demo = Watch::command(url, &[&["demo", "--json"], args].concat());
    let mut lines = String::new();
    for _ in 0..writes {
        lines += &format!("{}\n", demo.line().await);
    }
    demo.signal("-TERM");
    let ran = demo.end().await;
    Ran { stdout: lines + &ran.stdout, ..ran }
}

/// Goal: everything happens, no more often than asked for, among no more people than asked for, and names are given. Method: 200
/// writes at 40 a second; the log by type, and the users.
#[tokio::test]
async fn everything_happens_at_the_rate() {
    let server = TestServer::start().await;
    let begun = Instant::now();
    let ran = demo(server.url(), &["--rate", "40", "--users", "12", "--seed", "7"], 200).await;
    let took = begun.elapsed();
    assert!(ran.stderr.contains(&format!("dashboard: {}/dashboard\n", server.url())), "{ran:?}");
    assert!(ran.stderr.contains("stopped after "), "{ran:?}");
    let answers = ran.ok();
    let log = log(server.url()).await;
    // Five deviations above the mean. A busy machine makes fewer, and what it missed is not made up for.
    let mean = 40.0 * took.as_secs_f64();
    let most = mean + 5.0 * mean.sqrt();
    assert!((log.len() as f64) < most, "{} events in {took:?}", log.len());
    let types = types(&log);
    assert_eq!(types.keys().copied().collect::<Vec<_>>(), ["contact_added", "contact_removed", "message_sent", "user_created"]);
    assert_eq!(types["user_created"], 12, "{types:?}");
    assert_eq!(answers.lines().count(), log.len(), "each write's answer is a line");
    assert!(answers.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{answers}");
    let users = Client::new(server.url()).unwrap().users(&sambad_client::UserQuery::default()).await.unwrap().value;
    assert!(users.iter().all(|user| user.name.is_some()), "{users:?}");
    let countries: BTreeSet<_> = users.iter().map(|user| user.phone.country_code().as_str().to_owned()).collect();
    assert!(countries.len() >= 8, "{countries:?}");
}

/// Goal: `--duration` ends it. Method: a second.
#[tokio::test]
async fn a_duration_ends_it() {
    let server = TestServer::start().await;
    let ran = run(server.url(), &["demo", "--rate", "40", "--duration", "1s"]).await;
    assert!(ran.code == 0 && ran.stderr.contains("stopped after "), "{ran:?}");
}

/// Goal: a seed is a story. Method: 40 events of two databases with the same seed are equal; those of another seed are not.
#[tokio::test]
async fn a_seed_is_a_story() {
    let mut logs = Vec::new();
    for seed in ["3", "3", "4"] {
        let server = TestServer::start().await;
        // One write after the other: faster, and the log does not tell the story in its order.
        demo(server.url(), &["--rate", "25", "--seed", seed], 40).await.ok();
        logs.push(log(server.url()).await.iter().map(told).take(40).collect::<Vec<_>>());
    }
    assert_eq!(logs[0].len(), 40);
    assert_eq!(logs[0], logs[1]);
    assert_ne!(logs[0], logs[2]);
}

/// Goal: another run finds its users and contacts, and goes on with them. Method: the same database and another seed; no user more,
/// and every write an event, as one that found a contact would not be.
#[tokio::test]
async fn another_run_goes_on() {
    let server = TestServer::start().await;
    demo(server.url(), &["--rate", "100", "--users", "5", "--seed", "1"], 60).await.ok();
    let first = log(server.url()).await;
    assert_eq!(types(&first)["user_created"], 5);
    let answers = demo(server.url(), &["--rate", "100", "--users", "5", "--seed", "2"], 60).await.ok();
    let both = log(server.url()).await;
    assert_eq!(types(&both)["user_created"], 5, "they are found by their phones");
    let caused: Vec<_> = answers.lines().filter(|line| !line.contains("\"seq\":null")).collect();
    assert_eq!((caused.len(), answers.lines().count()), (both.len() - first.len(), both.len() - first.len()), "{answers}");
}

/// A server at an address of its own, with a database that outlives it.
struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    address: SocketAddr,
}

impl Server {
    async fn start(database: &std::path::Path, address: &str) -> Self {
        let database = format!("sqlite:{}", database.join("sambad.db").display());
        let sambad = Sambad::open(Config { limits: Limits::default(), ..Config::new(database) }).await.unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, sambad, ServerConfig::default(), stopped).await.unwrap();
        });
        Self { stop, task, address }
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

/// Goal: a restart of the server in the middle is told in one line each way, and the story goes on without a backlog. Method: stop
/// it until the demo says that it waits, start it again on the same port; then once more with an empty database.
#[tokio::test]
async fn a_restart_is_survived() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let server = Server::start(directories[0].path(), "127.0.0.1:0").await;
    let address = server.address.to_string();
    let url = format!("http://{address}");
    let mut demo = Watch::command(&url, &["demo", "--rate", "100", "--users", "10", "--seed", "5", "--json"]);
    for _ in 0..20 {
        demo.line().await;
    }
    server.stop().await;
    demo.says("waiting for the server: ").await;
    let server = Server::start(directories[0].path(), &address).await;
    demo.says("continuing, after ").await;
    let before = log(&url).await;
    // Other people's database: those of the story have not been there yet.
    server.stop().await;
    demo.says("waiting for the server: ").await;
    let server = Server::start(directories[1].path(), &address).await;
    demo.says("continuing, after ").await;
    tokio::time::timeout(SOON, async { while types(&log(&url).await).len() < 4 {} })
        .await
        .expect("everything happens there as well");
    demo.signal("-TERM");
    let ran = demo.end().await;
    assert_eq!((ran.code, ran.stderr.matches("waits").count()), (0, 0), "{ran:?}");
    assert!(before.windows(2).all(|pair| pair[1].seq == pair[0].seq.next()));
    let logins = log(&url).await.iter().filter(|event| event.event_type == "user_created").count();
    assert!(logins <= 10, "{logins}");
    server.stop().await;
}

/// Goal: who starts the demo first and the server then sees the story begin. Method: an address where nobody listens until the demo
/// says that it waits.
#[tokio::test]
async fn it_waits_for_a_server_that_is_not_there_yet() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), "127.0.0.1:0").await;
    let address = first.address.to_string();
    first.stop().await;
    let mut demo = Watch::command(&format!("http://{address}"), &["demo", "--rate", "50", "--users", "5", "--json"]);
    demo.says("waiting for the server: ").await;
    let server = Server::start(directory.path(), &address).await;
    demo.says("events/s").await;
    demo.line().await;
    demo.signal("-TERM");
    assert_eq!(demo.end().await.code, 0);
    server.stop().await;
}

/// Goal: Ctrl-C and SIGTERM end it with 0, with data on stdout only if it was asked for; so does a reader of stdout that goes.
/// Method: signals after the first event.
#[cfg(unix)]
#[tokio::test]
async fn signals_end_it() {
    let server = TestServer::start().await;
    for signal in ["-INT", "-TERM"] {
        let before = log(server.url()).await.len();
        let mut demo = Watch::command(server.url(), &["demo", "--rate", "50"]);
        demo.says("events/s").await;
        tokio::time::timeout(SOON, async { while log(server.url()).await.len() == before {} }).await.expect("something happens");
        demo.signal(signal);
        let ran = demo.end().await;
        assert!(ran.code == 0 && ran.stdout.is_empty() && ran.stderr.starts_with("stopped after "), "{signal}: {ran:?}");
    }
    let demo = Watch::command(server.url(), &["demo", "--rate", "50", "--json"]).close_stdout();
    assert_eq!(demo.end().await.0, 0);
}
