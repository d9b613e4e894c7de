//! What may happen to a part of the cluster while everybody writes and watches.

use std::time::Duration;

use sambad_server::testing::Proxy;
use serde_json::json;

use crate::dashboards::Dashboards;
use crate::harness::{Api, soon};
use crate::world::{Cluster, Server};
use crate::writers::Writers;

/// Acknowledged writes between one thing that happens and the next.
const WRITES: u64 = 150;
/// How long a server is stopped for: longer than writers wait for it.
const STOPPED: Duration = Duration::from_secs(10);
/// How long writers wait for a server that may not answer.
const DOUBT: Duration = Duration::from_secs(3);
/// How long they wait for one that has to, on a disk that others use as well.
const TRUST: Duration = Duration::from_secs(10);

/// Everybody at work on a cluster that is well.
async fn at_work() -> (Cluster, Writers, Dashboards) {
    at_work_on(0, DOUBT).await
}

/// As `at_work`, but that nobody writes to the servers before the `first`, all that these know comes from the others, and that
/// writers wait for so long.
async fn at_work_on(first: usize, patience: Duration) -> (Cluster, Writers, Dashboards) {
    let cluster = Cluster::start().await;
    let mut dashboards = Dashboards::open(&cluster).await;
    let writers = Writers::start(&cluster.clients()[first..], patience);
    writers.acknowledged(WRITES).await;
    dashboards.caught_up(&cluster.client()).await;
    (cluster, writers, dashboards)
}

/// Goal: who was connected to a server that dies resumes on another, and whoever wrote to it finds out on another what became
/// of it. Method: `kill -9` of one of three under load, twice, and an audit of dashboards, logs and answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_killed() {
    let (mut cluster, writers, mut dashboards) = at_work().await;
    for victim in [1, 2] {
        let cuts = dashboards.cuts();
        cluster.servers[victim].kill().await;
        writers.acknowledged(WRITES).await;
        dashboards.caught_up(&cluster.client()).await;
        assert!(dashboards.cuts() > cuts, "nobody was connected to the server that was killed");
        cluster.servers[victim].start().await;
        writers.acknowledged(WRITES).await;
        dashboards.caught_up(&cluster.servers[victim].client()).await;
    }
    assert_ne!(writers.retried(), 0, "nobody wrote to the server that was killed");
    dashboards.finish(&cluster, writers).await;
}

/// Goal: without Redis everything is delivered, without a reconnect, and it is used again when it is back. Method: Redis stopped
/// under load on one server, and started again.
#[tokio::test(flavor = "multi_thread")]
async fn redis_is_restarted() {
    let (mut cluster, writers, mut dashboards) = at_work_on(2, TRUST).await;
    cluster.redis.stop().await;
    for server in &cluster.servers {
        hears(&server.api, false).await;
    }
    writers.acknowledged(WRITES).await;
    dashboards.caught_up(&cluster.client()).await;
    cluster.redis.start_again().await;
    for server in &cluster.servers {
        hears(&server.api, true).await;
    }
    writers.acknowledged(WRITES).await;
    dashboards.caught_up(&cluster.client()).await;
    assert_eq!((dashboards.cuts(), writers.retried()), (0, 0), "clients noticed");
    dashboards.finish(&cluster, writers).await;
}

/// Goal: a server that cannot reach Redis neither misses nor withholds anything. Method: the link of one that nobody writes to
/// cut, and frozen so that it hears nothing at all; then the link of one that is written to.
#[tokio::test(flavor = "multi_thread")]
async fn redis_is_cut_off_from_a_server() {
    let (cluster, writers, mut dashboards) = at_work_on(1, TRUST).await;
    for (server, fault) in [(0, Proxy::cut as fn(&Proxy)), (0, Proxy::freeze), (1, Proxy::cut), (1, Proxy::freeze)] {
        let server = &cluster.servers[server];
        fault(&server.link);
        writers.acknowledged(WRITES).await;
        dashboards.caught_up(&cluster.client()).await;
        hears(&server.api, false).await;
        server.link.heal();
        hears(&server.api, true).await;
        writers.acknowledged(WRITES).await;
        dashboards.caught_up(&cluster.client()).await;
    }
    assert_eq!((dashboards.cuts(), writers.retried()), (0, 0), "clients noticed");
    dashboards.finish(&cluster, writers).await;
}

