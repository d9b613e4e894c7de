//! PostgreSQL with a standby that does not answer, and PostgreSQL set back to an earlier moment.

use std::time::Duration;

use sambad_core::{Config, Fatal, Sambad};
use sambad_server::testing::{Database, Postgres, Proxy, Redis};
use sambad_server::{ServeError, ServerConfig, serve};
use serde_json::json;
use tokio::net::TcpListener;

use crate::faults::hears;
use crate::harness::process::Process;
use crate::harness::{Api, Dashboard, Ended, soon};

/// Exit code of a server that ended itself.
pub(crate) const ENDED: i32 = 3;

/// Goal: what a synchronous standby does not have is not acknowledged, though the primary has it, and is once the standby
/// answers. Method: a standby that there is not; a write, its end, and the same again.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_the_standby() {
    let postgres = Postgres::start().await;
    postgres.create("sambad").await;
    let server = Process::start_with(&["--listen", "127.0.0.1:0", "--database", &postgres.url("sambad")], &[]).await;
    server.api.users(1).await;
    let login = || server.api.post("/api/users/login", json!({ "phone": "+442071838750" }));

    postgres.run("sambad", "alter system set synchronous_standby_names = 'nobody'").await;
    postgres.run("sambad", "select pg_reload_conf()").await;
    // A COMMIT waits only from when PostgreSQL's checkpointer has read the setting. The one that waits ends with the setting.
    soon("a COMMIT that waits", async {
        let commit = || postgres.run("postgres", "create temporary table t ()");
        while tokio::time::timeout(Duration::from_secs(1), commit()).await.is_ok() {}
    })
    .await;
    login().await.refused(503, "unavailable");

    postgres.run("sambad", "alter system reset synchronous_standby_names").await;
    postgres.run("sambad", "select pg_reload_conf()").await;
    let answer = soon("answer to a write", login()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(postgres.run("sambad", "select count(*) from events").await, "2", "stored once");
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
}

/// Goal: events that readers have seen and that are gone are never replaced by others under their eyes: the log gets a new
/// epoch, and a cursor of before is refused. Method: the newest events taken out from under a server, as a disk that was put
/// back does; the server's end, and what the next one says to the old cursor.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_back_is_another_log() {
    let database = Database::new().await;
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url()];
    let mut server = Process::start_with(&flags, &[]).await;
    server.api.users(5).await;
    let cursor = server.api.cursor().await;
    let (epoch, secret) = (database.run("select epoch from log").await, database.run("select secret from log").await);
    database.run("with gone as (delete from events where seq > 3) update log set head = 3").await;
    let status = soon("end of the server", server.ends()).await;
    assert_eq!(status.code(), Some(ENDED), "it ends itself: {status:?}");
    assert_ne!(database.run("select epoch from log").await, epoch);
    assert_ne!(database.run("select secret from log").await, secret);

    let server = Process::start_with(&flags, &[]).await;
    server.api.get(&format!("/api/events?after={cursor}")).await.refused(410, "cursor_gone");
}

/// Goal: nothing is stored under numbers that readers have seen, also while nobody has noticed yet that the log went back.
/// Method: a server that looks at the head seldom, whose readers have seen what another wrote; that taken out, and a write before
/// the server looks.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_after_a_log_that_went_back() {
    let (database, redis) = tokio::join!(Database::new(), Redis::start());
    let url = redis.url();
    let flags = ["--listen", "127.0.0.1:0", "--poll-interval", "10s", "--database", database.url(), "--redis", &url];
    let (mut server, mut other) = tokio::join!(Process::start_with(&flags, &[]), Process::start_with(&flags, &[]));
    tokio::join!(hears(&server.api, true), hears(&other.api, true));
    server.api.users(3).await;
    other.api.users(5).await;
    assert_eq!(server.api.get("/api/events?after=4&wait=20").await.json()["head"], 5, "Redis brings events");
    other.child.kill().await.unwrap();
    let epoch = database.run("select epoch from log").await;
    database.run("with gone as (delete from events where seq > 3) update log set head = 3").await;
    server.api.post("/api/users/login", json!({ "phone": "+442071838750" })).await.refused(503, "unavailable");
    assert_eq!(database.run("select count(*) from events").await, "3", "nothing is stored");
    let status = soon("end of the server", server.ends()).await;
    assert_eq!(status.code(), Some(ENDED), "it ends itself: {status:?}");
    assert_ne!(database.run("select epoch from log").await, epoch);
    assert_eq!(database.run("select count(*) from events").await, "3", "nothing is stored");
}

