//! `/metrics`: what is counted, on which address, and that neither names nor values are made up.

use std::time::Duration;

use sambad_core::Limits;
use sambad_server::ServerConfig;

use crate::harness::process::{Process, database, run};
use crate::harness::scrape::Scrape;
use crate::harness::{Dashboard, EventSource, World, soon};
use crate::slow_readers::{flood, short_tail};

/// Waits for a scrape of which `holds`.
pub(crate) async fn scrape_until(world: &World, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    soon(what, async {
        loop {
            let scrape = Scrape::of(&world.api).await;
            if holds(&scrape) {
                return scrape;
            }
        }
    })
    .await
}

/// What nobody knows beforehand is there and more than nothing.
fn measured(scrape: &Scrape) {
    for (name, labels) in [
        ("sambad_commit_seconds_sum", &[][..]),
        ("sambad_delivery_seconds_sum", &[]),
        ("sambad_database_bytes", &[("file", "database")]),
        ("sambad_database_bytes", &[("file", "wal")]),
        ("sambad_disk_free_bytes", &[]),
        ("sambad_readers", &[]),
        ("process_resident_memory_bytes", &[]),
        ("process_open_fds", &[]),
        ("process_cpu_seconds_total", &[]),
    ] {
        assert!(scrape.value(name, labels) > 0.0, "{name} {labels:?}");
    }
}

/// Goal: figures are what happened. Method: known writes, sessions of each kind and refusals; every figure against the number.
#[tokio::test(flavor = "multi_thread")]
async fn figures_are_what_happened() {
    let world = World::start_with(ServerConfig { sessions_max: 2, ..ServerConfig::default() }, Limits::default()).await;
    let mut socket = world.dashboard("after=0").await;
    socket.expect("live").await;
    let mut source = EventSource::open(world.server.address(), "").await;
    source.skip(1).await;
    world.sessions(2).await;
    assert!(Dashboard::try_connect(world.server.address(), "").await.is_err(), "two are enough");
    let users = world.api.users(3).await;
    assert_eq!(world.api.get("/api/users/0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b").await.status, 404);
    assert_eq!(world.api.get("/nowhere").await.status, 404);
    assert_eq!(world.api.get("/api/events?after=7").await.status, 410);
    world.api.get("/api/events?after=1").await;
    assert_eq!(socket.seqs(3).await, [1, 2, 3]);
    assert_eq!(source.seqs(3).await, [1, 2, 3]);

    let scrape = Scrape::of(&world.api).await;
    for (name, labels, value) in [
        ("sambad_events_committed_total", &[][..], 3.0),
        ("sambad_batch_commands_sum", &[], 3.0),
        ("sambad_commits_failed_total", &[], 0.0),
        ("sambad_deliveries_total", &[("transport", "websocket")], 3.0),
        ("sambad_deliveries_total", &[("transport", "sse")], 3.0),
        ("sambad_deliveries_total", &[("transport", "poll")], 2.0),
        ("sambad_sessions", &[("transport", "websocket"), ("state", "live")], 1.0),
        ("sambad_sessions", &[("transport", "sse"), ("state", "live")], 1.0),
        ("sambad_sessions", &[], 2.0),
        ("sambad_sessions_max", &[], 2.0),
        ("sambad_sessions_opened_total", &[], 2.0),
        ("sambad_sessions_resumed_total", &[("transport", "websocket")], 1.0),
        ("sambad_sessions_ended_total", &[], 0.0),
        ("sambad_session_lag_events_max", &[], 0.0),
        ("sambad_resyncs_total", &[("transport", "poll"), ("reason", "cursor_ahead")], 1.0),
        ("sambad_requests_total", &[("method", "POST"), ("route", "/api/users/login"), ("status", "200")], 3.0),
        ("sambad_requests_total", &[("route", "/api/users/{id}"), ("status", "404")], 1.0),
        ("sambad_requests_total", &[("route", "none"), ("status", "404")], 1.0),
        ("sambad_request_seconds_count", &[("route", "/api/users/login")], 3.0),
        ("sambad_requests_refused_total", &[("reason", "too_many_sessions")], 1.0),
        ("sambad_requests_refused_total", &[], 1.0),
        ("sambad_requests_in_flight", &[], 1.0),
        ("sambad_log_head_seq", &[], 3.0),
        ("sambad_log_first_seq", &[], 1.0),
        ("sambad_tail_first_seq", &[], 1.0),
        ("sambad_tail_events", &[], 3.0),
        ("sambad_queue_commands", &[], 0.0),
        ("sambad_queue_bytes", &[], 0.0),
        ("sambad_writable", &[], 1.0),
        ("sambad_draining", &[], 0.0),
    ] {
        assert!((scrape.value(name, labels) - value).abs() < 1e-9, "{name} {labels:?}: {}", scrape.value(name, labels));
    }
    measured(&scrape);
    let epoch = world.api.cursor().await;
    let (epoch, _) = epoch.split_once('-').expect("a cursor has an epoch");
    assert!((scrape.value("sambad_log_info", &[("epoch", epoch)]) - 1.0).abs() < 1e-9);
    assert_eq!(users.len(), 3);

    socket.close(1000).await;
    drop(source);
    let scrape = scrape_until(&world, "ends", |scrape| scrape.value("sambad_sessions_ended_total", &[]) >= 2.0).await;
    assert!((scrape.value("sambad_sessions_ended_total", &[("reason", "client_closed")]) - 1.0).abs() < 1e-9);
    assert!(
        (scrape.value("sambad_sessions_ended_total", &[("transport", "sse"), ("reason", "connection_lost")]) - 1.0).abs() < 1e-9
    );
    world.finish().await;
}

