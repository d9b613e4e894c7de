//! A database moved into another one: everything, once, whatever comes in between.

use std::sync::Arc;

use sambad_core::access::{AccessChange, AccessOutcome};
use sambad_core::maintenance::{self, Copied, CopyStep};
use sambad_core::{After, Config, Cursor, Error, Filter, Sambad, Timestamp};
use tokio::sync::Notify;

use crate::filled::{Filled, PASSWORD_HASH, actor, contents, key, url};
use crate::harness::{Database, Servers, assert_sound, collect, login};

/// More rows of one table than go into one portion, in no order of time.
const MANY_KEYS: &str = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 12000)
    insert into idempotency_keys select hex(randomblob(8)), 'f', '{}', null, i from n";

async fn copy(from: &str, to: &str) -> Result<Copied, Error> {
    maintenance::copy(from, to, &mut |_| {}).await
}

/// As `copy`, given up at the first rest after so many steps; `None` if it was.
async fn copy_until(from: &str, to: &str, steps: usize) -> Option<Result<Copied, Error>> {
    let reached = Arc::new(Notify::new());
    let (told, mut left) = (Arc::clone(&reached), steps);
    let mut progress = move |_| {
        left = left.saturating_sub(1);
        if left == 0 {
            told.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = reached.notified() => None,
        done = maintenance::copy(from, to, &mut progress) => Some(done),
    }
}

async fn refused(from: &str, to: &str, sentence: &str) {
    let refused = copy(from, to).await.unwrap_err().to_string();
    assert!(refused.contains(sentence), "{refused} should say {sentence}");
}

async fn does_not_start(url: &str) {
    let refused = Sambad::open(Config::new(url)).await.unwrap_err().to_string();
    assert!(refused.contains("is incomplete: run it again"), "{refused}");
}

/// Goal: everything arrives, there and back. Method: rows of every kind to PostgreSQL and from there into another file, which must
/// hold what the first one does; both examined; then nothing that is there is written over.
#[tokio::test]
async fn a_copy_holds_everything() {
    let (source, target, back) = (Filled::new().await, Database::new().await, tempfile::tempdir().unwrap());
    let copied = copy(&source.url(), &target.url).await.unwrap();
    assert_eq!((copied.bounds, copied.found), (source.bounds, 0));
    assert!(copied.tables.len() == 14 && copied.tables.iter().all(|(_, rows)| *rows > 0), "{copied:?}");
    assert_sound(&target.url).await;
    let again = copy(&target.url, &url(&back)).await.unwrap();
    assert_eq!(again, copied);
    assert_sound(&url(&back)).await;
    assert_eq!(contents(&url(&back)).await, contents(&source.url()).await);
    refused(&source.url(), &target.url, "already has rows in users: copy into an empty database").await;
    refused(&target.url, &url(&back), "already has rows in users: copy into a new file").await;
}

/// Goal: clients do not notice. Method: a core on the target: an old cursor goes on without resync and sees each event once, new
/// ones included; keys replay their answers; sessions, tokens, revocations and the audit log go on where they were.
#[tokio::test]
async fn readers_go_on_where_they_were() {
    let (source, target) = (Filled::new().await, Database::new().await);
    copy(&source.url(), &target.url).await.unwrap();
    let sambad = Sambad::open(Config::new(&target.url)).await.unwrap();
    assert_eq!(sambad.bounds(), source.bounds);
    let mut subscription = sambad.subscribe(Some(After::Cursor(source.cursor)), Filter::default()).await.unwrap();
    for (command, name, receipt) in &source.answered {
        let again = sambad.execute(command.clone(), Some(key(name))).await.unwrap();
        assert!(again.replayed);
        assert_eq!((&again.outcome, again.seq), (&receipt.outcome, receipt.seq));
    }
    let head = source.bounds.head.0;
    assert_eq!(sambad.execute(login(999), None).await.unwrap().seq.map(|seq| seq.0), Some(head + 1));
    assert_eq!(collect(&mut subscription, 11).await, (head - 9..=head + 1).collect::<Vec<_>>());

    assert_eq!(sambad.admin("root@example.com", "elsewhere").await.unwrap().unwrap().password_hash, PASSWORD_HASH);
    assert!(sambad.admin_session("cookie").await.unwrap().is_some());
    assert!(sambad.knows_refresh_token("second").await.unwrap());
    let before = sambad.revocations(0, 100).await.unwrap();
    let next = AccessChange::Revoke { id: "token-4".into(), expires_at: Timestamp::from_micros(i64::MAX / 4) };
    assert_eq!(sambad.change_access(next, actor()).await.unwrap(), AccessOutcome::Done);
    let after = sambad.revocations(0, 100).await.unwrap();
    // One number is left out: its row was gone before the copy.
    let (last, new) = (before.last().unwrap(), after.last().unwrap());
    assert_eq!((after.len(), new.n, new.id.as_str()), (before.len() + 1, last.n + 2, "token-4"));
    sambad.shutdown().await;
    assert_sound(&target.url).await;
}

/// Goal: a copy that is cut short goes on, wherever that was, and no server starts meanwhile. Method: one given up further and
/// further on, in both directions; the result as of one in one go.
#[tokio::test]
async fn a_copy_that_was_cut_short_goes_on() {
    let (source, target, back) = (Filled::new().await, Database::new().await, tempfile::tempdir().unwrap());
    source.run(MANY_KEYS).await;
    for (from, to) in [(&source.url(), &target.url), (&target.url, &url(&back))] {
        let mut cuts = 0;
        let copied = loop {
            if let Some(done) = copy_until(from, to, 1 + 6 * cuts).await {
                break done.unwrap();
            }
            cuts += 1;
            does_not_start(to).await;
        };
        assert!(cuts > 4 && copied.found > 5000, "{cuts} {copied:?}");
        assert_eq!(copied.bounds, source.bounds);
    }
    assert_sound(&target.url).await;
    assert_eq!(contents(&url(&back)).await, contents(&source.url()).await);
    let half = tempfile::tempdir().unwrap();
    assert!(copy_until(&target.url, &url(&half), 20).await.is_none());
    refused(&url(&half), &Database::new().await.url, "is incomplete: run it again").await;
    for told in [
        maintenance::check(&url(&half)).await.map(drop),
        maintenance::bounds(&url(&half)).await.map(drop),
        maintenance::backup(&url(&half), &half.path().join("copy.db")).await.map(drop),
    ] {
        assert!(told.unwrap_err().to_string().contains("is incomplete: run it again"));
    }
}

/// Goal: what does not fit together is found and named, and nothing is lost by it. Method: a source that changes between two
/// tries, in a row and in a key; a target that somebody else writes to; then all as it was.
#[tokio::test]
async fn a_changed_source_is_refused() {
    let (source, target) = (Filled::new().await, Database::new().await);
    assert!(copy_until(&source.url(), &target.url, 7).await.is_none());
    source.run("update users set email = email || 'x' where id = (select min(id) from users)").await;
    refused(&source.url(), &target.url, "table users differs").await;
    source.run("update users set email = rtrim(email, 'x') where id = (select min(id) from users)").await;
    source.run("create table kept as select min(id) as id from contacts").await;
    source.run("update contacts set id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' where id = (select id from kept)").await;
    refused(&source.url(), &target.url, "table contacts differs: a row conflicts with existing rows").await;
    source.run("update contacts set id = (select id from kept) where id like 'ffffffff-%'; drop table kept").await;
    target.run("insert into daily values (1, 1, 1, 1, 1)").await;
    refused(&source.url(), &target.url, "table daily differs: the source has 1 rows, the target 2").await;
    does_not_start(&target.url).await;
    target.run("delete from daily where day = 1").await;
    copy(&source.url(), &target.url).await.unwrap();
    assert_sound(&target.url).await;
}

/// Goal: what the source gets while it is copied is not left behind unnoticed. Method: an account made from a command line, which
/// no lock keeps out, when the accounts have been copied; a copy into a new target has it.
#[tokio::test]
async fn a_change_meanwhile_is_noticed() {
    let (source, target) = (Filled::new().await, Database::new().await);
    let (url, mut changed) = (source.url(), false);
    let mut progress = |step: CopyStep| {
        if step.table == "audit" && !changed {
            let url = url.clone();
            let change = async move { maintenance::change_access(&url, add_admin("late@example.com"), actor()).await.unwrap() };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            changed = std::thread::spawn(move || runtime.block_on(change)).join().unwrap() == AccessOutcome::Done;
        }
    };
    let told = maintenance::copy(&source.url(), &target.url, &mut progress).await.unwrap_err().to_string();
    assert!(changed && told.contains("the source changed during the copy"), "{told}");
    does_not_start(&target.url).await;
    refused(&source.url(), &target.url, "table admins differs").await;
    let target = Database::new().await;
    copy(&source.url(), &target.url).await.unwrap();
    assert!(maintenance::admins(&target.url).await.unwrap().iter().any(|admin| admin.email == "late@example.com"));
    assert_sound(&target.url).await;
}

fn add_admin(email: &str) -> AccessChange {
    AccessChange::AddAdmin { email: email.into(), password_hash: PASSWORD_HASH.into() }
}

/// Goal: nothing that is in use, or of another version, is read or written. Method: each of them, as source and as target.
#[tokio::test]
async fn databases_in_use_are_refused() {
    let (source, target) = (Filled::new().await, Database::new().await);
    let file = tempfile::tempdir().unwrap();
    refused(&source.url(), &url(&file), "to copy an SQLite file, use `sambad-server backup`").await;
    refused(&url(&file), &target.url, "does not exist").await;
    let running = Sambad::open(Config::new(source.url())).await.unwrap();
    refused(&source.url(), &target.url, "is in use by another server").await;
    running.shutdown().await;
    drop(running);
    let running = Sambad::open(Config::new(&target.url)).await.unwrap();
    refused(&source.url(), &target.url, "is in use by servers").await;
    refused(&target.url, &url(&file), "is in use by servers").await;
    let Cursor { epoch, .. } = running.bounds().head_cursor();
    running.shutdown().await;
    drop(running);
    assert_eq!(maintenance::bounds(&target.url).await.unwrap().epoch, epoch, "it is as it was");
    target.run("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)").await;
    refused(&source.url(), &target.url, "has an older schema").await;
    target.run("drop schema public cascade; create schema public; create table notes (text text)").await;
    refused(&source.url(), &target.url, "is a database of another program").await;
    source.run("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)").await;
    refused(&source.url(), &Database::new().await.url, "is from another version: run `sambad-server migrate` first").await;
}

/// Goal: whoever has read one database cannot forge messages of a copy. Method: the secrets of a log and of its copy, which is in
/// the same life.
#[tokio::test]
async fn a_copy_has_a_secret_of_its_own() {
    let (source, target) = (Servers::start(1).await, Database::new().await);
    source.stop().await;
    let copied = copy(source.url(), &target.url).await.unwrap();
    assert_eq!(copied.bounds.epoch, source.get(0).bounds().epoch);
    let (ours, theirs) = (source.secret().await, target.secret().await);
    assert_eq!((ours.len(), theirs.len()), (32, 32));
    assert_ne!(ours, theirs);
}
