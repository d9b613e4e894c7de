//! PostgreSQL and Redis over TLS: who is trusted, and what a server says that trusts nobody there.

use sambad_server::testing::{Database, Postgres, Redis};

use crate::faults::hears;
use crate::harness::process::Process;
use crate::harness::tls::Certificate;
use crate::refusals::{refused, refused_with};

/// Goal: every connection to PostgreSQL is encrypted when the URL says so, and one to an unknown PostgreSQL is not made.
/// Method: an instance that wants TLS, with the right authority, another's, and without TLS; its own list of connections.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_reached_over_tls() {
    let (folder, certificate) = (tempfile::tempdir().unwrap(), Certificate::new());
    let (trusted, _) = certificate.write(folder.path());
    let other = tempfile::tempdir().unwrap();
    let (stranger, _) = Certificate::new().write(other.path());
    let postgres = Postgres::start_with_tls(&certificate.pem, &certificate.key).await;
    postgres.create("sambad").await;
    let url = |query: &str| format!("{}?{query}", postgres.url("sambad"));

    let verified = url(&format!("sslmode=verify-full&sslrootcert={}", trusted.display()));
    let server = Process::start_with(&["--listen", "127.0.0.1:0", "--database", &verified], &[]).await;
    server.api.users(3).await;
    assert_eq!(server.api.get("/api/events?after=2&wait=20").await.json()["head"], 3);
    let connections = "select count(*) > 1, bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
        where datname = 'sambad' and application_name like 'sambad%'";
    assert_eq!(postgres.run("sambad", connections).await, "t|t");
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));

    let strange = url(&format!("sslmode=verify-full&sslrootcert={}", stranger.display()));
    refused(&["--database", &strange], &["sambad at 127.0.0.1", "certificate"]).await;
    refused(&["--database", &url("sslmode=disable")], &["sambad at 127.0.0.1", "pg_hba.conf", "sslmode"]).await;
}

/// Goal: events go from server to server by a Redis over TLS, and a Redis that is not trusted is named at start, as waiting does
/// not mend it. Method: two servers that trust it, one that does not, and one that cannot read
/// whom to trust.
#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_over_tls() {
    let (folder, certificate) = (tempfile::tempdir().unwrap(), Certificate::new());
    let (trusted, _) = certificate.write(folder.path());
    let trusting = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let (database, redis) = tokio::join!(Database::new(), Redis::start_with_tls(&certificate.pem, &certificate.key));
    let url = redis.url();
    let flags = ["--listen", "127.0.0.1:0", "--poll-interval", "10s", "--database", database.url(), "--redis", &url];
    let (one, other) = tokio::join!(Process::start_with(&flags, &trusting), Process::start_with(&flags, &trusting));
    tokio::join!(hears(&one.api, true), hears(&other.api, true));
    one.api.users(3).await;
    assert_eq!(other.api.get("/api/events?after=2&wait=5").await.json()["head"], 3, "polling alone takes 10 s");
    let metrics = other.api.get("/metrics").await.text;
    assert!(metrics.lines().any(|line| line == "sambad_broker_connected 1"), "{metrics}");

    let flags = ["--database", database.url(), "--redis", &url];
    refused(&flags, &["Redis", "TLS", "certificate"]).await;
    refused_with(&flags, &[("SSL_CERT_FILE", "/nowhere.pem")], &["Redis", "TLS", "/nowhere.pem"]).await;
}
