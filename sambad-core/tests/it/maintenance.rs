//! Examining, repairing, copying and restoring a database.

use std::path::Path;

use futures_util::future::join_all;
use sambad_core::access::{AccessChange, Actor, AuditAction};
use sambad_core::check::{Finding, Severity};
use sambad_core::{
    After, Command, Config, Cursor, Delivery, Error, Filter, Limits, Outcome, ResyncReason, Retention, Sambad, Seq, UserRef,
    maintenance,
};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::database::{TestDatabase, on_every_database};
use crate::harness::{Core, login, user_id};

on_every_database!(a_sound_database_has_no_fault, every_fault_is_found, repair_counts_anew);

/// A log with every kind of event: 41 users, 20 contacts of which 10 are removed again, 20 messages; and three entries in the
/// audit log.
async fn lived_in(database: TestDatabase, retention: Retention) -> TestDatabase {
    let core = Core::start_keeping(database, Limits::default(), retention).await;
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
    for subject in ["one", "two", "three"] {
        let note = AccessChange::Note { action: AuditAction::TokenCreated, subject: subject.into() };
        core.sambad.change_access(note, Actor { name: "test".into(), remote: String::new() }).await.unwrap();
    }
    if retention != Retention::Forever {
        while core.sambad.bounds().first == Seq(1) {
            tokio::time::sleep(crate::harness::PAUSE).await;
        }
    }
    core.stop().await
}

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn check(database: &TestDatabase) -> Vec<Finding> {
    maintenance::check(&database.url()).await.unwrap()
}

/// Subjects of what is wrong.
fn faults(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter(|finding| finding.severity == Severity::Fault).map(|finding| finding.subject).collect()
}

/// Goal: a sound database has no fault, whole or trimmed, at rest or under a running server. Method: both kinds of logs.
async fn a_sound_database_has_no_fault(database: TestDatabase) {
    let whole = lived_in(database, Retention::Forever).await;
    let other = match &whole {
        TestDatabase::Sqlite(_) => TestDatabase::sqlite(),
        TestDatabase::Postgres { .. } => TestDatabase::postgres().await,
    };
    for database in [whole, lived_in(other, Retention::Events(25)).await] {
        let findings = check(&database).await;
        // The instance that tests run on need not survive a power cut.
        let fine = |finding: &Finding| finding.severity == Severity::Fine || finding.subject == "settings";
        assert!(findings.iter().all(fine), "{findings:#?}");
        assert_eq!(findings.len(), database.by_kind(10, 9));
        let core = Core::start(database, Limits::default()).await;
        assert_eq!(faults(&check(&core.database).await), [""; 0]);
        core.stop().await;
    }
}

/// What the schema of a later version looks like.
const NEWER: &str = "insert into _sqlx_migrations select 99, description, installed_on, success, checksum, execution_time
    from _sqlx_migrations limit 1";
