//! A test database seen past Sambad.

use std::path::PathBuf;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::database::TestDatabase;

pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl TestDatabase {
    pub(crate) async fn connect(&self) -> Connection {
        match self {
            Self::Sqlite(_) => Connection::Sqlite(SqliteConnection::connect(&self.url()).await.unwrap()),
            Self::Postgres { .. } => Connection::Postgres(PgConnection::connect(&self.url()).await.unwrap()),
        }
    }

    /// Whichever is for this one.
    pub(crate) fn by_kind<T>(&self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres { .. } => postgres,
        }
    }

    /// The file of one of SQLite.
    pub(crate) fn file(&self) -> PathBuf {
        self.url().strip_prefix("sqlite:").expect("a database in a file").into()
    }

    /// Another database that holds the same; nobody may be connected to this one.
    pub(crate) async fn copy(&self) -> Self {
        match self {
            Self::Sqlite(_) => {
                let copy = Self::sqlite();
                std::fs::copy(self.file(), copy.file()).unwrap();
                copy
            }
            Self::Postgres { name, .. } => Self::postgres_like(name).await,
        }
    }

    /// Does to it what Sambad would not.
    pub(crate) async fn tamper(&self, statements: &str) {
        let mut connection = self.connect().await;
        connection.execute(statements).await;
        connection.close().await;
    }
}

impl Connection {
    pub(crate) async fn execute(&mut self, statements: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Self::Sqlite(connection) => drop(statements.execute(connection).await.unwrap()),
            Self::Postgres(connection) => drop(statements.execute(connection).await.unwrap()),
        }
    }

    /// What a statement gives that gives a number.
    pub(crate) async fn number(&mut self, statement: &str) -> i64 {
        let statement = AssertSqlSafe(statement.to_owned());
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(statement).fetch_one(connection).await.unwrap(),
            Self::Postgres(connection) => sqlx::query_scalar(statement).fetch_one(connection).await.unwrap(),
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}
