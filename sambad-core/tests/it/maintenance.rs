//! Examining, repairing, copying and restoring a database.

use std::path::Path;

use futures_util::future::join_all;
use sambad_core::check::{Finding, Severity};
use sambad_core::{
    After, Command, Config, Cursor, Delivery, Error, Filter, Limits, Outcome, ResyncReason, Retention, Sambad, Seq, UserRef,
    maintenance,
};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tempfile::TempDir;

use crate::harness::{Core, login, user_id};

/// A log with every kind of event: 41 users, 20 contacts of which 10 are removed again, 20 messages.
async fn lived_in(retention: Retention) -> TempDir {
    let core = Core::start_keeping(tempfile::tempdir().unwrap(), Limits::default(), retention).await;
    let users = join_all((0..41).map(|number| core.sambad.execute(login(number), None))).await;
    let ids: Vec<_> = users.iter().map(|receipt| user_id(receipt.as_ref().unwrap())).collect();
    for pair in ids[1..].chunks(2) {
        let (user, contact) = (UserRef::Id(pair[0]), UserRef::Id(pair[1]));
        let add = Command::AddContact { user: user.clone(), contact: contact.clone(), name: None };
        let added = core.sambad.execute(add, None).await.unwrap();
        let message = Command::SendMessage { from: user, to: contact, content: "hello".into(), message_type: "text".into() };
        core.sambad.execute(message, None).await.unwrap();
        let Outcome::ContactAdded { contact, .. } = added.outcome else { panic!("{added:?}") };
        if pair[0] < ids[20] {
            core.sambad.execute(Command::RemoveContact { id: contact.id, owner: None }, None).await.unwrap();
        }
    }
    if retention != Retention::Forever {
        while core.sambad.bounds().first == Seq(1) {
            tokio::task::yield_now().await;
        }
    }
    core.stop().await
}

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn check(directory: &TempDir) -> Vec<Finding> {
    maintenance::check(&url(&directory.path().join("test.db"))).await.unwrap()
}

/// Subjects of what is wrong.
fn faults(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter(|finding| finding.severity == Severity::Fault).map(|finding| finding.subject).collect()
}

