//! Somebody else on the Redis between servers.

use futures_util::StreamExt as _;
use sambad_server::testing::{Database, Postgres, Redis};

use crate::faults::hears;
use crate::harness::process::Process;
use crate::harness::{Dashboard, PATIENCE, audit_shared, soon};

/// Where a message has its head and the seq of its first event: behind the mark, the server's id and the instant.
const HEAD_AT: usize = 28;
const SEQ_AT: usize = 36;
/// A heartbeat is shorter.
const WITH_EVENTS: usize = 101;

/// Waits until a server has rejected so many messages.
async fn rejects(server: &Process, messages: u64) {
    let line = format!("sambad_broker_messages_foreign_total {messages}\n");
    soon("rejection", async {
        while !server.api.get("/metrics").await.text.contains(&line) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Goal: who publishes what looks like a server's message shows no event, ends no server, and makes no client reload. Method: a
/// message of a real server copied with the next seq, and one of 40 MiB, at which Redis disconnects its listeners; a dashboard on
/// each server, whether both run, the stored epoch, and writes afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_message_ends_no_server() {
    let (database, redis) = tokio::join!(Database::new(), Redis::start());
    let url = redis.url();
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--redis", &url];
    let (one, other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&flags, &[]));
    tokio::join!(hears(&one.api, true), hears(&other.api, true));
    let epoch = database.run("select epoch from log").await;
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut listening = client.get_async_pubsub().await.unwrap();
    listening.psubscribe("*").await.unwrap();
    let mut overheard = listening.into_on_message();
    let mut dashboards = [Dashboard::connect(one.address, "after=0").await, Dashboard::connect(other.address, "after=0").await];

    one.api.users(1).await;
    let message = soon("message with an event", async {
        loop {
            let message = overheard.next().await.unwrap();
            if message.get_payload_bytes().len() > WITH_EVENTS {
                return message;
            }
        }
    })
    .await;
    let channel = message.get_channel_name().to_owned();
    let mut copy = message.get_payload_bytes().to_vec();
    for at in [HEAD_AT, SEQ_AT] {
        assert_eq!(copy[at..at + 8], 1_u64.to_be_bytes());
        copy[at..at + 8].copy_from_slice(&2_u64.to_be_bytes());
    }
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let mut publish = async |message: &[u8]| {
        let publish = redis::cmd("PUBLISH").arg(&channel).arg(message).to_owned();
        publish.query_async::<i64>(&mut connection).await.unwrap()
    };
    assert_eq!(publish(&copy).await, 3, "both servers, and the test");
    tokio::join!(rejects(&one, 1), rejects(&other, 1));
    publish(&vec![0; 40 << 20]).await;

    // The number that the copy had is another event's.
    other.api.user("+442071838750").await;
    for dashboard in &mut dashboards {
        assert_eq!(dashboard.seqs_past_live(2).await, [1, 2]);
    }
    for server in [&one, &other] {
        let events = audit_shared(&server.api).await;
        assert_eq!(events.len(), 2, "{events:?}");
    }
    assert_eq!(database.run("select epoch from log").await, epoch);
    tokio::join!(hears(&one.api, true), hears(&other.api, true));
    for server in [one, other] {
        server.terminate().await;
        assert_eq!(server.end().await.code(), Some(0), "it ran until it was stopped");
    }
}

/// Goal: servers whose user may not read which PostgreSQL this is say so at the start, once, and understand each other. Method: a
/// user without that right; what a server logs, and events that come without polling.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_right_to_read_the_system_identifier() {
    let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
    postgres.run("postgres", "create role plain login password 'plain'").await;
    postgres.run("postgres", "create database sambad owner plain").await;
    postgres.run("sambad", "revoke execute on function pg_control_system() from public").await;
    let url = format!("postgres://plain:plain@127.0.0.1:{}/sambad", postgres.port());
    let (at, folder) = (redis.url(), tempfile::tempdir().unwrap());
    let flags = ["--listen", "127.0.0.1:0", "--poll-interval", "60s", "--database", &url, "--redis", &at];
    let log = folder.path().join("log");
    let one = Process::start_logged(&flags, &log).await;
    let other = Process::start_with(&flags, &[]).await;
    tokio::join!(hears(&one.api, true), hears(&other.api, true));
    one.api.users(3).await;
    assert_eq!(other.api.get("/api/events?after=2&wait=20").await.json()["head"], 3);
    assert!(other.api.get("/metrics").await.text.contains("sambad_broker_messages_foreign_total 0\n"));
    let logged = std::fs::read_to_string(&log).unwrap();
    let told: Vec<_> = logged.lines().filter(|line| line.contains("pg_control_system")).collect();
    assert!(told.len() == 1 && told[0].contains("WARN"), "{told:?}");
}