/// Waits until a server says that messages of others come in, or that they do not.
pub(crate) async fn hears(server: &Api, whether: bool) {
    let line = format!("sambad_broker_connected {}\n", u8::from(whether));
    soon("word of the broker", async {
        while !server.get("/metrics").await.text.contains(&line) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Goal: without PostgreSQL reads and writes are answered 503, sessions stay open, and everything goes on when it is back.
/// Method: PostgreSQL stopped under load, once in order and once as by a crash, and started again.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_restarted() {
    let (mut cluster, writers, mut dashboards) = at_work().await;
    for crashes in [false, true] {
        if crashes {
            cluster.postgres.crash().await
        } else {
            cluster.postgres.stop().await
        }
        let [one, two, three] = &cluster.servers[..] else { panic!("three servers") };
        tokio::join!(refuses(one), refuses(two), refuses(three));
        cluster.postgres.start_again().await;
        writers.acknowledged(WRITES).await;
        for server in &cluster.servers {
            soon("server that writes again", writes(server)).await;
        }
        dashboards.caught_up(&cluster.client()).await;
    }
    assert_ne!(writers.retried(), 0, "nobody wrote while PostgreSQL was away");
    assert_eq!(dashboards.cuts(), 0, "sessions were cut");
    dashboards.finish(&cluster, writers).await;
}

/// Checks that a server without its database says so, and is alive.
async fn refuses(server: &Server) {
    let read = soon("answer to a read", server.api.get("/api/users")).await;
    read.refused(503, "unavailable");
    let write = soon("answer to a write", server.api.post("/api/users/login", json!({ "phone": "+442071838750" }))).await;
    write.refused(503, "unavailable");
    let health = soon("answer of health", server.api.get("/api/health")).await;
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("unhealthy")), "{health:?}");
    assert_eq!(server.api.get("/livez").await.status, 200);
}

/// Waits until a server takes writes; what it refuses meanwhile changes nothing.
async fn writes(server: &Server) {
    loop {
        let answer = server.api.post("/api/users/login", json!({ "phone": "+15550000002" })).await;
        match answer.status {
            200 => return,
            503 => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => panic!("{answer:?}"),
        }
    }
}

/// Goal: a server that stands still for long neither loses nor repeats anything when it goes on, though its writers have long
/// got their answers elsewhere. Method: SIGSTOP of one of three for ten seconds under load, then SIGCONT.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_stopped_and_goes_on() {
    let (cluster, writers, mut dashboards) = at_work().await;
    let stopped = &cluster.servers[2];
    stopped.signal("STOP").await;
    // The fault itself is a time.
    tokio::time::sleep(STOPPED).await;
    writers.acknowledged(WRITES).await;
    stopped.signal("CONT").await;
    writers.acknowledged(WRITES).await;
    dashboards.caught_up(&stopped.client()).await;
    assert_ne!(writers.retried(), 0, "nobody wrote to the server that was stopped");
    dashboards.finish(&cluster, writers).await;
}

/// Goal: servers can be replaced one after the other, and nobody loses anything. Method: SIGTERM to each in turn under load, and
/// a new one in its place.
#[tokio::test(flavor = "multi_thread")]
async fn servers_are_replaced_one_by_one() {
    let (mut cluster, writers, mut dashboards) = at_work().await;
    for server in &mut cluster.servers {
        server.terminate().await;
        writers.acknowledged(WRITES).await;
        server.start().await;
        writers.acknowledged(WRITES).await;
    }
    dashboards.caught_up(&cluster.client()).await;
    dashboards.finish(&cluster, writers).await;
}
