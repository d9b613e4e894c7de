//! Examines a database: the schema, the log, the rows, and whether they tell the same.
//!
//! Everything is read from one snapshot, so that servers may write meanwhile. Whether PostgreSQL's files are sound, its own tools
//! tell: checksums, `pg_amcheck`.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};

use super::stopped::refuse_servers;
use super::{access, clock, failed, identity, rows};
use crate::check::Finding;
use crate::error::Error;
use crate::store::admission::check_audit;
use crate::store::examine::{self, Backwards, DayCounters, Extent};

const RESTORE: &str = "Stop all servers, keep a copy of the database, and restore the last backup.";
const CONFIGURE: &str = "Check these settings in postgresql.conf: see docs/guides/scale-out.md.";

/// However long it takes.
const BEGIN: &str = "begin isolation level repeatable read read only; set local statement_timeout = 0";
const SETTINGS: &str = "select name, setting from pg_settings
    where name in ('autovacuum', 'fsync', 'full_page_writes', 'server_encoding', 'server_version') order by name";
/// What they should be; of others only the value is told.
const SOUND_SETTINGS: [(&str, &str); 4] =
    [("autovacuum", "on"), ("fsync", "on"), ("full_page_writes", "on"), ("server_encoding", "UTF8")];
const EXTENT: &str =
    "select epoch, head, first, (select count(*) from events), coalesce((select min(seq) from events), head + 1),
        coalesce((select max(seq) from events), head)
    from log";
const FIRST_HOLE: &str = "select min(seq) + 1 from events e where not exists (select 1 from events where seq = e.seq + 1)";
/// Where the log's last instant was reset, the next event may be older than the one before.
const BACKWARDS: &str = "select count(*), coalesce(min(seq), 0),
        coalesce(max((extract(epoch from before - created_at) * 1000000)::bigint), 0)
    from (select seq, created_at, lag(created_at) over (order by seq) as before from events) e
    where created_at < before and seq - 1 not in (select seq from clock_resets)";
/// References that PostgreSQL enforces, unless somebody kept it from doing so.
const FOREIGN_KEYS: &str = "select conrelid::regclass::text || ': ' || conname || ' was never validated'
        from pg_constraint where contype = 'f' and not convalidated and connamespace = current_schema()::regnamespace
    union all select count(*) || ' rows of contacts' from contacts
        where user_id not in (select id from users) or contact_user_id not in (select id from users) having count(*) > 0
    union all select count(*) || ' rows of messages' from messages
        where from_user_id not in (select id from users) or to_user_id not in (select id from users) having count(*) > 0
    union all select count(*) || ' rows of admin_sessions' from admin_sessions
        where email not in (select email from admins) having count(*) > 0
    union all select count(*) || ' rows of refresh_tokens' from refresh_tokens
        where user_id not in (select id from users) having count(*) > 0";

/// What an event says, and no row shows; each with how many there are. The instant of a row is in its event's data. The event has
/// the same, or a later one where an older version wrote it.
const EVENTS_WITHOUT_ROW: [(&str, &str); 4] = [
    (
        "user_created without its user",
        "select count(*) from events e where kind = 'user_created' and not exists (
            select 1 from users where id = e.user_id and created_at <= e.created_at
                and created_at = (e.data::json->>'created_at')::timestamptz)",
    ),
    (
        "contact_added without its contact or its removal",
        "select count(*) from events e where kind = 'contact_added'
            and not exists (select 1 from contacts where id = (e.data::json->>'id')::uuid and created_at <= e.created_at
                and created_at = (e.data::json->>'created_at')::timestamptz)
            and not exists (select 1 from events where kind = 'contact_removed' and data::json->>'id' = e.data::json->>'id')",
    ),
    (
        "contact_removed whose contact still exists",
        "select count(*) from events e
            where kind = 'contact_removed' and exists (select 1 from contacts where id = (e.data::json->>'id')::uuid)",
    ),
    (
        "message_sent without its message",
        "select count(*) from events e where kind = 'message_sent' and not exists (
            select 1 from messages where id = (e.data::json->>'id')::uuid and created_at <= e.created_at
                and created_at = (e.data::json->>'created_at')::timestamptz)",
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
        "select count(*) from events e join contacts c on c.id = (e.data::json->>'id')::uuid
            where e.kind = 'contact_added' and c.seq <> e.seq",
    ),
    (
        "messages whose seq differs from their event's",
        "select count(*) from events e join messages m on m.id = (e.data::json->>'id')::uuid
            where e.kind = 'message_sent' and m.seq <> e.seq",
    ),
];