async fn tamper(directory: &TempDir, statement: &'static str) {
    let path = url(&directory.path().join("test.db"));
    let mut connection = SqliteConnection::connect(&path).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Goal: a sound database has no fault, whole or trimmed, at rest or under a running server. Method: both kinds of logs.
#[tokio::test]
async fn a_sound_database_has_no_fault() {
    for retention in [Retention::Forever, Retention::Events(25)] {
        let directory = lived_in(retention).await;
        let findings = check(&directory).await;
        assert!(findings.iter().all(|finding| finding.severity == Severity::Fine), "{findings:#?}");
        assert_eq!(findings.len(), 9);
        let core = Core::start_in(directory, Limits::default()).await;
        let findings = maintenance::check(&url(&core.path())).await.unwrap();
        assert_eq!(faults(&findings), [""; 0]);
        core.stop().await;
    }
}

/// Goal: whatever is wrong is found, and named. Method: a database each, tampered with in one way.
#[tokio::test]
async fn every_fault_is_found() {
    for (statement, subject) in [
        ("delete from events where seq = 30", "log is dense"),
        ("delete from events where seq = (select max(seq) from events)", "log is dense"),
        ("update log set head = head + 1", "log is dense"),
        ("update events set created_at = created_at - 1000000000 where seq = 60", "time runs forward"),
        ("delete from messages where id = (select id from messages limit 1)", "rows = events"),
        ("update users set created_at = created_at - 1 where id = (select id from users limit 1)", "rows = events"),
        ("delete from contacts where id = (select id from contacts limit 1)", "rows = events"),
        (
            "update events set kind = 'contact_removed' where seq = (select max(seq) from events where kind = 'contact_added')",
            "rows = events",
        ),
        (
            "insert into messages select 'x', from_user_id, to_user_id, content, type, created_at from messages limit 1",
            "rows = events",
        ),
        ("update log set users = users + 1", "counters = rows"),
        ("update log set event_bytes = 0", "counters = rows"),
        ("update daily set contacts = contacts - 1", "counters = rows"),
        ("delete from daily", "counters = rows"),
        ("pragma foreign_keys = off; insert into contacts values ('x', 'nobody', 'nobody else', null, 0)", "references hold"),
        ("pragma writable_schema = on; update sqlite_schema set rootpage = 3 where name = 'contacts_by_user'", "file is sound"),
        (
            "insert into _sqlx_migrations select 99, description, installed_on, success, checksum, execution_time from _sqlx_migrations limit 1",
            "schema is current",
        ),
    ] {
        let directory = lived_in(Retention::Forever).await;
        tamper(&directory, statement).await;
        let findings = check(&directory).await;
        assert!(faults(&findings).contains(&subject), "{statement}: {findings:#?}");
        assert!(findings.iter().all(|finding| (finding.severity == Severity::Fine) == finding.advice.is_empty()));
    }
}

/// Goal: a damaged file is examined as far as it goes, and said to be damaged. Method: garbage among the rows, which lie behind
/// the schema.
#[tokio::test]
async fn a_damaged_file_is_examined() {
    let directory = lived_in(Retention::Forever).await;
    let path = directory.path().join("test.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    bytes[4096 * (pages - 8)..4096 * (pages - 5)].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let findings = check(&directory).await;
    assert!(faults(&findings).contains(&"file is sound"), "{findings:#?}");
}

/// Goal: repair mends counters and nothing else, and needs the database to itself. Method: counters spoilt in a whole and in a
/// trimmed log; the events before and after; a server that runs.
#[tokio::test]
async fn repair_counts_anew() {
    for retention in [Retention::Forever, Retention::Events(25)] {
        let directory = lived_in(retention).await;
        let sound = std::fs::read(directory.path().join("test.db")).unwrap();
        tamper(
            &directory,
            "update log set users = 7, messages = 0, event_bytes = 1; update daily set users = 0, last_active = 1",
        )
        .await;
        assert_eq!(faults(&check(&directory).await), ["counters = rows"]);
        let database = url(&directory.path().join("test.db"));
        maintenance::repair_counters(&database).await.unwrap();
        assert_eq!(faults(&check(&directory).await), [""; 0]);
        let core = Core::start_in(directory, Limits::default()).await;
        let refused = maintenance::repair_counters(&database).await.unwrap_err();
        assert!(refused.to_string().contains("in use by another server"), "{refused}");
        let repaired = core.sambad.analytics().await.unwrap().value;
        core.stop().await;
        let before = tempfile::tempdir().unwrap();
        std::fs::write(before.path().join("test.db"), sound).unwrap();
        let core = Core::start_in(before, Limits::default()).await;
        assert_eq!(repaired, core.sambad.analytics().await.unwrap().value);
        core.stop().await;
    }
}

/// Goal: a backup taken under load is one moment of the log, sound, and restored it is another life: same events, new epoch, old
/// cursors told to resync. Method: writers that go on while a copy is made.
#[tokio::test]
async fn a_backup_is_one_moment() {
    let core = Core::start(Limits::default()).await;
    core.sambad.execute(login(0), None).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    let write = async {
        for wave in 0..40 {
            join_all((0..50).map(|number| core.sambad.execute(login(1 + wave * 50 + number), None))).await;
        }
    };
    let database = url(&core.path());
    let (copied, ()) = tokio::join!(maintenance::backup(&database, &file), write);
    let copied = copied.unwrap();
    let old = core.sambad.bounds();
    assert_eq!((copied.epoch, copied.first), (old.epoch, Seq(1)));
    assert!((1..=2001).contains(&copied.head.0), "{copied:?}");
    let refused = maintenance::backup(&database, &file).await.unwrap_err();
    assert!(refused.to_string().contains("exists"), "{refused}");
    let refused = maintenance::restore(&file, &database).await.unwrap_err();
    assert!(refused.to_string().contains("in use"), "{refused}");
    core.stop().await;

    let restored = url(&directory.path().join("test.db"));
    let bounds = maintenance::restore(&file, &restored).await.unwrap();
    assert_eq!((bounds.first, bounds.head), (copied.first, copied.head));
    assert_ne!(bounds.epoch, copied.epoch);
    let refused = maintenance::restore(&file, &restored).await.unwrap_err();
    assert!(refused.to_string().contains("exists"), "{refused}");
    assert_eq!(faults(&maintenance::check(&restored).await.unwrap()), [""; 0]);
    let sambad = Sambad::open(Config::new(restored)).await.unwrap();
    let first = async |after: After| sambad.subscribe(Some(after), Filter::default()).await.unwrap().next().await.unwrap();
    let lost = Cursor { epoch: copied.epoch, seq: Seq(1) };
    let resync = Delivery::Resync { reason: ResyncReason::EpochChanged, cursor: bounds.head_cursor() };
    assert_eq!(first(lost.into()).await, resync);
    let Delivery::Events(events) = first(After::Seq(Seq(0))).await else { panic!("expected events") };
    assert_eq!(events[0].seq, Seq(1));
    sambad.execute(login(9_999_999), None).await.unwrap();
    assert_eq!(sambad.bounds().head, copied.head.next());
    sambad.shutdown().await;
}

/// Goal: what cannot be served is refused with a sentence that says why, and is left as it was. Method: a file each.
#[tokio::test]
async fn files_that_are_no_database_of_ours_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("text.db"), "this is not a database, and longer than a header of one hundred bytes: ".repeat(30))
        .unwrap();
    let mut other = SqliteConnection::connect(&format!("{}?mode=rwc", url(&file("other.db")))).await.unwrap();
    sqlx::raw_sql("create table users (id integer); create table notes (text)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    std::fs::create_dir(file("folder.db")).unwrap();
    let newer = lived_in(Retention::Forever).await;
    tamper(&newer, "insert into _sqlx_migrations select 99, description, installed_on, success, checksum, execution_time from _sqlx_migrations limit 1").await;
    std::fs::copy(newer.path().join("test.db"), file("newer.db")).unwrap();
    let mut damaged = std::fs::read(newer.path().join("test.db")).unwrap();
    damaged[100..4096].fill(0xff);
    std::fs::write(file("damaged.db"), damaged).unwrap();
    for (name, sentence) in [
        ("text.db", "is no SQLite database"),
        ("other.db", "is a database of another program"),
        ("folder.db", "cannot open database"),
        ("newer.db", "has migration 99, which this version of Sambad does not know"),
        ("damaged.db", "is damaged"),
        ("missing/new.db", "there is no folder"),
    ] {
        let before = std::fs::read(file(name)).ok();
        let refused = Sambad::open(Config::new(url(&file(name)))).await.unwrap_err();
        assert!(matches!(refused, Error::Internal { .. }) && refused.to_string().contains(sentence), "{name}: {refused}");
        assert_eq!(std::fs::read(file(name)).ok(), before, "{name} was changed");
    }
}
