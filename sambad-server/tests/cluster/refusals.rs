//! What a server says that cannot start for what it was given, and what it never says.

use sambad_server::testing::{Database, Redis, free_port};

use crate::harness::process::{Process, run};

/// A password that no other text contains by chance.
const SECRET: &str = "hunter2-Zq7p";

/// Runs a server that must not start, and checks what it says: one line for people, with all of `words`, and the secret nowhere.
pub(crate) async fn refused(flags: &[&str], words: &[&str]) {
    refused_with(flags, &[], words).await;
}

/// As [`refused`], with these variables set.
pub(crate) async fn refused_with(flags: &[&str], variables: &[(&str, &str)], words: &[&str]) {
    let flags = [&["--listen", "127.0.0.1:0", "--log", "trace"], flags].concat();
    let output = run(&flags, variables).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{flags:?}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{flags:?}: {stderr}");
    assert_eq!(stderr.lines().last(), Some(errors[0]), "{flags:?}: something is said after the error");
    for word in words {
        assert!(errors[0].contains(word), "{flags:?}: no {word:?} in {:?}", errors[0]);
    }
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{flags:?}: the secret is told: {stdout}{stderr}");
    assert!(!stdout.contains("listening"), "{flags:?}: {stdout}");
}

/// A URL of the shared instance with another password or another database.
fn with(url: &str, password: Option<&str>, database: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, place) = rest.rsplit_once('@').unwrap();
    let (name, old) = user.split_once(':').unwrap();
    let (host, _) = place.split_once('/').unwrap();
    format!("{scheme}://{name}:{}@{host}/{database}", password.unwrap_or(old))
}

/// Goal: whoever starts a server on a database that it cannot have is told why in a sentence, and the password stays unsaid.
/// Method: a table, on a real PostgreSQL.
#[tokio::test]
async fn a_database_that_cannot_be_used_is_named() {
    let database = Database::new().await;
    refused(&["--database", &with(database.url(), Some(SECRET), "postgres")], &["password"]).await;
    refused(&["--database", &with(database.url(), None, "nowhere")], &["nowhere", "does not exist"]).await;
    let nobody = format!("postgres://sambad:{SECRET}@127.0.0.1:{}/sambad", free_port());
    refused(&["--database", &nobody], &["127.0.0.1", "cannot be reached"]).await;

    database.run("create table invoices (id bigint primary key)").await;
    refused(&["--database", database.url()], &["another program"]).await;
    let tables = database.run("select tablename from pg_tables where schemaname = 'public'").await;
    assert_eq!(tables, "invoices", "the database of another program was changed");
}

/// Goal: a URL that cannot be read is refused without being shown. Method: a table.
#[tokio::test]
async fn a_url_that_cannot_be_read_is_not_shown() {
    for url in [
        format!("postgres://sambad:{SECRET}@127.0.0.1:notaport/sambad"),
        format!("postgres://sambad:{SECRET}@[::1/sambad"),
        format!("postgres://sambad:{SECRET}@127.0.0.1/sambad?sslmode=perhaps"),
        format!("postgres://sambad:1/{SECRET}@127.0.0.1/sambad"),
        format!("postgres:sambad:{SECRET}@127.0.0.1/sambad"),
        format!("postgres:/sambad:{SECRET}@127.0.0.1/sambad"),
        format!("host=127.0.0.1 user=sambad password={SECRET}"),
    ] {
        refused(&["--database", &url], &["database"]).await;
    }
    let database = Database::new().await;
    for url in
        [format!("redis://:{SECRET}@127.0.0.1:notaport"), format!("http://:{SECRET}@127.0.0.1"), format!("redis://:{SECRET}@[")]
    {
        refused(&["--database", database.url(), "--redis", &url], &["edis"]).await;
    }
}

/// Goal: a Redis that does not let the server in is named at start, and so is one that only makes sense with PostgreSQL.
/// Method: a real Redis that asks for a password: none, a wrong one, and an embedded database beside it.
#[tokio::test]
async fn a_redis_that_cannot_be_used_is_named() {
    let (database, redis) = tokio::join!(Database::new(), Redis::start_with("opensesame"));
    let at = format!("redis://127.0.0.1:{}", redis.port());
    refused(&["--database", database.url(), "--redis", &at], &["Redis", "password"]).await;
    let wrong = format!("redis://:{SECRET}@127.0.0.1:{}", redis.port());
    refused(&["--database", database.url(), "--redis", &wrong], &["Redis", "password"]).await;

    let folder = tempfile::tempdir().unwrap();
    let sqlite = crate::harness::process::database(folder.path());
    refused(&["--database", &sqlite, "--redis", &wrong], &["PostgreSQL", "SQLite"]).await;
    assert!(!folder.path().join("sambad.db").exists(), "a database was made for nothing");
}

/// Goal: a server with its secrets in place never tells them. Method: a server that starts, at the most talkative, its settings
/// asked for, and its output searched.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_tells_no_secret() {
    let (database, redis) = tokio::join!(Database::new(), Redis::start_with(SECRET));
    let (_, rest) = database.url().split_once("://").unwrap();
    let (user, _) = rest.rsplit_once('@').unwrap();
    let password = user.split_once(':').unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let url = redis.url();
    let flags = ["--listen", "127.0.0.1:0", "--database", database.url(), "--redis", &url, "--log", "trace"];
    let server = Process::start_logged(&flags, &log).await;
    server.api.users(2).await;
    let printed = server.printed.join("\n");
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    let settings = run(&["--database", database.url(), "--redis", &url, "config"], &[]).await;
    let settings = String::from_utf8(settings.stdout).unwrap();
    assert!(settings.contains("redis"), "{settings}");
    // That of the log, in hexadecimal and as Rust shows bytes.
    let of_log = database.run("select encode(secret, 'hex') from log").await;
    let bytes: Vec<String> = (0..4).map(|n| u8::from_str_radix(&of_log[2 * n..2 * n + 2], 16).unwrap().to_string()).collect();
    let shown = format!("[{}, ", bytes.join(", "));
    for text in [printed, settings, std::fs::read_to_string(&log).unwrap()] {
        for line in text.lines() {
            let lower = line.to_lowercase();
            assert!(!lower.contains(&of_log) && !line.contains(&shown), "the log's secret is told: {line}");
            assert!(!line.contains(password) && !line.contains(SECRET), "a secret is told: {line}");
        }
    }
}

/// Goal: a password may come apart from the URL, as deploy/compose.yaml has it. Method: PostgreSQL's own variable, good and wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_come_in_a_variable() {
    let database = Database::new().await;
    let (user, place) = database.url().rsplit_once('@').unwrap();
    let (name, password) = user.rsplit_once(':').unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--database", &format!("{name}@{place}")];
    let server = Process::start_with(&flags, &[("PGPASSWORD", password)]).await;
    assert_eq!(server.api.users(1).await.len(), 1);
    let output = run(&flags, &[("PGPASSWORD", SECRET)]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(SECRET));
}
