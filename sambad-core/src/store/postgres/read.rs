//! Reads: each is one statement, and so of one snapshot, whose bounds of the log come with its rows: a body and its cursor belong
//! together. A transaction would be three trips to PostgreSQL instead of one, and one that is given up would have to be ended.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _, ValueRef as _};
use uuid::Uuid;

use super::connector::Connector;
use super::pool::Pool;
use super::{access, asked, bounded, failed, identity, rows};
use crate::access::{Admin, AuditEntry, Revocation};
use crate::command::UserRef;
use crate::cursor::{LogBounds, Seq};
use crate::discovery::{AskedBefore, AskedPhones};
use crate::error::Error;
use crate::event::EventRow;
use crate::figures::Readers;
use crate::kind::Filter;
use crate::limits::SLICE_BYTES_MAX;
use crate::model::{Analytics, ContactWithUsers, KnownUser, Message, Snapshot, User};
use crate::phone::Phone;
use crate::store::analytics::{self, DayCounts, Totals};
use crate::store::{ContactQuery, ListPosition, LogPage, MessageQuery, Page, UserOrder, UserQuery, pages};
use crate::time::Timestamp;

/// Reads on a few connections that only read.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pool: Pool,
    /// The life of PostgreSQL that was met at the start, if it could be told.
    cluster: Option<std::sync::Arc<str>>,
}

/// What a statement found, and the log's bounds in its snapshot.
struct Found {
    bounds: LogBounds,
    rows: Vec<PgRow>,
}

impl Found {
    fn snapshot<T>(&self, value: T) -> Snapshot<T> {
        Snapshot { cursor: self.bounds.head_cursor(), value }
    }

    fn all<T>(&self, decode: impl Fn(&PgRow) -> Result<T, sqlx::Error>) -> Result<Vec<T>, Error> {
        self.rows.iter().map(decode).collect::<Result<_, _>>().map_err(failed)
    }

