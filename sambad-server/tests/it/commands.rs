//! `check`, `backup` and `restore`, as an operator runs them.

use std::path::Path;
use std::process::Output;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::process::{Process, database, run};
use crate::harness::tls::Certificate;
use crate::harness::{Dashboard, audit, soon};

/// What a command came to: its exit code, stdout and stderr.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn check(directory: &Path, listen: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let database = database(directory);
    told(&run(&[&["check", "--listen", listen, "--database", &database], more].concat(), &[]).await)
}

/// A database with a few events in it, left by a server that has ended.
async fn left_behind() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start(directory.path()).await;
    let users = server.api.users(3).await;
    server.api.add_contact(&users[0], &users[1]).await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    directory
}

/// Goal: users whose phone is another spelling of a number are listed with whoever has the number itself, while the server runs.
/// Method: users as an older version stored them, through the shipped command.
#[tokio::test]
async fn spellings_of_one_number_are_listed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start(directory.path()).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(server.api.user(&format!("+91987654321{n}")).await);
    }
    // A file that a server has open takes another writer's row, as long as nobody else writes.
    let mut connection = SqliteConnection::connect(&database(directory.path())).await.expect("the database opens");
    for (n, spelling) in [(1, "+9109876543210"), (2, "+91919876543210"), (3, "+9109000000000")] {
        let spell = sqlx::query("update users set phone = $1 where id = $2").bind(spelling).bind(&ids[n]);
        assert_eq!(spell.execute(&mut connection).await.expect("the statement runs").rows_affected(), 1);
    }
    connection.close().await.expect("the database closes");
    let (code, stdout, stderr) = check(directory.path(), "127.0.0.1:0", &["--phones"]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let expected = [
        format!("+919000000000  stored as +9109000000000 of user {}", ids[3]),
        format!("+919876543210  stored as +9109876543210 of user {}, and as +919876543210 of user {}", ids[1], ids[0]),
        format!("+919876543210  stored as +91919876543210 of user {}, and as +919876543210 of user {}", ids[2], ids[0]),
        "3 users have another spelling of their number; for 2 of them, a second user has the number itself".into(),
    ];
    assert_eq!(stdout.lines().collect::<Vec<_>>(), expected);
    server.terminate().await;
}

async fn tamper(directory: &TempDir, statement: &'static str) {
    let mut connection = SqliteConnection::connect(&database(directory.path())).await.expect("the database opens");
    sqlx::raw_sql(statement).execute(&mut connection).await.expect("the statement runs");
    connection.close().await.expect("the database closes");
}