/// Damage to any database, and what it must be found by.
const DAMAGE: [(&str, &str); 15] = [
    ("delete from events where seq = 30", "log is dense"),
    ("delete from events where seq = (select max(seq) from events)", "log is dense"),
    ("update log set head = head + 1", "log is dense"),
    ("delete from messages where id = (select id from messages limit 1)", "rows = events"),
    ("delete from contacts where id = (select id from contacts limit 1)", "rows = events"),
    (
        "update events set kind = 'contact_removed' where seq = (select max(seq) from events where kind = 'contact_added')",
        "rows = events",
    ),
    ("update users set seq = seq + 1000", "rows = events"),
    ("update contacts set seq = seq + 1000", "rows = events"),
    ("update messages set seq = seq - 1000 where seq = (select max(seq) from messages)", "rows = events"),
    ("update log set users = users + 1", "counters = rows"),
    ("update log set event_bytes = 0", "counters = rows"),
    ("update daily set contacts = contacts - 1", "counters = rows"),
    ("update daily set last_active = last_active + 1", "counters = rows"),
    ("delete from daily", "counters = rows"),
    (NEWER, "schema is current"),
];
const DAMAGE_OF_SQLITE: [(&str, &str); 6] = [
    ("update users set created_at = created_at - 1 where id = (select id from users limit 1)", "rows = events"),
    (
        "insert into messages select -1, 'x', from_user_id, to_user_id, content, type, created_at from messages limit 1",
        "rows = events",
    ),
    ("pragma foreign_keys = off; insert into contacts values (-1, 'x', 'nobody', 'nobody else', null, 0)", "references hold"),
    ("drop trigger audit_entries_stay; delete from audit where n = 2", "audit chain holds"),
    ("drop trigger audit_entries_stay_as_they_are; update audit set actor = 'x' where n = 3", "audit chain holds"),
    ("pragma writable_schema = on; update sqlite_schema set rootpage = 3 where name = 'contacts_by_user'", "file is sound"),
];
const DAMAGE_OF_POSTGRES: [(&str, &str); 13] = [
    ("update log set first = first + 1", "log is dense"),
    ("update users set created_at = created_at - interval '1 us' where id = (select id from users limit 1)", "rows = events"),
    ("update messages set created_at = created_at + interval '1 us'", "rows = events"),
    ("update contacts set created_at = created_at + interval '1 us'", "rows = events"),
    ("update events set created_at = created_at - interval '1 s'", "rows = events"),
    (
        "insert into messages select gen_random_uuid(), from_user_id, to_user_id, content, type, created_at, -1 from messages limit 1",
        "rows = events",
    ),
    (
        "insert into users select gen_random_uuid(), '+4930123456', email, name, created_at, last_active_at, -1 from users limit 1",
        "rows = events",
    ),
    (
        "set session_replication_role = replica;
        insert into contacts values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), null, now(), -1)",
        "references hold",
    ),
    (
        "set session_replication_role = replica; delete from users where id = (select to_user_id from messages limit 1)",
        "references hold",
    ),
    (
        "alter table contacts drop constraint contacts_user_id_fkey;
        alter table contacts add constraint contacts_user_id_fkey foreign key (user_id) references users (id) not valid",
        "references hold",
    ),
    ("alter table audit disable trigger all; delete from audit where n = 2", "audit chain holds"),
    ("alter table audit disable trigger all; update audit set actor = 'x' where n = 3", "audit chain holds"),
    ("update events set data = '{' where seq = 50", "database is readable"),
];

/// Goal: whatever is wrong is found, and named. Method: copies of a database, each tampered with in one way.
async fn every_fault_is_found(database: TestDatabase) {
    let sound = lived_in(database, Retention::Forever).await;
    let special = sound.by_kind(&DAMAGE_OF_SQLITE[..], &DAMAGE_OF_POSTGRES[..]);
    for (statements, subject) in DAMAGE.iter().chain(special) {
        let damaged = sound.copy().await;
        damaged.tamper(statements).await;
        let findings = check(&damaged).await;
        assert!(faults(&findings).contains(subject), "{statements}: {findings:#?}");
        assert!(findings.iter().all(|finding| (finding.severity == Severity::Fine) == finding.advice.is_empty()));
    }
}

/// Goal: a damaged file is examined as far as it goes, and said to be damaged. Method: garbage among the rows, which lie behind
/// the schema.
#[tokio::test]
async fn a_damaged_file_is_examined() {
    let database = lived_in(TestDatabase::sqlite(), Retention::Forever).await;
    let path = database.file();
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    bytes[4096 * (pages - 8)..4096 * (pages - 5)].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let findings = check(&database).await;
    assert!(faults(&findings).contains(&"file is sound"), "{findings:#?}");
}

/// Goal: repair mends counters and nothing else, and needs the database to itself. Method: counters spoilt in a whole and in a
/// trimmed log; what they say before and after; a server that runs.
async fn repair_counts_anew(database: TestDatabase) {
    let whole = lived_in(database, Retention::Forever).await;
    let trimmed = whole.copy().await;
    let core = Core::start_keeping(trimmed, Limits::default(), Retention::Events(25)).await;
    while core.sambad.bounds().first == Seq(1) {
        tokio::time::sleep(crate::harness::PAUSE).await;
    }
    for sound in [core.stop().await, whole] {
        let spoilt = sound.copy().await;
        spoilt
            .tamper("update log set users = 7, messages = 0, event_bytes = 1; update daily set users = 0, last_active = 1")
            .await;
        assert_eq!(faults(&check(&spoilt).await), ["counters = rows"]);
        maintenance::repair_counters(&spoilt.url()).await.unwrap();
        assert_eq!(faults(&check(&spoilt).await), [""; 0]);
        let core = Core::start(spoilt, Limits::default()).await;
        let refused = maintenance::repair_counters(&core.database.url()).await.unwrap_err();
        assert!(refused.to_string().contains("in use by"), "{refused}");
        let repaired = core.sambad.analytics().await.unwrap().value;
        core.stop().await;
        let core = Core::start(sound, Limits::default()).await;
        assert_eq!(repaired, core.sambad.analytics().await.unwrap().value);
        core.stop().await;
    }
}