    /// Decodes the rows, of which one more than `limit` was asked for, into a page.
    fn page<T>(
        self,
        limit: u32,
        decode: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
        token: impl Fn(&PgRow) -> Result<String, sqlx::Error>,
    ) -> Result<Snapshot<Page<T>>, Error> {
        let cursor = self.bounds.head_cursor();
        let value = pages::page(self.rows, limit, decode, token).map_err(failed)?;
        Ok(Snapshot { cursor, value })
    }
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

const BOUNDS: &str = "select epoch, head, first from log";

// Each of the following gives the bounds in its last columns, with every row; where nothing is found, in a row whose first
// column is null.

/// Pages end at a number of rows or of bytes, whichever comes first; the bytes are counted before a row is handed over.
const EVENTS_BY_SEQ: &str = "select e.seq, e.kind, e.user_id, e.other_id, e.created_at, e.data, l.epoch, l.head, l.first
    from log l left join (
        select *, sum(octet_length(data)) over (order by seq rows unbounded preceding) - octet_length(data) as before
        from (select * from events where seq > $1 order by seq limit $2) looked_at) e on e.before < $3
    order by e.seq";
/// Two index ranges, each cut at the limit, then merged: bounded however many events the user has.
const EVENTS_OF_USER: &str = "select e.seq, e.kind, e.user_id, e.other_id, e.created_at, e.data, l.epoch, l.head, l.first
    from log l left join (
        select *, sum(octet_length(data)) over (order by seq rows unbounded preceding) - octet_length(data) as before
        from (
            select distinct on (seq) * from (
                (select * from events where user_id = $4 and seq > $1 order by seq limit $2)
                union all
                (select * from events where other_id = $4 and seq > $1 order by seq limit $2)) of_user
            order by seq limit $2) looked_at) e on e.before < $3
    order by e.seq";
const NEWEST_EVENTS: &str = "select e.seq, e.kind, e.user_id, e.other_id, e.created_at, e.data, l.epoch, l.head, l.first
    from log l left join (select * from events order by seq desc limit $1) e on true order by e.seq desc";

const USER_BY_ID: &str = "select u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at, l.epoch, l.head, l.first
    from log l left join users u on u.id = $1";
/// The first of two phones that is stored.
const USER_BY_PHONE: &str = "select u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at, l.epoch, l.head, l.first
    from log l left join (select * from users where phone in ($1, $2) order by phone <> $1 limit 1) u on true";
// Lists give the place in the log of each row before these.

const USERS_OLDEST_FIRST: &str =
    "select u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at, u.seq, l.epoch, l.head, l.first
    from log l left join (select * from users where seq > $1 order by seq limit $2) u on true order by u.seq";
const USERS_NEWEST_FIRST: &str =
    "select u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at, u.seq, l.epoch, l.head, l.first
    from log l left join (select * from users where seq < $1 order by seq desc limit $2) u on true order by u.seq desc";
/// Two index ranges, each cut at the limit, then merged.
const USERS_BY_PHONE_PREFIX: &str =
    "select u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at, l.epoch, l.head, l.first
    from log l left join (
        (select * from users where phone >= $1 and phone < $2 and phone > $5 order by phone limit $6)
        union
        (select * from users where phone >= $3 and phone < $4 and phone > $5 order by phone limit $6)
        order by phone limit $6) u on true
    order by u.phone";
const USERS_BY_NAME_PREFIX: &str =
    "select u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at, l.epoch, l.head, l.first
    from log l left join (
        select * from users where name is not null and lower(name) >= $1 and lower(name) < $2
        order by lower(name), id limit $3) u on true
    order by lower(u.name), u.id";
const USERS_BY_NAME_PREFIX_AFTER: &str =
    "select u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at, l.epoch, l.head, l.first
    from log l left join (
        select * from users where name is not null and lower(name) >= $1 and lower(name) < $2
            and (lower(name), id) > ((select lower(name) from users where id = $4), $4)
        order by lower(name), id limit $3) u on true
    order by lower(u.name), u.id";
const KNOWN_USERS: &str = "select u.id, u.phone, u.name, l.epoch, l.head, l.first
    from log l left join users u on u.phone = any($1)";

const CONTACTS_NEWEST_FIRST: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone),
        u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at,
        v.id, v.phone, v.email, v.name, v.created_at, v.last_active_at, c.seq, l.epoch, l.head, l.first
    from log l left join (
        (select * from contacts where seq < $1 order by seq desc limit $2) c
        join users u on u.id = c.user_id join users v on v.id = c.contact_user_id) on true
    order by c.seq desc";
const CONTACTS_OF_USER: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone),
        u.id, u.phone, u.email, u.name, u.created_at, u.last_active_at,
        v.id, v.phone, v.email, v.name, v.created_at, v.last_active_at, c.seq, l.epoch, l.head, l.first
    from log l left join (
        (select * from contacts where user_id = $3 and seq < $1 order by seq desc limit $2) c
        join users u on u.id = c.user_id join users v on v.id = c.contact_user_id) on true
    order by c.seq desc";

const MESSAGES_NEWEST_FIRST: &str =
    "select m.id, m.from_user_id, u.phone, m.to_user_id, v.phone, m.content, m.type, m.created_at, m.seq,
        l.epoch, l.head, l.first
    from log l left join (
        (select * from messages where seq < $1 order by seq desc limit $2) m
        join users u on u.id = m.from_user_id join users v on v.id = m.to_user_id) on true
    order by m.seq desc";
/// As [`EVENTS_OF_USER`].
const MESSAGES_OF_USER: &str =
    "select m.id, m.from_user_id, u.phone, m.to_user_id, v.phone, m.content, m.type, m.created_at, m.seq,
        l.epoch, l.head, l.first
    from log l left join (
        (select distinct on (seq) * from (
            (select * from messages where from_user_id = $3 and seq < $1 order by seq desc limit $2)
            union all
            (select * from messages where to_user_id = $3 and seq < $1 order by seq desc limit $2)) of_user
        order by seq desc limit $2) m
        join users u on u.id = m.from_user_id join users v on v.id = m.to_user_id) on true
    order by m.seq desc";
