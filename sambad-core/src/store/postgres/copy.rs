//! A PostgreSQL database as one side of a copy.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Postgres, Row as _};
use uuid::Uuid;

use super::connector::Connector;
use super::stopped::refuse_servers;
use super::{failed, identity, rows, sqlstate};
use crate::error::Error;
use crate::store::copy::tables::{Cell, Kind, Row, TABLES, Table};
use crate::store::copy::{LogRow, Standing};
use crate::time::Timestamp;

const SNAPSHOT: &str = "begin isolation level repeatable read read only";
const STANDING: &str = "select epoch, head, first, last_at, users, contacts, messages, event_bytes,
        (select case when is_called then last_value else 0 end from revocations_n_seq),
        coalesce((select max(n) from audit), 0)
    from log";
/// Whoever has it copies; the number is of no meaning. What is left of a copy that was killed lets go of it when its last
/// statement has ended.
const TAKE_TURN: &str = "set lock_timeout = '30s'; select pg_advisory_lock(7239815003); set lock_timeout = 0";
const LOCK_LOG: &str = "select 1 from log for update";
const TAKE_LOG_AWAY: &str = "delete from log";
const PUT_LOG: &str = "insert into log (id, epoch, head, first, last_at, users, contacts, messages, event_bytes)
    values (1, $1, $2, $3, $4, $5, $6, $7, $8)";
const PUT_SEQUENCE: &str = "select setval('revocations_n_seq', greatest($1, 1), $1 > 0)";

/// A database that no server is connected to.
#[derive(Debug)]
pub(in crate::store) struct Side {
    connection: PgConnection,
}

/// A copy's statements take as long as they must, and read by the key, which is the order in which they want the rows.
fn connector(url: &str) -> Result<Connector, Error> {
    Ok(super::connector(url)?.named("sambad copy").with([
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("enable_sort", "off"),
    ]))
}

impl Side {
    /// Opens a whole database, and begins to read one snapshot of it.
    pub(in crate::store) async fn source(url: &str) -> Result<Self, Error> {
        let connector = connector(url)?;
        let mut connection = identity::connect_current_with(&connector).await?;
        refuse_servers(&mut connection, connector.options()).await?;
        connection.execute(SNAPSHOT).await.map_err(failed)?;
        Ok(Self { connection })
    }