/// Rows from the seq `$1` on that no event tells of.
const ROWS_WITHOUT_EVENT: [(&str, &str); 3] = [
    (
        "users without their event",
        "select count(*) from users u where seq >= $1
            and not exists (select 1 from events where kind = 'user_created' and user_id = u.id)",
    ),
    (
        "contacts without their event",
        "select count(*) from contacts c where seq >= $1
            and not exists (select 1 from events where kind = 'contact_added' and (data::json->>'id')::uuid = c.id)",
    ),
    (
        "messages without their event",
        "select count(*) from messages m where seq >= $1
            and not exists (select 1 from events where kind = 'message_sent' and (data::json->>'id')::uuid = m.id)",
    ),
];

/// Counters that differ from what they count: name, value, truth.
const TOTALS: &str = "select 'users', users, (select count(*) from users) from log
    union all select 'contacts', contacts, (select count(*) from contacts) from log
    union all select 'messages', messages, (select count(*) from messages) from log
    union all select 'event_bytes', event_bytes, (select coalesce(sum(octet_length(data)), 0) from events) from log";
/// Each day's counters, each beside the truth. Contacts that were removed are known from the events alone, as far as those are
/// stored: of a trimmed log (`$1`) the counter itself is the best that is known, unless there are more rows.
const DAYS: &str = "with counted as (
        select floor(extract(epoch from at) / 86400)::bigint as day, sum(users) as users, sum(messages) as messages,
            sum(active) as active, sum(contacts) as contacts, sum(added) as added
        from (
            select created_at as at, 1 as users, 0 as messages, 0 as active, 0 as contacts, 0 as added from users
            union all select created_at, 0, 1, 0, 0, 0 from messages
            union all select last_active_at, 0, 0, 1, 0, 0 from users
            union all select created_at, 0, 0, 0, 1, 0 from contacts
            union all select (data::json->>'created_at')::timestamptz, 0, 0, 0, 0, 1 from events where kind = 'contact_added'
            union all select to_timestamp(day * 86400), 0, 0, 0, 0, 0 from daily) each_one
        group by 1)
    select c.day, coalesce(d.users, 0), c.users,
        coalesce(d.contacts, 0), case when $1 then greatest(c.contacts, coalesce(d.contacts, 0)) else c.added end,
        coalesce(d.messages, 0), c.messages, coalesce(d.last_active, 0), c.active
    from counted c left join daily d on d.day = c.day order by c.day";

/// Of a server that starts meanwhile, the first batch waits for the repair.
const LOCK: &str = "lock table log in share row exclusive mode";
const REPAIR_TOTALS: &str = "update log set users = (select count(*) from users), contacts = (select count(*) from contacts),
        messages = (select count(*) from messages),
        event_bytes = (select coalesce(sum(octet_length(data)), 0) from events)";
const REPAIR_DAYS: &str = "insert into daily (day, users, contacts, messages, last_active)
        select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    on conflict (day) do update set users = excluded.users, contacts = excluded.contacts, messages = excluded.messages,
        last_active = excluded.last_active";

/// Examines the database at `url`; servers may run on it meanwhile.
pub(crate) async fn check(url: &str) -> Result<Vec<Finding>, Error> {
    let (mut connection, schema) = identity::connect_ours(&super::connector(url)?).await?;
    let mut findings = vec![examine::schema(schema.stored, schema.known)];
    if !schema.is_current() {
        return Ok(findings);
    }
    if let Err(error) = examine(&mut connection, &mut findings).await {
        // What was found so far tells more than the failure alone.
        findings.push(Finding::fault("database is readable", error.to_string(), RESTORE));
    }
    // It changed nothing, so however it ends is fine.
    let _ = connection.close().await;
    Ok(findings)
}

