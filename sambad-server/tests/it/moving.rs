//! `migrate`, `copy` and `epoch`, as an operator runs them.

use std::path::Path;
use std::process::{Output, Stdio};

use futures_util::future::join_all;
use sambad_server::testing::Database;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::process::Command;

use crate::harness::process::{Process, database, run};
use crate::harness::{Dashboard, audit, soon};

/// More rows than go into three portions; those of one table, since nothing refers to them.
const MANY_KEYS: &str = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 20000)
    insert into idempotency_keys select printf('key-%06d', i), 'f', '{}', null, i from n";

/// What a command came to: its exit code, stdout and stderr.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn command(args: &[&str]) -> (Option<i32>, String, String) {
    told(&run(args, &[]).await)
}

async fn serve(database: &str) -> Process {
    Process::start_with(&["--listen", "127.0.0.1:0", "--database", database], &[]).await
}

async fn stop(server: Process) {
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
}

async fn tamper(directory: &Path, statement: &'static str) {
    let mut connection = SqliteConnection::connect(&database(directory)).await.expect("the database opens");
    sqlx::raw_sql(statement).execute(&mut connection).await.expect("the statement runs");
    connection.close().await.expect("the database closes");
}

/// Goal: dashboards and apps notice nothing of a move but a pause. Method: a server on SQLite, a copy, a server on PostgreSQL: an old
/// cursor goes on without resync and misses nothing, a key replays its first answer, all is sound; data on stdout, talk on stderr,
/// the password on neither; a second copy is refused.
#[tokio::test]
async fn a_move_keeps_cursors_and_answers() {
    let (directory, target) = (tempfile::tempdir().expect("a temporary directory"), Database::new().await);
    let (from, to) = (database(directory.path()), target.url());
    let server = serve(&from).await;
    let users = server.api.users(3).await;
    let cursor = server.api.cursor().await;
    server.api.add_contact(&users[0], &users[1]).await;
    let message = json!({ "fromUserId": users[0], "toUserId": users[1], "content": "once" });
    let key = [("idempotency-key", "before-the-move")];
    let first = server.api.post_with("/api/messages", &key, &message).await;
    let in_use = command(&["copy", "--from", &from, "--to", to]).await;
    assert!(in_use.0 == Some(1) && in_use.2.contains("is in use by another server"), "{in_use:?}");
    stop(server).await;

    let (code, stdout, stderr) = command(&["copy", "--from", &from, "--to", to]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [["users", "3"], ["contacts", "1"], ["messages", "1"], ["events", "5"], ["idempotency_keys", "1"], ["audit", "0"]]
    {
        assert!(rows.iter().any(|found| *found == row), "{row:?}: {stdout}");
    }
    let (epoch, _) = cursor.split_once('-').expect("a cursor has an epoch");
    assert!(stdout.contains(&format!("rows; head 5, epoch {epoch}; ")), "{stdout}");
    assert!(stderr.contains("events: 5 rows, the same") && !stdout.contains("the same"), "{stderr}");
    let (code, stdout, stderr) = command(&["copy", "--from", &from, "--to", to]).await;
    assert!(code == Some(1) && stdout.is_empty() && stderr.contains("already has rows in users"), "{stdout}{stderr}");
    assert!(stderr.contains(":(redacted)@") && !stderr.contains(to), "{stderr}");

    let server = serve(to).await;
    let mut dashboard = Dashboard::connect(server.address, &format!("after={cursor}")).await;
    assert_eq!(dashboard.seqs(2).await, [4, 5]);
    let again = server.api.post_with("/api/messages", &key, &message).await;
    assert_eq!((again.status, &again.text, again.header("idempotent-replayed")), (first.status, &first.text, Some("true")));
    server.api.user("+919999999999").await;
    assert_eq!(dashboard.seqs_past_live(1).await, [6]);
    assert_eq!(audit(&server.api).await.len(), 6);
    stop(server).await;
    let (code, stdout, stderr) = command(&["check", "--listen", "127.0.0.1:0", "--database", to]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

/// Goal: a copy that is killed leaves a database that no server starts on, and goes on when it is run again. Method: one that waits
/// for a row that somebody else is about to write, two portions in; SIGKILL; the end of it as of any other.
#[tokio::test]
async fn a_killed_copy_goes_on() {
    let (directory, target) = (tempfile::tempdir().expect("a temporary directory"), Database::new().await);
    let (from, to) = (database(directory.path()), target.url());
    let server = serve(&from).await;
    server.api.users(3).await;
    stop(server).await;
    tamper(directory.path(), MANY_KEYS).await;
    let migrated = command(&["migrate", "--database", to]).await;
    assert_eq!(migrated.0, Some(0), "{migrated:?}");
    let options: PgConnectOptions = to.parse().expect("a URL");
    let mut other = options.connect().await.expect("PostgreSQL answers");
    other.execute("begin; insert into idempotency_keys values ('key-012000', 'f', '{}', null, now())").await.expect("a row");

    let mut copy = Command::new(env!("CARGO_BIN_EXE_sambad-server"));
    copy.args(["copy", "--from", &from, "--to", to]).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut copy = copy.spawn().expect("the binary starts");
    let mut looking = options.connect().await.expect("PostgreSQL answers");
    soon("copy that waits for the row", async {
        while waiting(&mut looking).await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    copy.kill().await.expect("it runs");
    other.execute("rollback").await.expect("the row goes");
    let there: i64 = sqlx::query_scalar("select count(*) from idempotency_keys").fetch_one(&mut looking).await.expect("a count");
    assert!((10_000..20_000).contains(&there), "{there}");
    let (code, _, stderr) = command(&["--listen", "127.0.0.1:0", "--database", to]).await;
    assert!(code == Some(1) && stderr.contains("is incomplete: run it again"), "{stderr}");
    let (code, _, stderr) = command(&["check", "--listen", "127.0.0.1:0", "--database", to]).await;
    assert!(code == Some(1) && stderr.contains("is incomplete: run it again"), "{stderr}");

    let (code, stdout, stderr) = command(&["copy", "--from", &from, "--to", to]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(" of them by an earlier run; head 3, ") && stdout.contains("20000"), "{stdout}");
    let server = serve(to).await;
    assert_eq!(audit(&server.api).await.len(), 3);
    stop(server).await;
}

/// How many copies wait for a lock.
async fn waiting(connection: &mut PgConnection) -> i64 {
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'sambad copy' and wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(connection).await.expect("PostgreSQL tells")
}

/// The number of the last migration that this version knows.
fn last_migration() -> i64 {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres");
    let names = std::fs::read_dir(folder).expect("there are migrations").map(|entry| entry.expect("entries").file_name());
    let numbers = names.filter_map(|name| name.to_str()?.split_once('_')?.0.parse().ok());
    numbers.max().expect("there are migrations")
}

/// Goal: a deployment can ask for the schema, and bring it up to date, in one line each. Method: an empty database, three who migrate
/// it at once, a current one, and one of a newer version; a file beside its server.
#[tokio::test]
async fn schemas_are_told_in_one_line() {
    let (directory, target) = (tempfile::tempdir().expect("a temporary directory"), Database::new().await);
    let (file, url, last) = (database(directory.path()), target.url(), last_migration());
    for database in [&*file, url] {
        let (code, stdout, stderr) = command(&["migrate", "--check", "--database", database]).await;
        assert_eq!((code, &*stdout), (Some(1), &*format!("schema: migration 0, this version knows {last}\n")), "{stderr}");
        assert!(stderr.contains("run `sambad-server migrate` to update it"), "{stderr}");
    }
    assert!(!directory.path().join("sambad.db").exists(), "looking changes nothing");
    let migrate = ["migrate", "--database", url];
    let at_once = join_all((0..3).map(|_| command(&migrate))).await;
    assert!(at_once.iter().all(|(code, ..)| *code == Some(0)), "{at_once:?}");
    assert!(at_once.iter().any(|(_, stdout, _)| *stdout == format!("schema: migration {last}, was 0\n")), "{at_once:?}");
    let server = serve(&file).await;
    for database in [&*file, url] {
        let (code, stdout, stderr) = command(&["migrate", "--check", "--database", database]).await;
        assert_eq!((code, &*stdout, &*stderr), (Some(0), &*format!("schema: migration {last}, current\n"), ""));
    }
    let (code, stdout, stderr) = command(&["migrate", "--database", &file]).await;
    assert!(code == Some(1) && stdout.is_empty() && stderr.contains("is in use by another server"), "{stdout}{stderr}");
    stop(server).await;
    target.run(&format!("update _sqlx_migrations set version = 99 where version = {last}")).await;
    let (code, stdout, stderr) = command(&["migrate", "--check", "--database", url]).await;
    assert_eq!((code, &*stdout), (Some(1), &*format!("schema: migration 99, this version knows {last}\n")));
    assert!(stderr.contains("use a newer version of Sambad"), "{stderr}");
    let (code, stdout, stderr) = command(&["migrate", "--database", url]).await;
    assert!(
        code == Some(1) && stdout.is_empty() && stderr.contains(&format!("knows only {last}: use a newer version")),
        "{stderr}"
    );
}

/// Goal: after a restore that lost events, clients are told instead of missing some. Method: a dashboard's cursor from before its
/// epoch was renewed; refused while a server runs; without --renew nothing changes.
#[tokio::test]
async fn a_renewed_epoch_is_told_to_dashboards() {
    let target = Database::new().await;
    let url = target.url();
    let server = serve(url).await;
    server.api.users(2).await;
    let cursor = server.api.cursor().await;
    let (code, _, stderr) = command(&["epoch", "--renew", "--database", url]).await;
    assert!(code == Some(1) && stderr.contains("is in use by servers"), "{stderr}");
    let (code, stdout, stderr) = command(&["epoch", "--database", url]).await;
    assert!(code == Some(0) && stdout.contains(&format!("the head is {cursor}\n")), "{stdout}{stderr}");
    stop(server).await;
    let (code, stdout, stderr) = command(&["epoch", "--renew", "--database", url]).await;
    assert!(code == Some(0) && stdout.contains("readers with an older cursor get a resync"), "{stdout}{stderr}");
    let server = serve(url).await;
    let mut dashboard = Dashboard::connect(server.address, &format!("after={cursor}")).await;
    assert_eq!(dashboard.expect("resync").await["data"]["reason"], "epoch_changed");
    stop(server).await;
}
