//! Examines a database: the file, the log, the rows, and whether they tell the same.
//!
//! Everything is read in one transaction, so that a server may write meanwhile. It is not done in pages: the WAL grows until
//! the examination has ended.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};

use super::{DatabaseFile, MIGRATIONS, clock, failed, identity, lock, rows};
use crate::check::{Finding, Severity};
use crate::error::Error;
use crate::event::to_json;
use crate::store::admission::check_audit;
use crate::store::examine::{self, Backwards, DayCounters, Extent};
use crate::time::Timestamp;

const RESTORE: &str = "Stop the server, keep a copy of the file, and restore the last backup.";

const SCHEMA: &str = "select coalesce(max(version), 0) from _sqlx_migrations";
const EXTENT: &str = "select epoch, head, coalesce((select min(seq) from events), head + 1),
        (select count(*) from events), coalesce((select max(seq) from events), head)
    from log";
const FIRST_HOLE: &str = "select min(seq) + 1 from events e where not exists (select 1 from events where seq = e.seq + 1)";
/// Where the log's last instant was reset, the next event may be older than the one before.
const BACKWARDS: &str = "select count(*), coalesce(min(seq), 0), coalesce(max(before - created_at), 0)
    from (select seq, created_at, lag(created_at) over (order by seq) as before from events)
    where created_at < before and seq - 1 not in (select seq from clock_resets)";
const FOREIGN_KEYS: &str = "select \"table\", count(*) from pragma_foreign_key_check group by 1";
const PRAGMAS: &str = "select journal_mode, page_size, freelist_count
    from pragma_journal_mode, pragma_page_size, pragma_freelist_count";
const INTEGRITY: &str = "pragma integrity_check(20)";

/// The instant of an event's row, which is in its data. The event may have a later one where an older version wrote it to
/// PostgreSQL.
macro_rules! row_at {
    () => {
        "unixepoch(substr(data->>'created_at', 1, 19)) * 1000000 + cast(substr(data->>'created_at', 21, 6) as integer)"
    };
}

