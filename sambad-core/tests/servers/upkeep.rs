//! Schemas brought up to date, and epochs renewed, on both databases.

use std::path::Path;

use sambad_core::maintenance::{self, Schema};
use sambad_core::{After, Config, Delivery, Filter, ResyncReason, Sambad};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tokio::task::JoinSet;

use crate::filled::{Filled, url};
use crate::harness::{Database, assert_sound, login};

const NEWER: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    select 99, description, success, checksum, execution_time from _sqlx_migrations where version = 1";

async fn look(url: &str) -> Schema {
    maintenance::migrate(url, true).await.unwrap()
}

/// The migrations of a database.
async fn migrations(url: &str) -> Migrator {
    let name = if url.starts_with("sqlite:") { "sqlite" } else { "postgres" };
    Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(name)).await.unwrap()
}

/// Makes a schema up to a migration.
async fn migrate_to(version: i64, url: &str) {
    if url.starts_with("sqlite:") {
        let options = url.parse::<SqliteConnectOptions>().unwrap().create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        migrations(url).await.run_to(version, &mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        migrations(url).await.run_to(version, &mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Goal: a schema is brought up to date from wherever it stands, once, and looking changes nothing. Method: an empty database, one
/// of the version before, a current one, and one of a newer version, which is refused; SQLite and PostgreSQL.
#[tokio::test]
async fn a_schema_is_brought_up_to_date() {
    let (empty, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (empty_database, database_before) = (Database::new().await, Database::new().await);
    for (empty, before) in [(&url(&empty), &url(&before)), (&empty_database.url, &database_before.url)] {
        let known = migrations(empty).await.iter().map(|migration| migration.version).max().unwrap();
        let stored = |stored: i64| Schema { stored, known };
        migrate_to(known - 1, before).await;
        for (url, version) in [(empty, 0), (before, known - 1)] {
            assert_eq!(look(url).await, stored(version));
            assert_eq!(look(url).await, stored(version), "looking changes nothing");
            assert_eq!(maintenance::migrate(url, false).await.unwrap(), stored(version));
            assert!(look(url).await.is_current());
            assert_eq!(maintenance::migrate(url, false).await.unwrap(), stored(known));
            assert_sound(url).await;
        }
        run(empty, NEWER).await;
        assert_eq!(look(empty).await, stored(99));
        let refused = maintenance::migrate(empty, false).await.unwrap_err().to_string();
        assert!(refused.contains("has migration 99"), "{refused}");
    }
}

async fn run(url: &str, sql: &'static str) {
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
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
            assert!(migrated.unwrap().is_current());
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