const MESSAGES_OF_PAIR: &str =
    "select m.id, m.from_user_id, u.phone, m.to_user_id, v.phone, m.content, m.type, m.created_at, m.seq,
        l.epoch, l.head, l.first
    from log l left join (
        (select distinct on (seq) * from (
            (select * from messages where from_user_id = $3 and to_user_id = $4 and seq < $1 order by seq desc limit $2)
            union all
            (select * from messages where from_user_id = $4 and to_user_id = $3 and seq < $1 order by seq desc limit $2)) of_pair
        order by seq desc limit $2) m
        join users u on u.id = m.from_user_id join users v on v.id = m.to_user_id) on true
    order by m.seq desc";

const ANALYTICS: &str = "select d.day, d.users, d.contacts, d.messages, d.last_active, l.users, l.contacts, l.messages,
        l.epoch, l.head, l.first
    from log l left join daily d on d.day > $1 order by d.day";

impl Reader {
    pub(super) async fn open(connector: Connector, connections_max: u32, cluster: Option<String>) -> Result<Self, Error> {
        let named = connector.options().clone();
        let pool = Pool::open(connector, connections_max).await.map_err(|error| identity::cannot_open(&named, error))?;
        Ok(Self { pool, cluster: cluster.map(Into::into) })
    }

    pub(super) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    pub(super) fn connector(&self) -> &Connector {
        self.pool.connector()
    }

    pub(crate) fn readers(&self) -> Readers {
        self.pool.readers()
    }

