//! Schemas brought up to date, and epochs renewed, on both databases.

use sambad_core::maintenance::{self, Schema};
use sambad_core::{After, Config, Delivery, Filter, ResyncReason, Sambad};
use tokio::task::JoinSet;

use crate::filled::{Filled, url};
use crate::harness::{Database, assert_sound, login};

const KNOWN: i64 = 3;
/// Undoes the last migration.
const BEHIND: &str = "drop table audit; drop table revocations; drop table refresh_tokens; drop table admin_sessions;
    drop table login_failures; drop table admins; delete from _sqlx_migrations where version = 3";
const NEWER: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    select 99, description, success, checksum, execution_time from _sqlx_migrations where version = 1";

async fn look(url: &str) -> Schema {
    maintenance::migrate(url, true).await.unwrap()
}

fn stored(stored: i64) -> Schema {
    Schema { stored, known: KNOWN }
}

/// Goal: a schema is brought up to date from wherever it stands, once, and looking changes nothing. Method: an empty database, one
/// of the version before, a current one, and one of a newer version, which is refused; SQLite and PostgreSQL.
#[tokio::test]
async fn a_schema_is_brought_up_to_date() {
    let (file, database) = (tempfile::tempdir().unwrap(), Database::new().await);
    for url in [&url(&file), &database.url] {
        for step in [0, 2] {
            assert_eq!(look(url).await, stored(step));
            assert_eq!(look(url).await, stored(step), "looking changes nothing");
            assert_eq!(maintenance::migrate(url, false).await.unwrap(), stored(step));
            assert!(look(url).await.is_current());
            assert_eq!(maintenance::migrate(url, false).await.unwrap(), stored(KNOWN));
            assert_sound(url).await;
            if step == 0 {
                run(url, BEHIND).await;
            }
        }
        run(url, NEWER).await;
        assert_eq!(look(url).await, stored(99));
        let refused = maintenance::migrate(url, false).await.unwrap_err().to_string();
        assert!(refused.contains("has migration 99"), "{refused}");
    }
}

async fn run(url: &str, sql: &'static str) {
    if url.starts_with("sqlite:") {
        let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    } else {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        sqlx::raw_sql("drop function if exists refuse_to_change_audit").execute(&mut connection).await.ok();
        sqlx::Connection::close(connection).await.unwrap();
    }
}

/// Goal: servers that are started at once agree on who makes the schema. Method: three at an empty database, and a fourth after them.
#[tokio::test(flavor = "multi_thread")]
async fn several_agree_on_one_schema() {
    let database = Database::new().await;
    let mut migrating = JoinSet::new();
    for _ in 0..3 {
        let url = database.url.clone();
        migrating.spawn(async move { maintenance::migrate(&url, false).await.unwrap() });
    }
    migrating.join_all().await;
    assert!(look(&database.url).await.is_current());
    assert_sound(&database.url).await;
}

/// Goal: a schema can be looked at while a server runs, and only PostgreSQL's be brought up to date. Method: a core on each.
#[tokio::test]
async fn a_running_server_is_left_alone() {
    let (file, database) = (tempfile::tempdir().unwrap(), Database::new().await);
    for url in [url(&file), database.url.clone()] {
        let sambad = Sambad::open(Config::new(&url)).await.unwrap();
        assert!(look(&url).await.is_current());
        let migrated = maintenance::migrate(&url, false).await;
        if url.starts_with("sqlite:") {
            assert!(migrated.unwrap_err().to_string().contains("is in use by another server"));
        } else {
            assert_eq!(migrated.unwrap(), stored(KNOWN));
        }
        let refused = maintenance::renew_epoch(&url).await.unwrap_err().to_string();
        assert!(refused.contains("is in use by"), "{refused}");
        assert_eq!(maintenance::bounds(&url).await.unwrap(), sambad.bounds());
        sambad.shutdown().await;
    }
}

/// Goal: after its epoch was renewed a log goes on as another one, and clients of the old one are told so. Method: both databases;
/// a cursor from before.
#[tokio::test]
async fn a_renewed_epoch_resyncs_readers() {
    let (filled, database) = (Filled::new().await, Database::new().await);
    maintenance::copy(&filled.url(), &database.url, &mut |_| {}).await.unwrap();
    for url in [&filled.url(), &database.url] {
        let renewed = maintenance::renew_epoch(url).await.unwrap();
        assert_ne!(renewed.epoch, filled.bounds.epoch);
        assert_eq!((renewed.first, renewed.head), (filled.bounds.first, filled.bounds.head));
        assert_eq!(maintenance::bounds(url).await.unwrap(), renewed);
        let sambad = Sambad::open(Config::new(url)).await.unwrap();
        let mut subscription = sambad.subscribe(Some(After::Cursor(filled.cursor)), Filter::default()).await.unwrap();
        let resync = Delivery::Resync { reason: ResyncReason::EpochChanged, cursor: renewed.head_cursor() };
        assert_eq!(subscription.next().await.unwrap(), resync);
        assert_eq!(sambad.execute(login(999), None).await.unwrap().seq, Some(renewed.head.next()));
        sambad.shutdown().await;
        assert_sound(url).await;
    }
}