/// Goal: a backup taken under load is one moment of the log, sound, and restored it is another life: same events, new epoch, old
/// cursors told to resync. Method: writers that go on while a copy is made.
#[tokio::test]
async fn a_backup_is_one_moment() {
    let core = Core::start(TestDatabase::sqlite(), Limits::default()).await;
    core.sambad.execute(login(0), None).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    let write = async {
        for wave in 0..40 {
            join_all((0..50).map(|number| core.sambad.execute(login(1 + wave * 50 + number), None))).await;
        }
    };
    let database = core.database.url();
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
    let newer = lived_in(TestDatabase::sqlite(), Retention::Forever).await;
    newer.tamper(NEWER).await;
    std::fs::copy(newer.file(), file("newer.db")).unwrap();
    let mut damaged = std::fs::read(newer.file()).unwrap();
    damaged[100..4096].fill(0xff);
    std::fs::write(file("damaged.db"), damaged).unwrap();
    for (name, sentence) in [
        ("text.db", "is not an SQLite database"),
        ("other.db", "is a database of another program"),
        ("folder.db", "cannot open database"),
        ("newer.db", "has migration 99, which this version of Sambad does not know"),
        ("damaged.db", "is damaged"),
        ("missing/new.db", "does not exist"),
    ] {
        let before = std::fs::read(file(name)).ok();
        let refused = Sambad::open(Config::new(url(&file(name)))).await.unwrap_err();
        assert!(matches!(refused, Error::Internal { .. }) && refused.to_string().contains(sentence), "{name}: {refused}");
        assert_eq!(std::fs::read(file(name)).ok(), before, "{name} was changed");
    }
}

/// Goal: the same of databases of PostgreSQL. Method: one of each sort, to serve and to examine; its tables before and after.
#[tokio::test]
async fn databases_that_are_not_ours_are_refused() {
    let newer = lived_in(TestDatabase::postgres().await, Retention::Forever).await;
    newer.tamper(NEWER).await;
    let other = TestDatabase::postgres().await;
    other.tamper("create table users (id integer); create table notes (text text)").await;
    let empty = TestDatabase::postgres().await;
    for (database, to_serve, to_examine) in [
        (&newer, Some("has migration 99, this version of Sambad knows only"), None),
        (&other, Some("is a database of another program"), Some("is a database of another program")),
        (&empty, None, Some("is empty")),
    ] {
        let tables = "select count(*) from pg_tables where schemaname = 'public'";
        let before = database.connect().await.number(tables).await;
        for (refused, sentence) in [
            (maintenance::check(&database.url()).await.map(drop), to_examine),
            (maintenance::repair_counters(&database.url()).await, to_examine.or(to_serve.and(Some("from another version")))),
            (maintenance::admins(&database.url()).await.map(drop), to_examine.or(to_serve.and(Some("from another version")))),
        ] {
            let told = refused.map_err(|error| error.to_string());
            assert_eq!(told.is_err(), sentence.is_some(), "{told:?}");
            assert!(told.is_ok() || told.unwrap_err().contains(sentence.unwrap()), "{sentence:?}");
        }
        if let Some(sentence) = to_serve {
            let refused = Sambad::open(Config::new(database.url())).await.unwrap_err();
            assert!(matches!(refused, Error::Internal { .. }) && refused.to_string().contains(sentence), "{refused}");
        }
        assert_eq!(database.connect().await.number(tables).await, before);
    }
}

/// Goal: who asks for a copy of a database of PostgreSQL is told how such are made, and nothing is written. Method: both ways.
#[tokio::test]
async fn copies_of_postgres_are_made_by_its_own_tools() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    let url = "postgres://localhost/sambad";
    for refused in [maintenance::backup(url, &file).await, maintenance::restore(&file, url).await] {
        let told = refused.unwrap_err().to_string();
        assert!(["pg_dump", "pg_basebackup", "docs/guides/scale-out.md"].iter().all(|part| told.contains(part)), "{told}");
    }
    assert!(!file.exists());
}
