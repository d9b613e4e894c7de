//! A pooler between the servers and PostgreSQL: PgBouncer in session mode serves, its other modes are refused.

use std::path::Path;
use std::time::Duration;

use sambad_server::testing::{Database, Loses, PgBouncer, Postgres, Proxy};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::task::JoinSet;

use crate::faults::hears;
use crate::harness::process::{Process, run};
use crate::harness::{Dashboard, audit_shared, soon};
use crate::refusals::refused;

/// What the refusal of a pooler says.
const REFUSED: [&str; 2] = ["goes through a pooler in transaction or statement mode", "pool_mode = session"];
/// Connections that a pool has beside those of a server that starts.
const CROWD: usize = 5;
/// Between two looks at what takes a while.
const PAUSE: Duration = Duration::from_millis(50);

async fn serve(database: &str) -> Process {
    Process::start_with(&["--listen", "127.0.0.1:0", "--database", database], &[]).await
}

async fn stop(server: Process) {
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
}

async fn succeeds(args: &[&str]) -> String {
    let output = run(args, &[]).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{args:?}: {stdout}{stderr}");
    stdout.into_owned()
}

async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None).connect().await.unwrap()
}

/// Goal: servers and commands do all through PgBouncer in session mode, with its defaults. Method: the schema made, two servers that
/// hear each other by LISTEN, rows and events read on the other one; settings and names as PostgreSQL sees them; commands beside
/// the servers and after them.
#[tokio::test(flavor = "multi_thread")]
async fn servers_run_behind_pgbouncer() {
    let database = Database::new().await;
    let bouncer = PgBouncer::start(database.url(), "session").await;
    let url = bouncer.url();
    succeeds(&["migrate", "--database", &url]).await;
    let (one, two) = (serve(&url).await, serve(&url).await);
    let mut dashboard = Dashboard::connect(two.address, "after=0").await;
    hears(&two.api, true).await;
    let users = one.api.users(2).await;
    one.api.add_contact(&users[0], &users[1]).await;
    one.api.send_message(&users[0], &users[1], "hello").await;
    assert_eq!(dashboard.seqs_past_live(4).await, [1, 2, 3, 4]);
    assert_eq!(two.api.get(&format!("/api/messages?userId={}", users[1])).await.json()[0]["content"], "hello");
    let names = "select string_agg(distinct split_part(application_name, ' ', 2), ' ') from pg_stat_activity
        where datname = current_database() and application_name like 'sambad %'";
    assert_eq!(database.run(names).await, "notices reader writer");

    succeeds(&["check", "--listen", "127.0.0.1:0", "--database", &url]).await;
    succeeds(&["migrate", "--check", "--database", &url]).await;
    succeeds(&["admin", "list", "--database", &url]).await;
    let renewed = run(&["epoch", "--renew", "--database", &url], &[]).await;
    assert!(String::from_utf8_lossy(&renewed.stderr).contains("is in use by servers"), "{renewed:?}");
    assert_eq!(audit_shared(&one.api).await.len(), 4);
    stop(one).await;
    stop(two).await;
    // What they left to others in the pool is neither theirs nor their locks.
    succeeds(&["epoch", "--renew", "--database", &url]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = crate::harness::process::database(folder.path());
    succeeds(&["copy", "--from", &url, "--to", &file]).await;
    let server = serve(&url).await;
    assert_eq!(audit_shared(&server.api).await.len(), 4);
    stop(server).await;
}

/// Goal: a COMMIT whose answer, or which itself, is lost before PgBouncer is looked up. Method: a link that breaks at COMMIT.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_commit_is_looked_up_behind_pgbouncer() {
    let database = Database::new().await;
    let bouncer = PgBouncer::start(database.url(), "session").await;
    let link = Proxy::to_port(bouncer.port()).await;
    let server = serve(&bouncer.url_at(link.address().port())).await;
    for (n, loses) in [Loses::Answer, Loses::Question, Loses::Answer, Loses::Question].into_iter().enumerate() {
        link.break_at(b"commit\0", loses);
        server.api.user(&format!("+91900000000{n}")).await;
        soon("COMMIT that was lost", link.broken()).await;
    }
    let log = audit_shared(&server.api).await;
    assert_eq!(log.len(), 4, "{log:?}");
    stop(server).await;
}

