//! Whose schema a database has, when several servers start on it, or servers of several versions.

use std::path::Path;

use sambad_server::testing::Database;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;

use crate::harness::audit_shared;
use crate::harness::process::{Process, run};
use crate::world::SERVERS;

/// A migration that no version of Sambad has.
const FROM_THE_FUTURE: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    values (9999, 'later', true, '', 0)";

/// Goal: servers that are started at once on an empty database agree on its schema and on its log. Method: three of them, five
/// times over, then a write to each and the same log from all.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_agree() {
    for _ in 0..5 {
        let database = Database::new().await;
        let start = || async { Process::start_with(&["--listen", "127.0.0.1:0", "--database", database.url()], &[]).await };
        let (one, two, three) = tokio::join!(start(), start(), start());
        let servers = [one, two, three];
        for (i, server) in servers.iter().enumerate() {
            let answer = server.api.post("/api/users/login", serde_json::json!({ "phone": format!("+44207183875{i}") })).await;
            assert_eq!(answer.seq(), Some(i as u64 + 1));
        }
        let cursor = servers[0].api.cursor().await;
        assert!(cursor.ends_with(&format!("-{SERVERS}")), "{cursor}");
        for server in &servers {
            // What another server wrote may be on its way.
            let last = server.api.get("/api/events?after=2&wait=30").await.json();
            assert_eq!(last["events"][0]["seq"], SERVERS);
        }
        let log = audit_shared(&servers[0].api).await;
        for server in &servers {
            assert_eq!(server.api.cursor().await, cursor);
            assert_eq!(audit_shared(&server.api).await, log);
        }
        assert_eq!(database.run("select count(*) from log").await, "1");
    }
}

/// Goal: a database of an older version is brought up to date with what is in it. Method: the first migration alone, then a
/// server, which writes and reads.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_migrated() {
    let (database, folder) = (Database::new().await, tempfile::tempdir().unwrap());
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
    let first = "0001_log_and_rows.sql";
    std::fs::copy(migrations.join(first), folder.path().join(first)).unwrap();
    let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
    Migrator::new(folder.path()).await.unwrap().run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let epoch = database.run("select to_hex(epoch) from log").await;

    let server = Process::start_with(&["--listen", "127.0.0.1:0", "--database", database.url()], &[]).await;
    server.api.users(2).await;
    assert_eq!(audit_shared(&server.api).await.len(), 2);
    assert_eq!(server.api.cursor().await, format!("{epoch:0>8}-2"), "the log is another one");
    let files = std::fs::read_dir(&migrations).unwrap().count();
    assert_eq!(database.run("select count(*) from _sqlx_migrations").await, files.to_string());
}

/// Goal: a version that is too old for a database leaves it alone and says so. Method: a migration that no version knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    let database = Database::new().await;
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url()];
    let server = Process::start_with(&flags, &[]).await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    database.run(FROM_THE_FUTURE).await;
    let output = run(&flags, &[]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let error = stderr.lines().last().unwrap_or_default();
    assert!(error.starts_with("error: ") && error.contains("9999") && error.contains("newer"), "{error}");
}