    /// Opens a database to be copied into: an empty one, or what an earlier copy left.
    pub(in crate::store) async fn target(url: &str) -> Result<Self, Error> {
        let connector = connector(url)?;
        let mut connection = identity::connect(&connector).await?;
        let options = connector.options();
        // A database that was in use is not touched, not even its schema.
        let schema = identity::schema(&mut connection, options).await?;
        if schema.stored > 0 && !schema.is_current() {
            let what = format!(
                "database {} has an older schema: copy into an empty database; if an interrupted copy left it, recreate it",
                identity::name(options)
            );
            return Err(internal(what));
        }
        identity::migrate(&mut connection, options).await?;
        sqlx::raw_sql(TAKE_TURN).execute(&mut connection).await.map_err(|error| match sqlstate(&error).as_deref() {
            Some("55P03") => internal(format!("another copy into database {} is running", identity::name(options))),
            _ => failed(error),
        })?;
        refuse_servers(&mut connection, options).await?;
        let mut tx = connection.begin().await.map_err(failed)?;
        if sqlx::query(LOCK_LOG).fetch_optional(&mut *tx).await.map_err(failed)?.is_some() {
            refuse_rows(&mut tx, options).await?;
            tx.execute(TAKE_LOG_AWAY).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        Ok(Self { connection })
    }

    pub(in crate::store) async fn standing(&mut self) -> Result<Standing, Error> {
        let row = sqlx::query(STANDING).fetch_one(&mut self.connection).await.map_err(failed)?;
        let standing = || -> Result<Standing, sqlx::Error> {
            let log = LogRow {
                epoch: row.try_get(0)?,
                head: row.try_get(1)?,
                first: row.try_get(2)?,
                last_at: row.try_get::<Timestamp, _>(3)?.as_micros(),
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
        self.connection.execute("rollback").await.map(drop).map_err(failed)
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

    /// Writes rows in one transaction.
    pub(in crate::store) async fn insert(&mut self, table: &Table, rows: &[Row]) -> Result<(), sqlx::Error> {
        refuse_nul(table, rows)?;
        let arrays: Vec<_> = table.columns.iter().zip(1..).map(|((_, kind), at)| format!("${at}::{}[]", name(*kind))).collect();
        let statement = format!(
            "insert into {} ({}) overriding system value select * from unnest({})",
            table.name,
            table.column_names(),
            arrays.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for (at, (_, kind)) in table.columns.iter().enumerate() {
            query = bind(query, rows, at, *kind);
        }
        query.execute(&mut self.connection).await.map(drop)
    }

    pub(in crate::store) async fn finish(mut self, standing: Standing) -> Result<(), Error> {
        let Standing { log, last_revocation, .. } = standing;
        // What servers ask is planned well from the first question on.
        for table in &TABLES {
            sqlx::raw_sql(AssertSqlSafe(format!("analyze {}", table.name)))
                .execute(&mut self.connection)
                .await
                .map_err(failed)?;
        }
        let mut tx = self.connection.begin().await.map_err(failed)?;
        sqlx::query(PUT_SEQUENCE).bind(last_revocation).execute(&mut *tx).await.map_err(failed)?;
        let put = sqlx::query(PUT_LOG)
            .bind(log.epoch)
            .bind(log.head)
            .bind(log.first)
            .bind(Timestamp::from_micros(log.last_at))
            .bind(log.users)
            .bind(log.contacts)
            .bind(log.messages)
            .bind(log.event_bytes);
        put.execute(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(|error| Error::OutcomeUnknown(Some(error.into())))?;
        let _ = self.connection.close().await;
        Ok(())
    }
}

async fn refuse_rows(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<(), Error> {
    for table in &TABLES {
        let has_rows = sqlx::query_scalar(AssertSqlSafe(table.has_rows())).fetch_one(&mut *connection).await;
        if has_rows.map_err(failed)? {
            let (database, table) = (identity::name(options), table.name);
            return Err(internal(format!("database {database} already has rows in {table}: copy into an empty database")));
        }
    }
    Ok(())
}

/// Commands with a NUL are refused, but were not always.
fn refuse_nul(table: &Table, rows: &[Row]) -> Result<(), sqlx::Error> {
    let has_nul = |row: &&Row| row.iter().any(|cell| matches!(cell, Cell::Text(text) if text.contains('\0')));
    match rows.iter().find(has_nul) {
        None => Ok(()),
        Some(row) => {
            let what = format!("{} has a row with the character NUL, which PostgreSQL cannot store: {:?}", table.name, row[0]);
            Err(sqlx::Error::Encode(what.into()))
        }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "bigint",
        Kind::Instant => "timestamptz",
        Kind::Id => "uuid",
        Kind::Text => "text",
    }
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds one column of all rows.
fn bind<'q>(query: Statement<'q>, rows: &'q [Row], at: usize, kind: Kind) -> Statement<'q> {
    let column = rows.iter().map(|row| &row[at]);
    let number = |cell: &Cell| if let Cell::Integer(number) = cell { Some(*number) } else { None };
    match kind {
        Kind::Integer => query.bind(column.map(number).collect::<Vec<_>>()),
        Kind::Instant => query.bind(column.map(|cell| number(cell).map(Timestamp::from_micros)).collect::<Vec<_>>()),
        Kind::Id => {
            let id = |cell: &Cell| if let Cell::Id(id) = cell { Some(*id) } else { None };
            query.bind(column.map(id).collect::<Vec<Option<Uuid>>>())
        }
        Kind::Text => {
            let text = |cell: &'q Cell| if let Cell::Text(text) = cell { Some(text.as_str()) } else { None };
            query.bind(column.map(text).collect::<Vec<_>>())
        }
    }
}

fn decode(row: &PgRow, table: &Table) -> Result<Row, sqlx::Error> {
    let cell = |(at, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Integer => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Integer),
            Kind::Instant => row.try_get::<Option<Timestamp>, _>(at)?.map_or(Cell::Null, |at| Cell::Integer(at.as_micros())),
            Kind::Id => row.try_get::<Option<Uuid>, _>(at)?.map_or(Cell::Null, Cell::Id),
            Kind::Text => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
        })
    };
    table.columns.iter().enumerate().map(cell).collect()
}

fn internal(what: String) -> Error {
    Error::Internal { what, source: None }
}
