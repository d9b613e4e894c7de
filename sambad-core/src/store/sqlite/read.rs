//! Reads: each in a transaction of its own that begins with the log's bounds, so that a body and its cursor belong together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, Sqlite, Transaction};

use super::{access, asked, failed, rows};
use crate::access::{Admin, AuditEntry, Revocation};
use crate::command::UserRef;
use crate::cursor::{LogBounds, Seq};
use crate::discovery::{AskedBefore, AskedPhones};
use crate::error::Error;
use crate::event::{EventRow, to_json};
use crate::figures::Readers;
use crate::kind::Filter;
use crate::limits::SLICE_BYTES_MAX;
use crate::model::{Analytics, ContactWithUsers, KnownUser, Message, Snapshot, User};
use crate::phone::Phone;
use crate::store::analytics::{self, DayCounts, Totals};
use crate::store::{ContactQuery, ListPosition, LogPage, MessageQuery, Page, UserOrder, UserQuery, pages};
use crate::time::Timestamp;

/// A small pool of read-only connections.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pool: SqlitePool,
    path: Arc<Path>,
    _lock: Arc<File>,
}

/// A read in progress.
struct Reading {
    tx: Transaction<'static, Sqlite>,
    bounds: LogBounds,
}

impl Reading {
    /// Ends the transaction; it changed nothing, so however it ends is fine, but an early end frees the connection.
    async fn done<T>(self, value: T) -> Result<Snapshot<T>, Error> {
        self.tx.commit().await.map_err(failed)?;
        Ok(Snapshot { cursor: self.bounds.head_cursor(), value })
    }

    /// Decodes `found`, of which one more than `limit` was asked for, into a page.
    async fn page<T>(
        self,
        found: Vec<SqliteRow>,
        limit: u32,
        decode: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
        token: impl Fn(&SqliteRow) -> Result<String, sqlx::Error>,
    ) -> Result<Snapshot<Page<T>>, Error> {
        let page = pages::page(found, limit, decode, token).map_err(failed)?;
        self.done(page).await
    }
}

const BOUNDS: &str = "select epoch, head, coalesce((select min(seq) from events), head + 1) from log";

/// Pages end at a number of rows or of bytes, whichever comes first; the bytes are counted before a row is handed over.
const EVENTS_BY_SEQ: &str = "select seq, kind, user_id, other_id, created_at, data from (
        select *, sum(octet_length(data)) over (order by seq rows unbounded preceding) - octet_length(data) as before
        from (select * from events where seq > ?1 order by seq limit ?2))
    where before < ?3 order by seq";
const EVENTS_OF_USER: &str = "select seq, kind, user_id, other_id, created_at, data from (
        select *, sum(octet_length(data)) over (order by seq rows unbounded preceding) - octet_length(data) as before
        from events where seq in (
            select seq from (select seq from events where user_id = ?4 and seq > ?1 order by seq limit ?2)
            union select seq from (select seq from events where other_id = ?4 and seq > ?1 order by seq limit ?2)
            order by seq limit ?2))
    where before < ?3 order by seq";
const NEWEST_EVENTS: &str = "select seq, kind, user_id, other_id, created_at, data from events order by seq desc limit ?1";

const USER_BY_ID: &str = "select id, phone, email, name, created_at, last_active_at from users where id = ?1";
/// The first of two phones that is stored.
const USER_BY_PHONE: &str = "select id, phone, email, name, created_at, last_active_at from users where phone in (?1, ?2)
    order by phone <> ?1 limit 1";
// Lists give the place in the log of each row after what is decoded.

const USERS_OLDEST_FIRST: &str = "select id, phone, email, name, created_at, last_active_at, seq from users
    where seq > ?1 order by seq limit ?2";
const USERS_NEWEST_FIRST: &str = "select id, phone, email, name, created_at, last_active_at, seq from users
    where seq < ?1 order by seq desc limit ?2";
/// Two index ranges, each cut at the limit, then merged.
const USERS_BY_PHONE_PREFIX: &str = "select id, phone, email, name, created_at, last_active_at from (
        select * from users where phone >= ?1 and phone < ?2 and phone > ?5 order by phone limit ?6)
    union
    select id, phone, email, name, created_at, last_active_at from (
        select * from users where phone >= ?3 and phone < ?4 and phone > ?5 order by phone limit ?6)
    order by phone limit ?6";
const USERS_BY_NAME_PREFIX: &str = "select id, phone, email, name, created_at, last_active_at from users
    where name is not null and name collate nocase >= ?1 and name collate nocase < ?2
        and (?3 is null or (name collate nocase, id) > (select name, id from users where id = ?3))
    order by name collate nocase, id limit ?4";