/// What an event says, and no row shows; each with how many there are.
const EVENTS_WITHOUT_ROW: [(&str, &str); 4] = [
    (
        "user_created without its user",
        concat!(
            "select count(*) from events where kind = 'user_created'
            and (user_id, ",
            row_at!(),
            ") not in (select id, created_at from users)"
        ),
    ),
    (
        "contact_added without its contact or its removal",
        concat!(
            "select count(*) from events where kind = 'contact_added'
            and data->>'id' not in (select data->>'id' from events where kind = 'contact_removed')
            and (data->>'id', ",
            row_at!(),
            ") not in (select id, created_at from contacts)"
        ),
    ),
    (
        "contact_removed whose contact still exists",
        "select count(*) from events where kind = 'contact_removed' and data->>'id' in (select id from contacts)",
    ),
    (
        "message_sent without its message",
        concat!(
            "select count(*) from events where kind = 'message_sent'
            and (data->>'id', ",
            row_at!(),
            ") not in (select id, created_at from messages)"
        ),
    ),
];

/// Rows that stand in lists where their event is not.
const ROWS_ELSEWHERE: [(&str, &str); 3] = [
    (
        "users whose seq differs from their event's",
        "select count(*) from events e join users u on u.id = e.user_id where e.kind = 'user_created' and u.seq <> e.seq",
    ),
    (
        "contacts whose seq differs from their event's",
        "select count(*) from events e join contacts c on c.id = e.data->>'id'
            where e.kind = 'contact_added' and c.seq <> e.seq",
    ),
    (
        "messages whose seq differs from their event's",
        "select count(*) from events e join messages m on m.id = e.data->>'id'
            where e.kind = 'message_sent' and m.seq <> e.seq",
    ),
];

/// Rows from the seq `?1` on that no event tells of.
const ROWS_WITHOUT_EVENT: [(&str, &str); 3] = [
    (
        "users without their event",
        "select count(*) from users where seq >= ?1 and id not in (select user_id from events where kind = 'user_created')",
    ),
    (
        "contacts without their event",
        "select count(*) from contacts where seq >= ?1
            and id not in (select data->>'id' from events where kind = 'contact_added')",
    ),
    (
        "messages without their event",
        "select count(*) from messages where seq >= ?1
            and id not in (select data->>'id' from events where kind = 'message_sent')",
    ),
];

/// Counters that differ from what they count: name, value, truth.
const TOTALS: &str = "select 'users', users, (select count(*) from users) from log
    union all select 'contacts', contacts, (select count(*) from contacts) from log
    union all select 'messages', messages, (select count(*) from messages) from log
    union all select 'event_bytes', event_bytes, (select coalesce(sum(octet_length(data)), 0) from events) from log";
/// Each day's counters, each beside the truth. Contacts that were removed are known from the events alone, as far as those are
/// stored: of a trimmed log (`?1`) the counter itself is the best that is known, unless there are more rows.
const DAYS: &str = concat!(
    "with counted as (
        select day, sum(user) as users, sum(message) as messages, sum(active) as active, sum(contact) as contacts, sum(added) as added
        from (
            select created_at / 86400000000 as day, 1 as user, 0 as message, 0 as active, 0 as contact, 0 as added from users
            union all select created_at / 86400000000, 0, 1, 0, 0, 0 from messages
            union all select last_active_at / 86400000000, 0, 0, 1, 0, 0 from users
            union all select created_at / 86400000000, 0, 0, 0, 1, 0 from contacts
            union all select (",
    row_at!(),
    ") / 86400000000, 0, 0, 0, 0, 1 from events where kind = 'contact_added'
            union all select day, 0, 0, 0, 0, 0 from daily)
        group by day)
    select c.day, coalesce(d.users, 0), c.users,
        coalesce(d.contacts, 0), case when ?1 then max(c.contacts, coalesce(d.contacts, 0)) else c.added end,
        coalesce(d.messages, 0), c.messages, coalesce(d.last_active, 0), c.active
    from counted c left join daily d on d.day = c.day order by c.day"
);
const REPAIR_TOTALS: &str = "update log set users = (select count(*) from users), contacts = (select count(*) from contacts),
        messages = (select count(*) from messages),
        event_bytes = (select coalesce(sum(octet_length(data)), 0) from events)";
const REPAIR_DAYS: &str = "insert or replace into daily (day, users, contacts, messages, last_active)
    select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each(?1)";

/// Examines the database in `file`; a server may run on it meanwhile.
pub(crate) async fn check(file: &DatabaseFile) -> Result<Vec<Finding>, Error> {
    let mut connection = identity::open_read_only(file).await?;
    let mut findings = Vec::new();
    if let Err(error) = examine(&mut connection, &mut findings).await {
        // What was found so far tells more than the failure alone.
        findings.push(Finding::fault("file is sound", error.to_string(), RESTORE));
    }
    // It changed nothing, so however it ends is fine.
    let _ = connection.close().await;
    Ok(findings)
}

/// Counts the rows anew; no server may run on the database.
pub(crate) async fn repair(file: &DatabaseFile) -> Result<(), Error> {
    let _lock = lock(file)?;
    let mut connection = identity::open_existing(file).await?;
    if !has_current_schema(&mut connection).await.map_err(failed)? {
        let what = "its schema is from another version: nothing was repaired".into();
        return Err(Error::Internal { what, source: None });
    }
    let mut tx = connection.begin_with("begin immediate").await.map_err(failed)?;
    let extent = extent(&mut tx).await.map_err(failed)?;
    sqlx::query(REPAIR_TOTALS).execute(&mut *tx).await.map_err(failed)?;
    let days = wrong_days(&mut tx, &extent).await.map_err(failed)?;
    let rows: Vec<_> = days.iter().map(|day| (day.day, day.truth[0], day.truth[1], day.truth[2], day.truth[3])).collect();
    sqlx::query(REPAIR_DAYS).bind(to_json(&rows)).execute(&mut *tx).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

async fn examine(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    let integrity = integrity(&mut tx).await?;
    let sound = integrity.severity == Severity::Fine;
    findings.push(integrity);
    let schema = schema(&mut tx).await?;
    let current = schema.severity == Severity::Fine;
    findings.push(schema);
    if !sound || !current {
        return Ok(());
    }
    findings.push(pragmas(&mut tx).await?);
    findings.push(foreign_keys(&mut tx).await?);
    findings.push(examine::audit(check_audit(&mut *tx).await?));
    let extent = extent(&mut tx).await?;
    let hole = if extent.is_dense() { None } else { sqlx::query_scalar(FIRST_HOLE).fetch_one(&mut *tx).await? };
    findings.push(examine::dense(&extent, hole, RESTORE));
    let (count, first, most_us) = sqlx::query_as(BACKWARDS).fetch_one(&mut *tx).await?;
    findings.push(examine::time(&Backwards { count, first, most_us }, false));
    findings.push(examine::clock(clock::last_at(&mut tx).await?, Timestamp::now()));
    findings.push(examine::rows_and_events(&rows_and_events(&mut tx, extent.since()).await?, &extent, RESTORE));
    let totals: Vec<(String, i64, i64)> = sqlx::query_as(TOTALS).fetch_all(&mut *tx).await?;
    findings.push(examine::counters(&totals, &wrong_days(&mut tx, &extent).await?));
    Ok(())
}

/// What is kept in the file; the others (`synchronous`, `foreign_keys`) a server sets for each of its connections.
async fn pragmas(connection: &mut SqliteConnection) -> Result<Finding, sqlx::Error> {
    let row = sqlx::query(PRAGMAS).fetch_one(connection).await?;
    let (journal_mode, page_size, free): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let detail = format!("journal_mode {journal_mode}, pages of {page_size} bytes, {free} free pages");
    Ok(match journal_mode.as_str() {
        "wal" => Finding::fine("pragmas", detail),
        // As `backup` and `restore` leave it.
        "delete" => Finding::fine("pragmas", format!("{detail}; wal after the next start")),
        _ => Finding::warning("pragmas", detail, "Another program has opened the file: the next start sets wal again."),
    })
}

async fn integrity(connection: &mut SqliteConnection) -> Result<Finding, sqlx::Error> {
    let found = sqlx::query_scalar::<_, String>(INTEGRITY).fetch_all(connection).await?;
    let faults = if found == ["ok"] { Vec::new() } else { found };
    Ok(Finding::unless("file is sound", faults, "SQLite's integrity check found no errors", RESTORE))
}

async fn schema(connection: &mut SqliteConnection) -> Result<Finding, sqlx::Error> {
    let stored: i64 = sqlx::query_scalar(SCHEMA).fetch_one(connection).await?;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    Ok(examine::schema(stored, known))
}

/// Whether the schema is the one this version writes.
pub(super) async fn has_current_schema(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    schema(connection).await.map(|finding| finding.severity == Severity::Fine)
}

async fn foreign_keys(connection: &mut SqliteConnection) -> Result<Finding, sqlx::Error> {
    let found = sqlx::query(FOREIGN_KEYS).fetch_all(connection).await?;
    let fault = |row: &SqliteRow| Ok(format!("{} rows of {}", row.try_get::<i64, _>(1)?, row.try_get::<String, _>(0)?));
    let faults = found.iter().map(fault).collect::<Result<_, sqlx::Error>>()?;
    Ok(Finding::unless("references hold", faults, "every referenced user exists", RESTORE))
}

async fn extent(connection: &mut SqliteConnection) -> Result<Extent, sqlx::Error> {
    let row = sqlx::query(EXTENT).fetch_one(connection).await?;
    let bounds = rows::bounds(&row)?;
    Ok(Extent { bounds, count: rows::unsigned(&row, 3)?, lowest: bounds.first.0, last: rows::unsigned(&row, 4)? })
}

async fn rows_and_events(connection: &mut SqliteConnection, since: i64) -> Result<Vec<(&'static str, i64)>, sqlx::Error> {
    let mut found = Vec::new();
    for (what, statement) in EVENTS_WITHOUT_ROW {
        found.push((what, sqlx::query_scalar(statement).fetch_one(&mut *connection).await?));
    }
    for (what, statement) in ROWS_ELSEWHERE {
        found.push((what, sqlx::query_scalar(statement).fetch_one(&mut *connection).await?));
    }
    for (what, statement) in ROWS_WITHOUT_EVENT {
        found.push((what, sqlx::query_scalar(statement).bind(since).fetch_one(&mut *connection).await?));
    }
    Ok(found)
}

async fn wrong_days(connection: &mut SqliteConnection, extent: &Extent) -> Result<Vec<DayCounters>, sqlx::Error> {
    let rows = sqlx::query(DAYS).bind(extent.is_trimmed()).fetch_all(connection).await?;
    let counters = |row: &SqliteRow| -> Result<DayCounters, sqlx::Error> {
        let at = |columns: [usize; 4]| -> Result<[i64; 4], sqlx::Error> {
            let mut values = [0; 4];
            for (value, column) in values.iter_mut().zip(columns) {
                *value = row.try_get(column)?;
            }
            Ok(values)
        };
        Ok(DayCounters { day: row.try_get(0)?, stored: at([1, 3, 5, 7])?, truth: at([2, 4, 6, 8])? })
    };
    let days = rows.iter().map(counters).collect::<Result<Vec<_>, _>>()?;
    Ok(days.into_iter().filter(|day| day.stored != day.truth).collect())
}
