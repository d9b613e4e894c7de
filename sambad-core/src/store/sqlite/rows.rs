//! From rows to values. Each function names the columns it reads, in the order in which a statement must select them.

use std::str::FromStr;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::cursor::{Epoch, LogBounds, Seq};
use crate::event::EventRow;
use crate::kind::Involved;
use crate::model::{Contact, KnownUser, Message, User, UserStatus};
use crate::store::ListPosition;
use crate::time::Timestamp;

type Decoded<T> = Result<T, sqlx::Error>;

/// Reads a text column through the type's own parser.
pub(super) fn parsed<T>(row: &SqliteRow, at: usize) -> Decoded<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<&str, _>(at)?.parse().map_err(|error: T::Err| sqlx::Error::Decode(error.into()))
}

pub(super) fn timestamp(row: &SqliteRow, at: usize) -> Decoded<Timestamp> {
    row.try_get(at).map(Timestamp::from_micros)
}

/// Reads a column that is never negative.
pub(super) fn unsigned(row: &SqliteRow, at: usize) -> Decoded<u64> {
    let number: i64 = row.try_get(at)?;
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Reads the place in the log of a list's row, as the page token that it makes.
pub(super) fn position(row: &SqliteRow, at: usize) -> Decoded<String> {
    row.try_get(at).map(|seq| ListPosition::new(seq).to_string())
}

/// Columns: epoch, head, first.
pub(super) fn bounds(row: &SqliteRow) -> Decoded<LogBounds> {
    let epoch = u32::try_from(unsigned(row, 0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(LogBounds { epoch: Epoch(epoch), head: Seq(unsigned(row, 1)?), first: Seq(unsigned(row, 2)?) })
}

/// Columns: id, phone, email, name, `created_at`, `last_active_at`.
pub(super) fn user(row: &SqliteRow, at: usize) -> Decoded<User> {
    Ok(User {
        id: parsed(row, at)?,
        username: parsed(row, at + 1)?,
        email: row.try_get(at + 2)?,
        phone: parsed(row, at + 1)?,
        name: row.try_get(at + 3)?,
        status: UserStatus::Active,
        created_at: timestamp(row, at + 4)?,
        last_active_at: timestamp(row, at + 5)?,
    })
}

/// Columns: id, phone, name.
pub(super) fn known_user(row: &SqliteRow) -> Decoded<KnownUser> {
    Ok(KnownUser { id: parsed(row, 0)?, phone: parsed(row, 1)?, name: row.try_get(2)? })
}

/// Columns: id, `user_id`, phone, `contact_user_id`, phone, `created_at`, name.
pub(super) fn contact(row: &SqliteRow) -> Decoded<Contact> {
    Ok(Contact {
        id: parsed(row, 0)?,
        user_id: parsed(row, 1)?,
        user_username: parsed(row, 2)?,
        contact_user_id: parsed(row, 3)?,
        contact_user_username: parsed(row, 4)?,
        created_at: timestamp(row, 5)?,
        name: row.try_get(6)?,
        phone: parsed(row, 4)?,
    })
}

/// Columns: id, `from_user_id`, phone, `to_user_id`, phone, content, type, `created_at`.
pub(super) fn message(row: &SqliteRow) -> Decoded<Message> {
    Ok(Message {
        id: parsed(row, 0)?,
        from_user_id: parsed(row, 1)?,
        from_username: parsed(row, 2)?,
        to_user_id: parsed(row, 3)?,
        to_username: parsed(row, 4)?,
        content: row.try_get(5)?,
        message_type: row.try_get(6)?,
        created_at: timestamp(row, 7)?,
    })
}

/// Columns: seq, kind, `user_id`, `other_id`, `created_at`, data.
pub(super) fn event(row: &SqliteRow) -> Decoded<EventRow> {
    let other = if row.try_get::<Option<&str>, _>(3)?.is_some() { Some(parsed(row, 3)?) } else { None };
    Ok(EventRow {
        seq: Seq(unsigned(row, 0)?),
        kind: parsed(row, 1)?,
        involved: Involved { user: parsed(row, 2)?, other },
        created_at: timestamp(row, 4)?,
        data: row.try_get(5)?,
    })
}
