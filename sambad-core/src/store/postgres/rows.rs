//! From rows to values. Each function names the columns it reads, in the order in which a statement must select them.

use std::str::FromStr;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::cursor::{Epoch, LogBounds, Seq};
use crate::event::EventRow;
use crate::kind::Involved;
use crate::model::{Contact, KnownUser, Message, User, UserStatus};
use crate::store::ListPosition;

type Decoded<T> = Result<T, sqlx::Error>;

/// Reads a text column through the type's own parser.
pub(super) fn parsed<T>(row: &PgRow, at: usize) -> Decoded<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<&str, _>(at)?.parse().map_err(|error: T::Err| sqlx::Error::Decode(error.into()))
}

/// Reads a column that is never negative.
pub(super) fn unsigned(row: &PgRow, at: usize) -> Decoded<u64> {
    let number: i64 = row.try_get(at)?;
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(super) fn epoch(row: &PgRow, at: usize) -> Decoded<Epoch> {
    u32::try_from(unsigned(row, at)?).map(Epoch).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Reads the place in the log of a list's row, as the page token that it makes.
pub(super) fn position(row: &PgRow, at: usize) -> Decoded<String> {
    row.try_get(at).map(|seq| ListPosition::new(seq).to_string())
}

/// Columns: epoch, head, first.
pub(super) fn bounds(row: &PgRow, at: usize) -> Decoded<LogBounds> {
    Ok(LogBounds { epoch: epoch(row, at)?, head: Seq(unsigned(row, at + 1)?), first: Seq(unsigned(row, at + 2)?) })
}

/// Columns: id, phone, email, name, `created_at`, `last_active_at`.
pub(super) fn user(row: &PgRow, at: usize) -> Decoded<User> {
    Ok(User {
        id: row.try_get(at)?,
        username: parsed(row, at + 1)?,
        email: row.try_get(at + 2)?,
        phone: parsed(row, at + 1)?,
        name: row.try_get(at + 3)?,
        status: UserStatus::Active,
        created_at: row.try_get(at + 4)?,
        last_active_at: row.try_get(at + 5)?,
    })
}

/// Columns: id, phone, name.
pub(super) fn known_user(row: &PgRow) -> Decoded<KnownUser> {
    Ok(KnownUser { id: row.try_get(0)?, phone: parsed(row, 1)?, name: row.try_get(2)? })
}

/// Columns: id, `user_id`, phone, `contact_user_id`, phone, `created_at`, name.
pub(super) fn contact(row: &PgRow) -> Decoded<Contact> {
    Ok(Contact {
        id: row.try_get(0)?,
        user_id: row.try_get(1)?,
        user_username: parsed(row, 2)?,
        contact_user_id: row.try_get(3)?,
        contact_user_username: parsed(row, 4)?,
        created_at: row.try_get(5)?,
        name: row.try_get(6)?,
        phone: parsed(row, 4)?,
    })
}

/// Columns: id, `from_user_id`, phone, `to_user_id`, phone, content, type, `created_at`.
pub(super) fn message(row: &PgRow) -> Decoded<Message> {
    Ok(Message {
        id: row.try_get(0)?,
        from_user_id: row.try_get(1)?,
        from_username: parsed(row, 2)?,
        to_user_id: row.try_get(3)?,
        to_username: parsed(row, 4)?,
        content: row.try_get(5)?,
        message_type: row.try_get(6)?,
        created_at: row.try_get(7)?,
    })
}

/// Columns: seq, kind, `user_id`, `other_id`, `created_at`, data.
pub(super) fn event(row: &PgRow) -> Decoded<EventRow> {
    Ok(EventRow {
        seq: Seq(unsigned(row, 0)?),
        kind: parsed(row, 1)?,
        involved: Involved { user: row.try_get(2)?, other: row.try_get(3)? },
        created_at: row.try_get(4)?,
        data: row.try_get(5)?,
    })
}