/// Goal: a slow session shows as one, and how far it is behind. Method: a socket that reads nothing of a flood far beyond what
/// the kernel holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_session_is_parked_and_lags() {
    let config = ServerConfig { stall_timeout: Duration::from_secs(600), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    let slow = Dashboard::with_small_buffer(world.server.address(), "").await;
    flood(&world, &user, 20_000, 500).await;
    let parked = |scrape: &Scrape| scrape.value("sambad_sessions", &[("state", "parked")]) > 0.0;
    let scrape = scrape_until(&world, "parked session", parked).await;
    let lag = scrape.value("sambad_session_lag_events_max", &[]);
    assert!(lag > 1_000.0 && (lag - scrape.value("sambad_session_lag_events", &[])).abs() < 1e-9, "{lag}");
    assert!(scrape.value("sambad_sessions_blocked_total", &[]) > 0.0);
    assert!(scrape.value("sambad_tail_first_seq", &[]) > 1_000.0, "the tail is short");
    drop(slow);
    world.finish().await;
}

/// Goal: Prometheus gets the form it asks for. Method: its `Accept`; the end mark, and that nobody's path is a label.
#[tokio::test]
async fn openmetrics_is_there_for_who_asks() {
    let world = World::start().await;
    world.api.get("/a%0Alabel\"").await;
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    let answer = world.api.request(reqwest::Method::GET, "/metrics", &[("accept", accept)], None).await;
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(answer.text.ends_with("# EOF\n") && answer.text.contains("sambad_requests_total{"), "{}", answer.text);
    assert!(!answer.text.contains("label"), "{}", answer.text);
    world.finish().await;
}

/// Goal: many who scrape at once are served one after the other, and the server with them. Method: 50 at once.
#[tokio::test(flavor = "multi_thread")]
async fn scrapes_take_turns() {
    let world = World::start().await;
    let scrapes = futures_util::future::join_all((0..50).map(|_| world.api.get("/metrics"))).await;
    assert!(scrapes.iter().all(|answer| matches!(answer.status, 200 | 503)));
    assert!(scrapes.iter().any(|answer| answer.status == 200));
    world.finish().await;
}

/// Goal: metrics with an address of their own are there alone. Method: the binary with one; the main address, and an address
/// that is taken.
#[tokio::test]
async fn metrics_may_have_an_address_of_their_own() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log");
    let args = ["--listen", "127.0.0.1:0", "--database", &database(directory.path()), "--log-format", "json"];
    let args = [&args[..], &["--metrics-listen", "127.0.0.1:0"]].concat();
    let mut server = Process::start_logged(&args, &log).await;
    let told = std::fs::read_to_string(&log).expect("there is a log");
    let told = told.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("lines are JSON"));
    let told: Vec<_> = told.filter(|line| line["message"] == "metrics are served").collect();
    let address = told[0]["address"].as_str().expect("the address is told");

    let get = async |path: &str| reqwest::get(format!("http://{address}{path}")).await.expect("an answer");
    let answer = get("/metrics").await;
    assert_eq!(answer.status(), 200);
    let scrape = Scrape::parse(&answer.text().await.expect("text"));
    assert!((scrape.value("sambad_writable", &[]) - 1.0).abs() < 1e-9);
    for path in ["/", "/api/health", "/api/users"] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
    assert_eq!(server.api.get("/metrics").await.status, 404);

    let taken =
        run(&["--listen", "127.0.0.1:0", "--database", "sqlite:/nonexistent/x.db", "--metrics-listen", address], &[]).await;
    let stderr = String::from_utf8_lossy(&taken.stderr);
    assert_eq!(taken.status.code(), Some(1));
    assert!(stderr.contains(&format!("cannot listen on {address} for metrics")), "{stderr}");
    server.terminate().await;
    assert_eq!(soon("end of the process", server.ends()).await.code(), Some(0));
}
