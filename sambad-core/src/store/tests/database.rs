//! A database of its own for each test, gone with it.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use uuid::Uuid;

const NO_INSTANCE: &str = "SAMBAD_TEST_POSTGRES_URL names no PostgreSQL: run the tests as scripts/with-services.sh COMMAND";

/// Makes two tests of each function that takes a database: what it says holds on both.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                /// Goal: that of the function of this name. Method: on SQLite.
                #[tokio::test]
                async fn $name() {
                    super::$name(super::TestDatabase::sqlite()).await;
                }
            )*
        }

        mod postgres {
            $(
                /// Goal: that of the function of this name. Method: on PostgreSQL.
                #[tokio::test]
                async fn $name() {
                    super::$name(super::TestDatabase::postgres().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_database;

#[derive(Debug)]
pub(crate) enum TestDatabase {
    Sqlite(TempDir),
    Postgres {
        /// Of a database in which others are made.
        instance: String,
        name: String,
    },
}

impl TestDatabase {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// Its locale folds letters that are not ASCII's, which Sambad's comparisons must not.
    pub(crate) async fn postgres() -> Self {
        Self::postgres_like("template0 encoding 'UTF8' locale 'C.UTF-8'").await
    }

    pub(crate) async fn postgres_like(template: &str) -> Self {
        let instance = std::env::var("SAMBAD_TEST_POSTGRES_URL").expect(NO_INSTANCE);
        let name = format!("sambad_test_{}", Uuid::now_v7().simple());
        execute(&instance, format!("create database {name} template {template}")).await;
        Self::Postgres { instance, name }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite:{}", directory.path().join("test.db").display()),
            Self::Postgres { instance, name } => {
                let (server, options) = instance.split_once('?').unwrap_or((instance, ""));
                let (server, _) = server.rsplit_once('/').expect("a URL with a database");
                format!("{server}/{name}?{options}")
            }
        }
    }
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Self::Postgres { instance, name } = self else { return };
        let (instance, statement) = (instance.clone(), format!("drop database {name} with (force)"));
        // A thread of its own: the test's runtime may be about to end.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(&instance, statement));
        });
        assert!(dropped.join().is_ok() || std::thread::panicking(), "the database could not be dropped");
    }
}
