//! A file as one side of a copy.

use std::fs::File;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::{DatabaseFile, check, connect_migrated, failed, identity, lock, outcome_unknown, rows, writing};
use crate::error::Error;
use crate::event::to_json;
use crate::store::copy::tables::{Cell, Kind, Row, TABLES, Table};
use crate::store::copy::{LogRow, Standing};

const STANDING: &str = "select epoch, head, coalesce((select min(seq) from events), head + 1), last_at,
        users, contacts, messages, event_bytes,
        coalesce((select seq from sqlite_sequence where name = 'revocations'), 0),
        coalesce((select max(n) from audit), 0)
    from log";
const HAS_LOG: &str = "select exists (select 1 from log)";
const TAKE_LOG_AWAY: &str = "delete from log";
const PUT_LOG: &str = "insert into log (id, epoch, head, last_at, users, contacts, messages, event_bytes)
    values (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const PUT_SEQUENCE: [&str; 2] = [
    "delete from sqlite_sequence where name = 'revocations'",
    "insert into sqlite_sequence (name, seq) values ('revocations', ?1)",
];

/// A file that no server runs on meanwhile.
#[derive(Debug)]
pub(in crate::store) struct Side {
    connection: SqliteConnection,
    file: DatabaseFile,
    _lock: File,
}

impl Side {
    /// Opens a whole database, and begins to read one snapshot of it.
    pub(in crate::store) async fn source(file: DatabaseFile) -> Result<Self, Error> {
        let mut connection = identity::open_read_only(&file).await?;
        let lock = lock(&file)?;
        if !check::has_current_schema(&mut connection).await.map_err(failed)? {
            let what = format!("the schema of {file} is from another version: run `sambad-server migrate` first");
            return Err(Error::Internal { what, source: None });
        }
        sqlx::query("begin").execute(&mut connection).await.map_err(failed)?;
        Ok(Self { connection, file, _lock: lock })
    }

    /// Opens a database to be copied into: a new one, or what an earlier copy left.
    pub(in crate::store) async fn target(file: DatabaseFile) -> Result<Self, Error> {
        identity::require_ours_or_new(&file).await?;
        let lock = lock(&file)?;
        let schema = super::schema(&file).await?;
        if schema.stored > 0 && !schema.is_current() {
            let what = format!("{file} has the schema of another version: copy into a new file");
            return Err(Error::Internal { what, source: None });
        }
        let connection = connect_migrated(&writing(&file), &file).await?;
        let mut side = Self { connection, file, _lock: lock };
        if sqlx::query_scalar(HAS_LOG).fetch_one(&mut side.connection).await.map_err(failed)? {
            side.refuse_rows().await?;
            sqlx::query(TAKE_LOG_AWAY).execute(&mut side.connection).await.map_err(failed)?;
        }
        Ok(side)
    }

    async fn refuse_rows(&mut self) -> Result<(), Error> {
        for table in &TABLES {
            let has_rows = sqlx::query_scalar(AssertSqlSafe(table.has_rows())).fetch_one(&mut self.connection).await;
            if has_rows.map_err(failed)? {
                let what = format!("{} already has rows in {}: copy into a new file", self.file, table.name);
                return Err(Error::Internal { what, source: None });
            }
        }
        Ok(())
    }

    pub(in crate::store) async fn standing(&mut self) -> Result<Standing, Error> {
        let row = sqlx::query(STANDING).fetch_one(&mut self.connection).await.map_err(failed)?;
        let standing = || -> Result<Standing, sqlx::Error> {
            let log = LogRow {
                epoch: row.try_get(0)?,
                head: row.try_get(1)?,
                first: row.try_get(2)?,
                last_at: row.try_get(3)?,
                users: row.try_get(4)?,
                contacts: row.try_get(5)?,
                messages: row.try_get(6)?,
                event_bytes: row.try_get(7)?,
            };
            Ok(Standing { log, last_revocation: row.try_get(8)?, last_entry: row.try_get(9)? })
        };
        standing().map_err(failed)
    }

    pub(in crate::store) async fn end_snapshot(&mut self) -> Result<(), Error> {
        sqlx::query("rollback").execute(&mut self.connection).await.map(drop).map_err(failed)
    }

    pub(in crate::store) async fn count(&mut self, table: &Table) -> Result<u64, Error> {
        let row = sqlx::query(AssertSqlSafe(table.count())).fetch_one(&mut self.connection).await.map_err(failed)?;
        rows::unsigned(&row, 0).map_err(failed)
    }

    pub(in crate::store) async fn last(&mut self, table: &Table) -> Result<Option<Row>, Error> {
        let found = sqlx::query(AssertSqlSafe(table.select_last())).fetch_optional(&mut self.connection).await.map_err(failed)?;
        found.map(|row| decode(&row, table)).transpose().map_err(failed)
    }

    pub(in crate::store) fn rows<'a>(&'a mut self, table: &'static Table) -> BoxStream<'a, Result<Row, Error>> {
        let rows = sqlx::query(AssertSqlSafe(table.select())).fetch(&mut self.connection);
        rows.map(|row| row.and_then(|row| decode(&row, table)).map_err(failed)).boxed()
    }

    /// Writes rows, which come from PostgreSQL and so hold no NUL, in one transaction.
    pub(in crate::store) async fn insert(&mut self, table: &Table, rows: &[Row]) -> Result<(), sqlx::Error> {
        let values: Vec<_> = (0..table.columns.len()).map(|at| format!("value->>{at}")).collect();
        let (name, columns) = (table.name, table.column_names());
        let statement = format!("insert into {name} ({columns}) select {} from json_each(?1)", values.join(", "));
        sqlx::query(AssertSqlSafe(statement)).bind(to_json(rows)).execute(&mut self.connection).await.map(drop)
    }

    pub(in crate::store) async fn finish(mut self, standing: Standing) -> Result<(), Error> {
        let Standing { log, last_revocation, .. } = standing;
        let mut tx = self.connection.begin_with("begin immediate").await.map_err(failed)?;
        for statement in PUT_SEQUENCE {
            sqlx::query(statement).bind(last_revocation).execute(&mut *tx).await.map_err(failed)?;
        }
        let put = sqlx::query(PUT_LOG)
            .bind(log.epoch)
            .bind(log.head)
            .bind(log.last_at)
            .bind(log.users)
            .bind(log.contacts)
            .bind(log.messages)
            .bind(log.event_bytes);
        put.execute(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(outcome_unknown)?;
        super::write_back::finish(&mut self.connection).await?;
        self.connection.close().await.map_err(failed)
    }
}

fn decode(row: &SqliteRow, table: &Table) -> Result<Row, sqlx::Error> {
    let cell = |(at, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Integer | Kind::Instant => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Integer),
            Kind::Id if row.try_get::<Option<&str>, _>(at)?.is_none() => Cell::Null,
            Kind::Id => Cell::Id(rows::parsed(row, at)?),
            Kind::Text => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
        })
    };
    table.columns.iter().enumerate().map(cell).collect()
}
