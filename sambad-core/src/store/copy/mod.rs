//! Moves a database into another one, of whichever sort.
//!
//! The source is read in one snapshot while no server runs on it, each table once and in the order of its key. Rows are written
//! in portions, each a transaction, so that what a table of the target holds is always a beginning of the source's: a copy that
//! was cut short goes on behind it. Then each table is read from the target and compared by number and digest with what the
//! source gave.
//!
//! **Invariant:** the target has no row of `log` from before the first row is written until everything has been compared: a
//! server does not start on a database without one.

pub(super) mod tables;

use futures_util::stream::{BoxStream, Fuse};
use futures_util::{StreamExt as _, TryStreamExt as _};

use self::tables::{Digest, Row, TABLES, Table, size};
use super::{postgres, sqlite};
use crate::cursor::{Epoch, LogBounds, Seq};
use crate::error::Error;
use crate::maintenance::{Copied, CopyStep};

/// What is written in one transaction, at most; two of these are in memory at a time.
const PORTION_ROWS_MAX: u64 = 5_000;
const PORTION_BYTES_MAX: usize = 4 << 20;

/// Who is told how far it is.
type Progress<'a> = &'a mut (dyn FnMut(CopyStep) + Send);

/// The log's own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogRow {
    pub(super) epoch: i64,
    pub(super) head: i64,
    /// The lowest seq that is stored.
    pub(super) first: i64,
    /// Microseconds since 1970.
    pub(super) last_at: i64,
    pub(super) users: i64,
    pub(super) contacts: i64,
    pub(super) messages: i64,
    pub(super) event_bytes: i64,
}

/// What stands beside the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) log: LogRow,
    /// The number of the last revocation that there ever was.
    pub(super) last_revocation: i64,
    /// The number of the last entry of the audit log, which most changes of access add one to.
    pub(super) last_entry: i64,
}

/// One of the two databases.
#[derive(Debug)]
enum Side {
    Sqlite(sqlite::Side),
    Postgres(postgres::Side),
}

macro_rules! dispatch {
    ($self:ident, $side:ident => $call:expr) => {
        match $self {
            Self::Sqlite($side) => $call,
            Self::Postgres($side) => $call,
        }
    };
}

impl Side {
    async fn source(url: &str) -> Result<Self, Error> {
        if postgres::is_url(url) {
            return postgres::Side::source(url).await.map(Self::Postgres);
        }
        sqlite::Side::source(sqlite::file(url)?).await.map(Self::Sqlite)
    }

    async fn target(url: &str) -> Result<Self, Error> {
        if postgres::is_url(url) {
            return postgres::Side::target(url).await.map(Self::Postgres);
        }
        sqlite::Side::target(sqlite::file(url)?).await.map(Self::Sqlite)
    }

    async fn standing(&mut self) -> Result<Standing, Error> {
        dispatch!(self, side => side.standing().await)
    }

    async fn end_snapshot(&mut self) -> Result<(), Error> {
        dispatch!(self, side => side.end_snapshot().await)
    }

    async fn count(&mut self, table: &Table) -> Result<u64, Error> {
        dispatch!(self, side => side.count(table).await)
    }

    async fn last(&mut self, table: &'static Table) -> Result<Option<Row>, Error> {
        dispatch!(self, side => side.last(table).await)
    }

    /// All rows in the order of the key, as they come in.
    fn rows<'a>(&'a mut self, table: &'static Table) -> BoxStream<'a, Result<Row, Error>> {
        dispatch!(self, side => side.rows(table))
    }

    async fn insert(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let inserted = dispatch!(self, side => side.insert(table, rows).await);
        inserted.map_err(|error| match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() || database.is_foreign_key_violation() => {
                differs(table, &format!("a row conflicts with existing rows ({database})"))
            }
            _ => {
                let what = format!("rows of {} could not be written: run the copy again, it continues from there", table.name);
                Error::Internal { what, source: Some(error.into()) }
            }
        })
    }

    /// Writes what stands beside the tables: from then on this is a database like any other.
    async fn finish(self, standing: Standing) -> Result<(), Error> {
        dispatch!(self, side => side.finish(standing).await)
    }
}

