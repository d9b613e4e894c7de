//! What must be true of a database whatever happened to it: asked of SQLite itself, past the server.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

/// What is wrong, as a number of cases, each of which must be none.
const WRONG: [(&str, &str); 12] = [
    (
        "seq has holes",
        "select abs(l.head - (select count(*) from events)) + abs(l.head - (select coalesce(max(seq), 0) from events)) from log l",
    ),
    (
        "time runs backwards",
        "select count(*) from (select created_at < lag(created_at) over (order by seq) as back from events) where back",
    ),
    (
        "users are not the created ones",
        "select (select count(*) from users) - count(*) + count(*) filter (where data->>'id' not in (select id from users))
            from events where kind = 'user_created'",
    ),
    (
        "messages are not the sent ones",
        "select (select count(*) from messages) - count(*) + count(*) filter (where data->>'id' not in (select id from messages))
            from events where kind = 'message_sent'",
    ),
    (
        "a message differs from its event",
        "select count(*) from events e join messages m on m.id = e.data->>'id'
            where e.kind = 'message_sent' and (m.content <> e.data->>'content' or m.created_at <> e.created_at)",
    ),
    (
        "contacts are not those added and not removed",
        "with present as (select data->>'id' as id from events where kind = 'contact_added'
                except select data->>'id' from events where kind = 'contact_removed')
            select (select count(*) from present where id not in (select id from contacts))
                + (select count(*) from contacts where id not in (select id from present))",
    ),
    (
        "a contact was removed that was never added",
        "select count(*) from events where kind = 'contact_removed'
            and data->>'id' not in (select data->>'id' from events where kind = 'contact_added')",
    ),
    (
        "totals are not the rows",
        "select abs(users - (select count(*) from users)) + abs(contacts - (select count(*) from contacts))
            + abs(messages - (select count(*) from messages)) from log",
    ),
    (
        "days do not add up",
        "select abs((select coalesce(sum(users), 0) from daily) - (select count(*) from users))
            + abs((select coalesce(sum(last_active), 0) from daily) - (select count(*) from users))
            + abs((select coalesce(sum(messages), 0) from daily) - (select count(*) from messages))
            + abs((select coalesce(sum(contacts), 0) from daily) - (select count(*) from events where kind = 'contact_added'))",
    ),
    (
        "a kept answer has no event",
        "select count(*) from idempotency_keys where seq is not null and seq not in (select seq from events)",
    ),
    ("a reference leads nowhere", "select count(*) from pragma_foreign_key_check"),
    ("the file is damaged", "select count(*) from pragma_integrity_check where integrity_check <> 'ok'"),
];

/// An event as it is stored: kind and particulars.
pub(crate) type Stored = (String, String);

/// Checks the database at `path`, in one snapshot.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn check(path: &Path) -> Result<(), String> {
    let mut connection = open(path).await?;
    let checked = check_all(&mut connection).await;
    connection.close().await.map_err(|error| error.to_string())?;
    checked
}

async fn check_all(connection: &mut SqliteConnection) -> Result<(), String> {
    let mut tx = connection.begin().await.map_err(|error| error.to_string())?;
    for (wrong, count) in WRONG {
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await.map_err(|error| format!("{wrong}? {error}"))?;
        if count != 0 {
            return Err(format!("{wrong}: {count}"));
        }
    }
    Ok(())
}

/// The log of the database at `path`, from seq 1.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn log(path: &Path) -> Result<Vec<Stored>, String> {
    let mut connection = open(path).await?;
    let log = sqlx::query_as("select kind, data from events order by seq").fetch_all(&mut connection).await;
    connection.close().await.map_err(|error| error.to_string())?;
    log.map_err(|error| error.to_string())
}

/// Opens for reading, and so without changing what a server or the next check finds.
async fn open(path: &Path) -> Result<SqliteConnection, String> {
    SqliteConnectOptions::new().filename(path).read_only(true).connect().await.map_err(|error| error.to_string())
}