/// Goal: a server that stands still in the middle of a batch holds the others no longer than without a pooler. Method: one whose
/// last statement waits for the head row is stopped, gets the row, and does not go on; another one's write is acknowledged,
/// because PostgreSQL ended the first one's transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_holds_nobody_up_behind_pgbouncer() {
    let postgres = Postgres::start().await;
    postgres.create("sambad").await;
    let bouncer = PgBouncer::start(&postgres.url("sambad"), "session").await;
    let (stopped, other) = (serve(&bouncer.url()).await, serve(&bouncer.url()).await);
    let mut holder = connect(&postgres.url("sambad")).await;
    holder.execute("begin; select from log for update").await.unwrap();
    let api = stopped.api.clone();
    let unanswered = tokio::spawn(async move { api.try_post("/api/users/login", &json!({ "phone": "+919000000001" })).await });
    let waiting = "select count(*) from pg_stat_activity
        where application_name like 'sambad writer %' and wait_event_type = 'Lock'";
    soon("batch that waits for the head row", async {
        while postgres.run("sambad", waiting).await != "1" {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    stopped.signal("STOP").await;
    holder.execute("rollback").await.unwrap();
    other.api.user("+919000000002").await;
    let ended = "terminating connection due to idle-in-transaction timeout";
    soon("PostgreSQL's word that it ended the transaction", async {
        while !postgres.log().contains(ended) {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    stopped.signal("CONT").await;
    // Whether its batch was begun anew or refused, the log has no hole.
    let _ = soon("answer of the one that goes on", unanswered).await;
    stopped.api.user("+919000000003").await;
    assert_eq!(postgres.run("sambad", "select min(seq) = 1 and max(seq) = count(*) from events").await, "t");
    stop(stopped).await;
    stop(other).await;
}

/// Goal: a pooler that shares connections is refused by servers and commands, in a sentence, before anything is changed. Method:
/// PgBouncer in both modes, with its defaults, with one connection, and with a crowd of connections that others used or use, given
/// out in either order.
#[tokio::test(flavor = "multi_thread")]
async fn shared_connections_are_refused() {
    let database = Database::new().await;
    let settings = ["", "default_pool_size = 1", "server_round_robin = 1"];
    for (mode, settings) in
        [("statement", ""), ("transaction", settings[0]), ("transaction", settings[1]), ("transaction", settings[2])]
    {
        let bouncer = PgBouncer::start_with(database.url(), mode, settings).await;
        let url = bouncer.url();
        refused(&["--database", &url], &REFUSED).await;
        if (mode, settings) == ("transaction", "") {
            for command in [&["migrate"][..], &["migrate", "--check"], &["check"], &["epoch", "--renew"], &["admin", "list"]] {
                refused_command(&[command, &["--database", &url]].concat()).await;
            }
            let folder = tempfile::tempdir().unwrap();
            let file = left_behind(folder.path()).await;
            refused_command(&["copy", "--from", &file, "--to", &url]).await;
        }
        if mode == "transaction" && settings != "default_pool_size = 1" {
            let mut crowd = Vec::new();
            for _ in 0..CROWD {
                let mut client = connect(&url).await;
                client.execute("begin").await.unwrap();
                crowd.push(client);
            }
            refused(&["--database", &url], &REFUSED).await;
            for client in &mut crowd {
                client.execute("rollback").await.unwrap();
            }
            refused(&["--database", &url], &REFUSED).await;
            let busy: JoinSet<()> = crowd.into_iter().map(keep_busy).collect();
            refused(&["--database", &url], &REFUSED).await;
            drop(busy);
        }
    }
    let tables = database.run("select count(*) from pg_tables where schemaname = 'public'").await;
    assert_eq!(tables, "0", "the schema was made");
}

/// Uses a connection of the pool again and again.
async fn keep_busy(mut client: PgConnection) {
    while client.execute("select pg_sleep(0.003)").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An SQLite database with one user.
async fn left_behind(folder: &Path) -> String {
    let server = Process::start(folder).await;
    server.api.user("+919000000001").await;
    stop(server).await;
    crate::harness::process::database(folder)
}

async fn refused_command(args: &[&str]) {
    let output = run(args, &[]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    assert!(REFUSED.iter().all(|word| stderr.contains(word)), "{args:?}: {stderr}");
}

/// Goal: a pooler that begins to share connections while servers run is named in the log, and nothing is written through it; all goes
/// on when it is as it was. Method: PgBouncer restarted in transaction mode, and in session mode.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_changes_its_mode_is_noticed() {
    let database = Database::new().await;
    let mut bouncer = PgBouncer::start(database.url(), "session").await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let flags = ["--listen", "127.0.0.1:0", "--database", &bouncer.url()];
    let server = Process::start_logged(&flags, &log).await;
    server.api.user("+919000000001").await;
    bouncer.restart("transaction").await;
    let login = |number: u32| server.api.post("/api/users/login", json!({ "phone": format!("+9190000000{number:02}") }));
    // A failure that lasts is logged every ten seconds.
    soon("line that names the pooler", async {
        while !std::fs::read_to_string(&log).unwrap().contains(REFUSED[0]) {
            login(2).await.refused(503, "unavailable");
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    assert_eq!(database.run("select head from log").await, "1");
    bouncer.restart("session").await;
    soon("server that writes again", async {
        while login(2).await.status != 200 {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    assert_eq!(audit_shared(&server.api).await.len(), 2);
    stop(server).await;
}