/// Moves everything from the database `from` to the database `to`.
pub(crate) async fn copy(from: &str, to: &str, progress: Progress<'_>) -> Result<Copied, Error> {
    if !postgres::is_url(from) && !postgres::is_url(to) {
        let what = "one of the two must be PostgreSQL: to copy an SQLite file, use `sambad-server backup`".into();
        return Err(Error::Internal { what, source: None });
    }
    let mut source = Side::source(from).await?;
    let standing = source.standing().await?;
    let mut target = Side::target(to).await?;
    let (mut tables, mut found) = (Vec::new(), 0);
    for table in &TABLES {
        let (rows, there) = copy_table(&mut source, &mut target, table, progress).await?;
        tables.push((table.name, rows));
        found += there;
    }
    source.end_snapshot().await?;
    if source.standing().await? != standing {
        let what = "the source changed during the copy: stop the programs that write to it, recreate the target, and copy \
            again"
            .into();
        return Err(Error::Internal { what, source: None });
    }
    target.finish(standing).await?;
    Ok(Copied { bounds: bounds(&standing.log)?, tables, found })
}

/// A table of the source, read in portions that go into one transaction each.
struct Portions<'a> {
    rows: Fuse<BoxStream<'a, Result<Row, Error>>>,
    key: usize,
    /// The last row that the target has; whatever comes before it is there as well.
    last: Option<Row>,
    /// All that was read so far.
    given: Digest,
    /// How many of these the target had.
    there: u64,
}

impl Portions<'_> {
    /// Reads on, and gives the rows that are to be written, which may be none; `None` at the end of the table.
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let (mut portion, mut bytes, begun) = (Vec::new(), 0, self.given.rows);
        while self.given.rows - begun < PORTION_ROWS_MAX && bytes < PORTION_BYTES_MAX {
            let Some(row) = self.rows.try_next().await? else { break };
            self.given.add(&row);
            if self.last.as_ref().is_some_and(|last| row[..self.key] <= last[..self.key]) {
                self.there += 1;
            } else {
                bytes += size(&row);
                portion.push(row);
            }
        }
        Ok((self.given.rows > begun).then_some(portion))
    }
}

/// Gives the rows of the table, and how many of them were there already.
async fn copy_table(
    source: &mut Side,
    target: &mut Side,
    table: &'static Table,
    progress: Progress<'_>,
) -> Result<(u64, u64), Error> {
    let of = source.count(table).await?;
    let last = target.last(table).await?;
    let rows = source.rows(table).fuse();
    let mut portions = Portions { rows, key: table.key, last, given: Digest::default(), there: 0 };
    let mut portion = portions.next().await?;
    while let Some(rows) = portion {
        progress(CopyStep { table: table.name, verifying: false, rows: portions.given.rows - rows.len() as u64, of });
        // The next portion is read while this one is written.
        ((), portion) = tokio::try_join!(target.insert(table, &rows), portions.next())?;
    }
    let Portions { given, there, .. } = portions;
    progress(CopyStep { table: table.name, verifying: false, rows: of, of });
    verify(&given, target, table, progress).await?;
    Ok((given.rows, there))
}

/// Compares what the target holds with what the source gave.
async fn verify(given: &Digest, target: &mut Side, table: &'static Table, progress: Progress<'_>) -> Result<(), Error> {
    let (of, mut stored) = (given.rows, Digest::default());
    let mut rows = target.rows(table);
    while let Some(row) = rows.try_next().await? {
        stored.add(&row);
        if stored.rows < of && stored.rows % PORTION_ROWS_MAX == 0 {
            progress(CopyStep { table: table.name, verifying: true, rows: stored.rows, of });
        }
    }
    if !stored.is_same(given) {
        let why = format!("the source has {of} rows, the target {}, and some differ", stored.rows);
        return Err(differs(table, &why));
    }
    progress(CopyStep { table: table.name, verifying: true, rows: of, of });
    Ok(())
}

fn differs(table: &Table, why: &str) -> Error {
    let what = format!(
        "table {} differs: {why}. The source changed after the copy started, or another program wrote to the target: \
         recreate the target, and copy again",
        table.name
    );
    Error::Internal { what, source: None }
}

fn bounds(log: &LogRow) -> Result<LogBounds, Error> {
    let seq = |number: i64| u64::try_from(number).ok().map(Seq);
    let bounds =
        || Some(LogBounds { epoch: Epoch(u32::try_from(log.epoch).ok()?), head: seq(log.head)?, first: seq(log.first)? });
    bounds().ok_or_else(|| Error::Internal { what: "the database holds a value that cannot be read".into(), source: None })
}