pub(super) const KNOWN_USERS: &str = "select id, phone, name from users where phone in (select value from json_each(?1))";

const CONTACTS_NEWEST_FIRST: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone),
        u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at,
        v.id, v.phone, v.email, v.name, v.created_at, v.last_active_at, c.seq
    from contacts c join users u on u.id = c.user_id join users v on v.id = c.contact_user_id
    where c.seq < ?1 order by c.seq desc limit ?2";
const CONTACTS_OF_USER: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone),
        u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at,
        v.id, v.phone, v.email, v.name, v.created_at, v.last_active_at, c.seq
    from contacts c join users u on u.id = c.user_id join users v on v.id = c.contact_user_id
    where c.user_id = ?3 and c.seq < ?1 order by c.seq desc limit ?2";

const MESSAGES_NEWEST_FIRST: &str =
    "select m.id, m.from_user_id, u.phone, m.to_user_id, v.phone, m.content, m.type, m.created_at, m.seq
    from messages m join users u on u.id = m.from_user_id join users v on v.id = m.to_user_id
    where m.seq < ?1 order by m.seq desc limit ?2";
/// Two index ranges, each cut at the limit, then merged: bounded however many messages the user has.
const MESSAGES_OF_USER: &str =
    "select m.id, m.from_user_id, u.phone, m.to_user_id, v.phone, m.content, m.type, m.created_at, m.seq
    from messages m join users u on u.id = m.from_user_id join users v on v.id = m.to_user_id
    where m.seq in (
        select seq from (select seq from messages where from_user_id = ?3 and seq < ?1 order by seq desc limit ?2)
        union select seq from (select seq from messages where to_user_id = ?3 and seq < ?1 order by seq desc limit ?2))
    order by m.seq desc limit ?2";
const MESSAGES_OF_PAIR: &str =
    "select m.id, m.from_user_id, u.phone, m.to_user_id, v.phone, m.content, m.type, m.created_at, m.seq
    from messages m join users u on u.id = m.from_user_id join users v on v.id = m.to_user_id
    where m.seq in (
        select seq from (
            select seq from messages where from_user_id = ?3 and to_user_id = ?4 and seq < ?1 order by seq desc limit ?2)
        union
        select seq from (
            select seq from messages where from_user_id = ?4 and to_user_id = ?3 and seq < ?1 order by seq desc limit ?2))
    order by m.seq desc limit ?2";

const TOTALS: &str = "select users, contacts, messages from log";
const DAILY: &str = "select day, users, contacts, messages, last_active from daily where day > ?1 order by day";

impl Reader {
    pub(super) fn new(pool: SqlitePool, path: PathBuf, lock: Arc<File>) -> Self {
        Self { pool, path: path.into(), _lock: lock }
    }