/// Goal: whoever finds while it fills a hole that the log went back sees to a new epoch before it ends. Method: a server that
/// never looks at the head in this test's time; events that Redis does not bring it, taken out again before the next heartbeat
/// tells it of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_a_log_that_went_back_is_not_filled() {
    let (database, redis) = tokio::join!(Database::new(), Redis::start());
    let link = Proxy::to_port(redis.port()).await;
    let through_link = redis.url_at(link.address().port());
    let direct = redis.url();
    let flags = |redis| ["--listen", "127.0.0.1:0", "--poll-interval", "60s", "--database", database.url(), "--redis", redis];
    let mut server = Process::start_with(&flags(&through_link), &[]).await;
    let other = Process::start_with(&flags(&direct), &[]).await;
    tokio::join!(hears(&server.api, true), hears(&other.api, true));
    server.api.users(5).await;
    assert_eq!(other.api.get("/api/events?after=4&wait=20").await.json()["head"], 5, "Redis brings events");
    link.cut();
    other.api.users(8).await;
    let epoch = database.run("select epoch from log").await;
    database.run("with gone as (delete from events where seq > 3) update log set head = 3").await;
    link.heal();
    let status = soon("end of the server", server.ends()).await;
    assert_eq!(status.code(), Some(ENDED), "it ends itself: {status:?}");
    assert_ne!(database.run("select epoch from log").await, epoch);
}

/// Goal: a standby that took over is another life of the log to readers, whether or not it lacks anything: nobody can tell.
/// Method: a base backup that takes over with every event in it; the server's end, and what the next one says to the old cursor.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_has_another_log() {
    let mut postgres = Postgres::start().await;
    postgres.create("sambad").await;
    let url = postgres.url("sambad");
    let flags = ["--listen", "127.0.0.1:0", "--database", &url];
    let mut server = Process::start_with(&flags, &[]).await;
    server.api.users(3).await;
    let cursor = server.api.cursor().await;
    let backup = postgres.base_backup().await;
    postgres.fail_over_to(backup).await;
    let status = soon("end of the server", server.ends()).await;
    assert_eq!(status.code(), Some(ENDED), "it ends itself: {status:?}");

    let server = Process::start_with(&flags, &[]).await;
    server.api.get(&format!("/api/events?after={cursor}")).await.refused(410, "cursor_gone");
    assert_eq!(server.api.get("/api/events?after=0").await.json()["head"], 3, "nothing was lost");
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
}

/// Goal: a program that embeds the server outlives a log that went back: `serve` returns the reason, sessions are closed, and the
/// program serves anew. Method: the newest events taken out from under a server in this process, with a live session; then another.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_the_server_outlives_a_log_that_went_back() {
    let database = Database::new().await;
    let start = async || {
        let sambad = Sambad::open(Config::new(database.url())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(serve(listener, sambad, ServerConfig::default(), std::future::pending()));
        (served, address, Api::new(&format!("http://{address}")))
    };
    let (served, address, api) = start().await;
    api.users(5).await;
    let cursor = api.cursor().await;
    let mut dashboard = Dashboard::connect(address, "").await;
    database.run("with gone as (delete from events where seq > 3) update log set head = 3").await;
    let ended = soon("end of the server", served).await.unwrap();
    assert!(matches!(ended, Err(ServeError::Stopped(Fatal::LogReplaced { .. }))), "{ended:?}");
    assert!(matches!(soon("close", dashboard.ended()).await, Ended::Closed(4000, _)));

    let (served, _, api) = start().await;
    api.get(&format!("/api/events?after={cursor}")).await.refused(410, "cursor_gone");
    assert_eq!(api.get("/livez").await.status, 200);
    served.abort();
}
