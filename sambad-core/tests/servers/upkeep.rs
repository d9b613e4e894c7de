//! Schemas brought up to date, and epochs renewed, on both databases.

use std::path::Path;

use sambad_core::maintenance::{self, Schema};
use sambad_core::{After, Config, Delivery, Filter, ResyncReason, Sambad};
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tokio::task::JoinSet;

use crate::filled::{Filled, url};
use crate::harness::{Database, assert_sound, login};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/");
const NEWER: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    select 99, description, success, checksum, execution_time from _sqlx_migrations where version = 1";

async fn look(url: &str) -> Schema {
    maintenance::migrate(url, true).await.unwrap()
}

/// The migrations that this version knows, of both databases, by their numbers.
fn migrations() -> Vec<i64> {
    let names = std::fs::read_dir(FOLDER.to_owned() + "postgres").unwrap().map(|entry| entry.unwrap().file_name());
    let mut numbers: Vec<i64> = names.map(|name| name.to_str().unwrap()[..4].parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn stored(stored: i64) -> Schema {
    Schema { stored, known: *migrations().last().unwrap() }
}

/// Makes the schema as the version before the last migration did.
async fn make_older(url: &str) {
    let sqlite = url.starts_with("sqlite:");
    let all = Migrator::new(Path::new(&(FOLDER.to_owned() + if sqlite { "sqlite" } else { "postgres" }))).await.unwrap();
    let last = all.iter().map(|migration| migration.version).max();
    let older = all.iter().filter(|migration| Some(migration.version) != last).cloned().collect();
    let older = Migrator::with_migrations(older);
    if sqlite {
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.create_if_missing(true).connect().await.unwrap();
        older.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        older.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Goal: a schema is brought up to date from wherever it stands, once, and looking changes nothing. Method: an empty database, one
/// of an older version, a current one, and one of a newer version, which is refused; SQLite and PostgreSQL.
#[tokio::test]
async fn a_schema_is_brought_up_to_date() {
    let known = migrations();
    let [.., before, last] = known[..] else { panic!("{known:?}") };
    for step in [0, before] {
        let (file, database) = (tempfile::tempdir().unwrap(), Database::new().await);
        for url in [&url(&file), &database.url] {
            if step > 0 {
                make_older(url).await;
            }
            assert_eq!(look(url).await, stored(step));
            assert_eq!(look(url).await, stored(step), "looking changes nothing");
            assert_eq!(maintenance::migrate(url, false).await.unwrap(), stored(step));
            assert!(look(url).await.is_current());
            assert_eq!(maintenance::migrate(url, false).await.unwrap(), stored(last));
            assert_sound(url).await;
        }
    }
    let (file, database) = (tempfile::tempdir().unwrap(), Database::new().await);
    for url in [&url(&file), &database.url] {
        maintenance::migrate(url, false).await.unwrap();
        run(url, NEWER).await;
        assert_eq!(look(url).await, stored(99));
        let refused = maintenance::migrate(url, false).await.unwrap_err().to_string();
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
            assert_eq!(migrated.unwrap(), stored(*migrations().last().unwrap()));
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