    pub(crate) fn readers(&self) -> Readers {
        let (open, idle) = (self.pool.size(), u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX));
        Readers { open, busy: open.saturating_sub(idle) }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path.to_path_buf()
    }

    async fn begin(&self) -> Result<Reading, Error> {
        let mut tx = self.pool.begin().await.map_err(failed)?;
        let row = sqlx::query(BOUNDS).fetch_one(&mut *tx).await.map_err(failed)?;
        Ok(Reading { bounds: rows::bounds(&row).map_err(failed)?, tx })
    }

    pub(crate) async fn admin(&self, email: &str, network: &str) -> Result<Option<Admin>, Error> {
        let found = sqlx::query(access::ADMIN).bind(email).bind(network).fetch_optional(&self.pool).await.map_err(failed)?;
        found.as_ref().map(access::admin).transpose().map_err(failed)
    }

    pub(crate) async fn admin_session(&self, digest: &str, now: Timestamp) -> Result<Option<(String, Timestamp)>, Error> {
        let query = sqlx::query(access::SESSION).bind(digest).bind(now.as_micros());
        let found = query.fetch_optional(&self.pool).await.map_err(failed)?;
        found.map(|row| Ok((row.try_get(0)?, rows::timestamp(&row, 1)?))).transpose().map_err(failed)
    }

    pub(crate) async fn discovery_key(&self) -> Result<String, Error> {
        sqlx::query_scalar(asked::KEY).fetch_one(&self.pool).await.map_err(failed)
    }

    pub(crate) async fn asked_before(&self, asked: &AskedPhones) -> Result<AskedBefore, Error> {
        let found = sqlx::query(asked::ASKED).bind(asked.asker).bind(to_json(&asked.phones)).fetch_all(&self.pool).await;
        found.and_then(|rows| asked::before(&rows)).map_err(failed)
    }

    pub(crate) async fn knows_refresh_token(&self, digest: &str, now: Timestamp) -> Result<bool, Error> {
        let query = sqlx::query_scalar(access::KNOWS_REFRESH).bind(digest).bind(now.as_micros());
        query.fetch_one(&self.pool).await.map_err(failed)
    }

    pub(crate) async fn revocations(&self, n: i64, limit: u32) -> Result<Vec<Revocation>, Error> {
        let found = sqlx::query(access::REVOCATIONS).bind(n).bind(limit).fetch_all(&self.pool).await.map_err(failed)?;
        found.iter().map(access::revocation).collect::<Result<_, _>>().map_err(failed)
    }

    pub(crate) async fn audit(&self, n: i64, limit: u32) -> Result<Snapshot<Vec<AuditEntry>>, Error> {
        let mut reading = self.begin().await?;
        let query = sqlx::query(access::AUDIT).bind(n).bind(limit);
        let found = query.fetch_all(&mut *reading.tx).await.map_err(failed)?;
        reading.done(found.iter().map(access::entry).collect::<Result<_, _>>().map_err(failed)?).await
    }

    pub(crate) async fn bounds(&self) -> Result<LogBounds, Error> {
        let row = sqlx::query(BOUNDS).fetch_one(&self.pool).await.map_err(failed)?;
        rows::bounds(&row).map_err(failed)
    }

    pub(crate) async fn log_page(&self, after: Seq, filter: &Filter, limit: u32) -> Result<LogPage, Error> {
        let mut reading = self.begin().await?;
        let statement = if filter.user.is_some() { EVENTS_OF_USER } else { EVENTS_BY_SEQ };
        let query = sqlx::query(statement)
            .bind(after.0.cast_signed())
            .bind(pages::scanned_max(filter, limit))
            .bind(i64::try_from(SLICE_BYTES_MAX).unwrap_or(i64::MAX));
        let query = match filter.user {
            Some(user) => query.bind(user.to_string()),
            None => query,
        };
        let found = query.fetch_all(&mut *reading.tx).await.map_err(failed)?;
        let events = found.iter().map(rows::event).collect::<Result<Vec<EventRow>, _>>().map_err(failed)?;
        let bounds = reading.bounds;
        reading.done(()).await?;
        Ok(pages::log_page(bounds, events, after, filter, limit))
    }

    pub(crate) async fn newest_events(&self, limit: u32) -> Result<Snapshot<Vec<EventRow>>, Error> {
        let mut reading = self.begin().await?;
        let found = sqlx::query(NEWEST_EVENTS).bind(limit).fetch_all(&mut *reading.tx).await.map_err(failed)?;
        let events = found.iter().map(rows::event).collect::<Result<_, _>>().map_err(failed)?;
        reading.done(events).await
    }

    pub(crate) async fn user(&self, user: &UserRef) -> Result<Snapshot<Option<User>>, Error> {
        let statement = match user {
            UserRef::Id(id) => sqlx::query(USER_BY_ID).bind(id.to_string()),
            UserRef::Phone(phone) => {
                let mut readings = phone.readings().map(Phone::as_str);
                let first = readings.next();
                sqlx::query(USER_BY_PHONE).bind(first).bind(readings.next().or(first))
            }
            UserRef::National(number) => sqlx::query(USER_BY_PHONE).bind(number).bind(number),
        };
        let mut reading = self.begin().await?;
        let found = statement.fetch_optional(&mut *reading.tx).await.map_err(failed)?;
        let user = found.map(|row| rows::user(&row, 0)).transpose().map_err(failed)?;
        reading.done(user).await
    }

    pub(crate) async fn users(&self, query: &UserQuery, limit: u32) -> Result<Snapshot<Page<User>>, Error> {
        let mut reading = self.begin().await?;
        let statement = match query {
            UserQuery::All { order: UserOrder::OldestFirst, after } => {
                sqlx::query(USERS_OLDEST_FIRST).bind(after.unwrap_or(ListPosition::FIRST).seq())
            }
            UserQuery::All { order: UserOrder::NewestFirst, after } => {
                sqlx::query(USERS_NEWEST_FIRST).bind(after.unwrap_or(ListPosition::LAST).seq())
            }
            UserQuery::PhonePrefix { prefixes: [one, other], after } => sqlx::query(USERS_BY_PHONE_PREFIX)
                .bind(one)
                .bind(pages::past_prefix(one))
                .bind(other)
                .bind(pages::past_prefix(other))
                .bind(after.as_ref().map_or("", Phone::as_str)),
            UserQuery::NamePrefix { prefix, after } => sqlx::query(USERS_BY_NAME_PREFIX)
                .bind(prefix)
                .bind(pages::past_prefix(prefix))
                .bind(after.map(|id| id.to_string())),
        };
        let found = statement.bind(limit + 1).fetch_all(&mut *reading.tx).await.map_err(failed)?;
        let token = |row: &SqliteRow| match query {
            UserQuery::All { .. } => rows::position(row, 6),
            UserQuery::PhonePrefix { .. } => row.try_get(1),
            UserQuery::NamePrefix { .. } => row.try_get(0),
        };
        reading.page(found, limit, |row| rows::user(row, 0), token).await
    }

    pub(crate) async fn known_users(&self, phones: &[Phone]) -> Result<Snapshot<Vec<KnownUser>>, Error> {
        let mut reading = self.begin().await?;
        let found = sqlx::query(KNOWN_USERS).bind(to_json(phones)).fetch_all(&mut *reading.tx).await.map_err(failed)?;
        let users = found.iter().map(rows::known_user).collect::<Result<_, _>>().map_err(failed)?;
        reading.done(users).await
    }

    pub(crate) async fn contacts(&self, query: &ContactQuery, limit: u32) -> Result<Snapshot<Page<ContactWithUsers>>, Error> {
        let mut reading = self.begin().await?;
        let after = query.after.unwrap_or(ListPosition::LAST).seq();
        let statement = match query.user {
            None => sqlx::query(CONTACTS_NEWEST_FIRST).bind(after).bind(limit + 1),
            Some(user) => sqlx::query(CONTACTS_OF_USER).bind(after).bind(limit + 1).bind(user.to_string()),
        };
        let found = statement.fetch_all(&mut *reading.tx).await.map_err(failed)?;
        let decode = |row: &SqliteRow| -> Result<ContactWithUsers, sqlx::Error> {
            Ok(ContactWithUsers {
                contact: rows::contact(row)?,
                user: rows::user(row, 7)?,
                contact_user: rows::user(row, 13)?.into(),
            })
        };
        reading.page(found, limit, decode, |row| rows::position(row, 19)).await
    }

    pub(crate) async fn messages(&self, query: &MessageQuery, limit: u32) -> Result<Snapshot<Page<Message>>, Error> {
        let mut reading = self.begin().await?;
        let after = query.after.unwrap_or(ListPosition::LAST).seq();
        let statement = match (query.user, query.with) {
            (None, None) => sqlx::query(MESSAGES_NEWEST_FIRST).bind(after).bind(limit + 1),
            (Some(user), None) | (None, Some(user)) => {
                sqlx::query(MESSAGES_OF_USER).bind(after).bind(limit + 1).bind(user.to_string())
            }
            (Some(user), Some(with)) => {
                sqlx::query(MESSAGES_OF_PAIR).bind(after).bind(limit + 1).bind(user.to_string()).bind(with.to_string())
            }
        };
        let found = statement.fetch_all(&mut *reading.tx).await.map_err(failed)?;
        reading.page(found, limit, rows::message, |row| rows::position(row, 8)).await
    }

    pub(crate) async fn analytics(&self, now: Timestamp) -> Result<Snapshot<Analytics>, Error> {
        let mut reading = self.begin().await?;
        let today = now.day();
        let totals = sqlx::query(TOTALS).fetch_one(&mut *reading.tx).await.map_err(failed)?;
        let days = sqlx::query(DAILY).bind(analytics::before_first_day(today));
        let days = days.fetch_all(&mut *reading.tx).await.map_err(failed)?;
        let totals = counts(&totals, 0).map_err(failed)?;
        let days = days.iter().map(day_counts).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        reading.done(analytics::analytics(totals, &days, today)).await
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Columns: users, contacts, messages.
fn counts(row: &SqliteRow, at: usize) -> Result<Totals, sqlx::Error> {
    Ok(Totals { users: rows::unsigned(row, at)?, contacts: rows::unsigned(row, at + 1)?, messages: rows::unsigned(row, at + 2)? })
}

fn day_counts(row: &SqliteRow) -> Result<DayCounts, sqlx::Error> {
    Ok(DayCounts { day: row.try_get(0)?, counts: counts(row, 1)?, last_active: rows::unsigned(row, 4)? })
}