/// Counts the rows anew; no server may run on the database.
pub(crate) async fn repair(url: &str) -> Result<(), Error> {
    let connector = super::connector(url)?;
    let mut connection = identity::connect_current_with(&connector).await?;
    refuse_servers(&mut connection, connector.options()).await?;
    let mut tx = connection.begin().await.map_err(failed)?;
    access::take_turn(&mut tx).await.map_err(failed)?;
    sqlx::query(LOCK).execute(&mut *tx).await.map_err(failed)?;
    let extent = extent(&mut tx).await.map_err(failed)?;
    sqlx::query(REPAIR_TOTALS).execute(&mut *tx).await.map_err(failed)?;
    let days = wrong_days(&mut tx, &extent).await.map_err(failed)?;
    let column = |at: usize| days.iter().map(|day| day.truth[at]).collect::<Vec<i64>>();
    let numbers: Vec<i64> = days.iter().map(|day| day.day).collect();
    let repair = sqlx::query(REPAIR_DAYS).bind(numbers).bind(column(0)).bind(column(1)).bind(column(2)).bind(column(3));
    repair.execute(&mut *tx).await.map_err(failed)?;
    tx.commit().await.map_err(|error| Error::OutcomeUnknown(Some(error.into())))
}

async fn examine(connection: &mut PgConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(BEGIN).execute(&mut *connection).await?;
    findings.push(settings(connection).await?);
    let broken: Vec<String> = sqlx::query_scalar(FOREIGN_KEYS).fetch_all(&mut *connection).await?;
    findings.push(Finding::unless("references hold", broken, "every referenced row exists", RESTORE));
    findings.push(examine::audit(check_audit(connection).await?));
    let extent = extent(connection).await?;
    let hole = if extent.is_dense() { None } else { sqlx::query_scalar(FIRST_HOLE).fetch_one(&mut *connection).await? };
    findings.push(examine::dense(&extent, hole, RESTORE));
    let (count, first, most_us) = sqlx::query_as(BACKWARDS).fetch_one(&mut *connection).await?;
    findings.push(examine::time(&Backwards { count, first, most_us }, true));
    let (last_at, now) = clock::last_at(connection).await?;
    findings.push(examine::clock(last_at, now));
    findings.push(examine::rows_and_events(&rows_and_events(connection, extent.since()).await?, &extent, RESTORE));
    let totals: Vec<(String, i64, i64)> = sqlx::query_as(TOTALS).fetch_all(&mut *connection).await?;
    findings.push(examine::counters(&totals, &wrong_days(connection, &extent).await?));
    Ok(())
}

/// Settings of the whole instance; the others a server sets for each of its connections.
async fn settings(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let found: Vec<(String, String)> = sqlx::query_as(SETTINGS).fetch_all(connection).await?;
    let wrong = |(name, value): &(String, String)| SOUND_SETTINGS.iter().any(|(n, sound)| n == name && sound != value);
    let unsound = found.iter().any(wrong);
    let detail = found.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
    Ok(if unsound { Finding::warning("settings", detail, CONFIGURE) } else { Finding::fine("settings", detail) })
}

async fn extent(connection: &mut PgConnection) -> Result<Extent, sqlx::Error> {
    let row = sqlx::query(EXTENT).fetch_one(connection).await?;
    let (count, lowest, last) = (rows::unsigned(&row, 3)?, rows::unsigned(&row, 4)?, rows::unsigned(&row, 5)?);
    Ok(Extent { bounds: rows::bounds(&row, 0)?, count, lowest, last })
}

async fn rows_and_events(connection: &mut PgConnection, since: i64) -> Result<Vec<(&'static str, i64)>, sqlx::Error> {
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

async fn wrong_days(connection: &mut PgConnection, extent: &Extent) -> Result<Vec<DayCounters>, sqlx::Error> {
    let rows = sqlx::query(DAYS).bind(extent.is_trimmed()).fetch_all(connection).await?;
    let counters = |row: &PgRow| -> Result<DayCounters, sqlx::Error> {
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