/// Goal: a sound database and machine are said to be so, line by line, also while the server runs. Method: the real commands.
#[tokio::test]
async fn check_finds_nothing_wrong_where_nothing_is() {
    let directory = left_behind().await;
    let (code, stdout, stderr) = check(directory.path(), "127.0.0.1:0", &[]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for subject in ["file is sound", "log is dense", "rows = events", "counters = rows", "descriptors", "port", "disk has space"]
    {
        assert!(stdout.lines().any(|line| !line.starts_with("FAULT") && line.contains(subject)), "{subject}: {stdout}");
    }
    assert!(stdout.contains("4 events, 1 to 4, none missing"), "{stdout}");
    let server = Process::start(directory.path()).await;
    let (code, stdout, stderr) = check(directory.path(), &server.address.to_string(), &[]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("a Sambad server responds at"), "{stdout}");
}

/// Goal: what is wrong is named with what to do, exit code 1; repair mends counters and says what it does; other faults stay.
/// Method: wrong counters, then a hole in the log; a port that another program has.
#[tokio::test]
async fn check_names_what_is_wrong_and_repairs_counters() {
    let directory = left_behind().await;
    tamper(&directory, "update log set users = 99").await;
    let (code, stdout, stderr) = check(directory.path(), "127.0.0.1:0", &[]).await;
    assert_eq!(code, Some(1));
    assert!(stdout.contains("users is 99, but there are 3") && stdout.contains("--repair"), "{stdout}");
    assert!(stderr.starts_with("error: 1 of "), "{stderr}");
    let (code, stdout, stderr) = check(directory.path(), "127.0.0.1:0", &["--repair"]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("repair: recounts the rows"), "{stdout}");

    tamper(&directory, "delete from events where seq = 2").await;
    let (code, stdout, _) = check(directory.path(), "127.0.0.1:0", &["--repair"]).await;
    assert_eq!(code, Some(1));
    assert!(stdout.contains("3 events from 1 to 4: 2 is missing") && stdout.contains("restore the last backup"), "{stdout}");

    assert!(stdout.contains("not repaired: correct the other faults first"), "{stdout}");

    let other = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = other.local_addr().expect("an address").to_string();
    let (code, stdout, _) = check(left_behind().await.path(), &address, &[]).await;
    assert_eq!(code, Some(1));
    assert!(stdout.contains(&format!("another program listens on {address}")), "{stdout}");
    let (code, _, stderr) = check(Path::new("/nonexistent"), "127.0.0.1:0", &[]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("database /nonexistent/sambad.db does not exist"), "{stderr}");
}

/// Goal: a backup taken from a running server restores to its events in a new life, of which old dashboards are told.
/// Method: backup, more writes, restore beside it, a dashboard that resumes there with its old cursor.
#[tokio::test]
async fn a_backup_is_restored_as_another_life() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start(directory.path()).await;
    server.api.users(5).await;
    let cursor = server.api.cursor().await;
    let file = directory.path().join("copy.db");
    let file = file.to_str().expect("a path in UTF-8");
    let (code, stdout, stderr) = told(&run(&["backup", file, "--database", &database(directory.path())], &[]).await);
    assert_eq!((code, stdout), (Some(0), format!("{file}: has everything up to {cursor}\n")), "{stderr}");
    let (code, _, stderr) = told(&run(&["backup", file, "--database", &database(directory.path())], &[]).await);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("copy.db exists: move it away, or choose another file"), "{stderr}");
    server.api.user("+919999999999").await;

    let other = tempfile::tempdir().expect("a temporary directory");
    let (code, stdout, stderr) = told(&run(&["restore", file, "--database", &database(other.path())], &[]).await);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("readers with an older cursor get a resync"), "{stdout}");
    let restored = Process::start(other.path()).await;
    assert_eq!(audit(&restored.api).await.len(), 5);
    let mut dashboard = Dashboard::connect(restored.address, &format!("after={cursor}")).await;
    assert_eq!(dashboard.expect("resync").await["data"]["reason"], "epoch_changed");
}

/// Goal: a health check that has no program but the server's own can tell a server that is well from one that is not. Method: the
/// command against a server, also over TLS, against one that drains, and against nobody.
#[tokio::test]
async fn health_asks_the_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (cert, key) = Certificate::new().write(directory.path());
    let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    for more in [&[][..], &tls[..]] {
        let database = database(directory.path());
        let flags = ["--listen", "127.0.0.1:0", "--database", &database, "--drain-delay", "30s"];
        let server = Process::start_with(&[&flags, more].concat(), &[]).await;
        let listen = server.address.to_string();
        let ask = async |url: &[&str]| {
            let flags = [&["--listen", &listen], more, &["health"], url].concat();
            told(&run(&flags, &[]).await)
        };
        let scheme = if more.is_empty() { "http" } else { "https" };
        let (code, stdout, stderr) = ask(&[]).await;
        assert_eq!((code, stdout), (Some(0), format!("{scheme}://{listen}/livez returns 200 OK\n")), "{stderr}");
        if more.is_empty() {
            let ready = format!("http://{listen}/readyz");
            assert_eq!(ask(&[&ready]).await.0, Some(0));
            server.terminate().await;
            soon("drain", async { while ask(&[&ready]).await.0 != Some(1) {} }).await;
            assert_eq!(ask(&[]).await.0, Some(0), "a server that drains is alive");
        }
        drop(server);
        let (code, stdout, stderr) = ask(&[]).await;
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("does not respond"), "{stderr}");
    }
}