    /// Runs a statement that gives the bounds in its last columns.
    async fn find(&self, statement: Statement<'_>) -> Result<Found, Error> {
        let mut rows = self.fetch(statement).await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed)?;
        let bounds = rows::bounds(first, first.len() - 3).map_err(failed)?;
        if first.try_get_raw(0).map_err(failed)?.is_null() {
            rows.clear();
        }
        Ok(Found { bounds, rows })
    }

    /// Runs a statement, in bounded time.
    pub(super) async fn fetch(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, Error> {
        let read = async {
            let mut lease = self.pool.take().await?;
            let rows = statement.fetch_all(lease.connection()).await.map_err(failed)?;
            lease.done();
            Ok(rows)
        };
        bounded(read).await
    }

    async fn fetch_one(&self, statement: Statement<'_>) -> Result<Option<PgRow>, Error> {
        self.fetch(statement).await.map(|mut rows| rows.pop())
    }

    pub(crate) async fn admin(&self, email: &str, network: &str) -> Result<Option<Admin>, Error> {
        // PostgreSQL has no text with this character, and so no such account.
        if email.contains('\0') {
            return Ok(None);
        }
        let found = self.fetch_one(sqlx::query(access::ADMIN).bind(email).bind(network)).await?;
        found.as_ref().map(access::admin).transpose().map_err(failed)
    }

    pub(crate) async fn admin_session(&self, digest: &str, now: Timestamp) -> Result<Option<(String, Timestamp)>, Error> {
        let found = self.fetch_one(sqlx::query(access::SESSION).bind(digest).bind(now)).await?;
        found.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose().map_err(failed)
    }

    pub(crate) async fn discovery_key(&self) -> Result<String, Error> {
        let found = self.fetch_one(sqlx::query(asked::KEY)).await?;
        found.ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get(0)).map_err(failed)
    }

    pub(crate) async fn asked_before(&self, asked: &AskedPhones) -> Result<AskedBefore, Error> {
        let rows = self.fetch(sqlx::query(asked::ASKED).bind(asked.asker).bind(asked.phones.clone())).await?;
        asked::before(&rows).map_err(failed)
    }

    pub(crate) async fn knows_refresh_token(&self, digest: &str, now: Timestamp) -> Result<bool, Error> {
        let found = self.fetch_one(sqlx::query(access::KNOWS_REFRESH).bind(digest).bind(now)).await?;
        found.ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get(0)).map_err(failed)
    }

    pub(crate) async fn revocations(&self, n: i64, limit: u32) -> Result<Vec<Revocation>, Error> {
        let found = self.fetch(sqlx::query(access::REVOCATIONS).bind(n).bind(i64::from(limit))).await?;
        found.iter().map(access::revocation).collect::<Result<_, _>>().map_err(failed)
    }

    pub(crate) async fn audit(&self, n: i64, limit: u32) -> Result<Snapshot<Vec<AuditEntry>>, Error> {
        let found = self.find(sqlx::query(access::AUDIT).bind(n).bind(i64::from(limit))).await?;
        Ok(found.snapshot(found.all(access::entry)?))
    }

    pub(crate) async fn bounds(&self) -> Result<LogBounds, Error> {
        let found = self.fetch_one(sqlx::query(BOUNDS)).await?;
        found.ok_or(sqlx::Error::RowNotFound).and_then(|row| rows::bounds(&row, 0)).map_err(failed)
    }

    pub(crate) async fn log_page(&self, after: Seq, filter: &Filter, limit: u32) -> Result<LogPage, Error> {
        let statement = if filter.user.is_some() { EVENTS_OF_USER } else { EVENTS_BY_SEQ };
        let query = sqlx::query(statement)
            .bind(after.0.cast_signed())
            .bind(i64::from(pages::scanned_max(filter, limit)))
            .bind(i64::try_from(SLICE_BYTES_MAX).unwrap_or(i64::MAX));
        let query = match filter.user {
            Some(user) => query.bind(user),
            None => query,
        };
        let found = self.find(query).await?;
        Ok(pages::log_page(found.bounds, found.all(rows::event)?, after, filter, limit))
    }

    pub(crate) async fn newest_events(&self, limit: u32) -> Result<Snapshot<Vec<EventRow>>, Error> {
        let found = self.find(sqlx::query(NEWEST_EVENTS).bind(i64::from(limit))).await?;
        Ok(found.snapshot(found.all(rows::event)?))
    }

    pub(crate) async fn user(&self, user: &UserRef) -> Result<Snapshot<Option<User>>, Error> {
        let statement = match user {
            UserRef::Id(id) => sqlx::query(USER_BY_ID).bind(*id),
            UserRef::Phone(phone) => {
                let mut readings = phone.readings().map(Phone::as_str);
                let first = readings.next();
                sqlx::query(USER_BY_PHONE).bind(first).bind(readings.next().or(first))
            }
            UserRef::National(number) => sqlx::query(USER_BY_PHONE).bind(number).bind(number),
        };
        let found = self.find(statement).await?;
        Ok(found.snapshot(found.all(|row| rows::user(row, 0))?.pop()))
    }

    pub(crate) async fn users(&self, query: &UserQuery, limit: u32) -> Result<Snapshot<Page<User>>, Error> {
        let asked = i64::from(limit) + 1;
        let statement = match query {
            UserQuery::All { order: UserOrder::OldestFirst, after } => {
                sqlx::query(USERS_OLDEST_FIRST).bind(after.unwrap_or(ListPosition::FIRST).seq()).bind(asked)
            }
            UserQuery::All { order: UserOrder::NewestFirst, after } => {
                sqlx::query(USERS_NEWEST_FIRST).bind(after.unwrap_or(ListPosition::LAST).seq()).bind(asked)
            }
            UserQuery::PhonePrefix { prefixes: [one, other], after } => sqlx::query(USERS_BY_PHONE_PREFIX)
                .bind(one)
                .bind(pages::past_prefix(one))
                .bind(other)
                .bind(pages::past_prefix(other))
                .bind(after.as_ref().map_or("", Phone::as_str))
                .bind(asked),
            UserQuery::NamePrefix { prefix, after } => {
                // What begins with U+0000 is no name, and PostgreSQL has no text with it: an empty range.
                let (from, to) = if prefix.contains('\0') {
                    (String::new(), String::new())
                } else {
                    let prefix = prefix.to_ascii_lowercase();
                    let past = pages::past_prefix(&prefix);
                    (prefix, past)
                };
                let statement = if after.is_some() { USERS_BY_NAME_PREFIX_AFTER } else { USERS_BY_NAME_PREFIX };
                let statement = sqlx::query(statement).bind(from).bind(to).bind(asked);
                match after {
                    Some(id) => statement.bind(*id),
                    None => statement,
                }
            }
        };
        let token = |row: &PgRow| match query {
            UserQuery::All { .. } => rows::position(row, 6),
            UserQuery::PhonePrefix { .. } => row.try_get(1),
            UserQuery::NamePrefix { .. } => row.try_get::<Uuid, _>(0).map(|id| id.to_string()),
        };
        self.find(statement).await?.page(limit, |row| rows::user(row, 0), token)
    }

    pub(crate) async fn known_users(&self, phones: &[Phone]) -> Result<Snapshot<Vec<KnownUser>>, Error> {
        let phones: Vec<&str> = phones.iter().map(Phone::as_str).collect();
        let found = self.find(sqlx::query(KNOWN_USERS).bind(phones)).await?;
        Ok(found.snapshot(found.all(rows::known_user)?))
    }

    pub(crate) async fn contacts(&self, query: &ContactQuery, limit: u32) -> Result<Snapshot<Page<ContactWithUsers>>, Error> {
        let after = query.after.unwrap_or(ListPosition::LAST).seq();
        let statement = match query.user {
            None => sqlx::query(CONTACTS_NEWEST_FIRST).bind(after).bind(i64::from(limit) + 1),
            Some(user) => sqlx::query(CONTACTS_OF_USER).bind(after).bind(i64::from(limit) + 1).bind(user),
        };
        let decode = |row: &PgRow| -> Result<ContactWithUsers, sqlx::Error> {
            Ok(ContactWithUsers {
                contact: rows::contact(row)?,
                user: rows::user(row, 7)?,
                contact_user: rows::user(row, 13)?.into(),
            })
        };
        self.find(statement).await?.page(limit, decode, |row| rows::position(row, 19))
    }

    pub(crate) async fn messages(&self, query: &MessageQuery, limit: u32) -> Result<Snapshot<Page<Message>>, Error> {
        let after = query.after.unwrap_or(ListPosition::LAST).seq();
        let statement = match (query.user, query.with) {
            (None, None) => sqlx::query(MESSAGES_NEWEST_FIRST).bind(after).bind(i64::from(limit) + 1),
            (Some(user), None) | (None, Some(user)) => {
                sqlx::query(MESSAGES_OF_USER).bind(after).bind(i64::from(limit) + 1).bind(user)
            }
            (Some(user), Some(with)) => {
                sqlx::query(MESSAGES_OF_PAIR).bind(after).bind(i64::from(limit) + 1).bind(user).bind(with)
            }
        };
        self.find(statement).await?.page(limit, rows::message, |row| rows::position(row, 8))
    }

    pub(crate) async fn analytics(&self, now: Timestamp) -> Result<Snapshot<Analytics>, Error> {
        let today = now.day();
        let rows = self.fetch(sqlx::query(ANALYTICS).bind(analytics::before_first_day(today))).await?;
        let read = || -> Result<_, sqlx::Error> {
            // The totals and the bounds stand in every row, also in the one without a day.
            let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            let mut days = Vec::with_capacity(rows.len());
            for row in &rows {
                if let Some(day) = row.try_get(0)? {
                    days.push(DayCounts { day, counts: counts(row, 1)?, last_active: rows::unsigned(row, 4)? });
                }
            }
            let value = analytics::analytics(counts(first, 5)?, &days, today);
            Ok(Snapshot { cursor: rows::bounds(first, 8)?.head_cursor(), value })
        };
        read().map_err(failed)
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Columns: users, contacts, messages.
fn counts(row: &PgRow, at: usize) -> Result<Totals, sqlx::Error> {
    Ok(Totals { users: rows::unsigned(row, at)?, contacts: rows::unsigned(row, at + 1)?, messages: rows::unsigned(row, at + 2)? })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
