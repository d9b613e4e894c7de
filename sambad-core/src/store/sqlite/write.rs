//! The committer's transaction: a handful of set-based statements, however many commands.
//!
//! Rows travel as one JSON array a statement, taken apart by `json_each`: the statements stay the same whatever the
//! size of the batch, so each is prepared once.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Either, Executor as _, Row as _};
use uuid::ContextV7;

use super::write_back::{self, Wal};
use super::{access, failed, outcome_unknown, rows};
use crate::access::{AccessChange, AccessOutcome, Actor};
use crate::clock::Clock;
use crate::cursor::{Epoch, Seq};
use crate::error::Error;
use crate::event::{self, to_json};
use crate::fatal::Fatal;
use crate::store::admission::Instants;
use crate::store::plan::{KeptAnswer, KeyAge, Loaded, Lookups, Plan, Start};
use crate::store::{Committed, Request, WriteBackError};

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    /// `None` after a failure: the next batch opens a new one, so that no half-done transaction is carried over.
    connection: Option<SqliteConnection>,
    ids: ContextV7,
    pub(in crate::store) clock: Clock,
    /// As the last transaction left it.
    pub(super) wal: Wal,
    /// Pages that were in the WAL when it was last tried to write it back.
    pub(super) tried_pages: u64,
    /// After a write-back that failed: not before.
    pub(super) write_back_at: Instant,
    /// After a reader was waited for in vain: not before.
    pub(super) restart_at: Instant,
    pub(super) wal_bytes_max: u64,
    /// Those that read, which an abandoned writer closes.
    readers: SqlitePool,
    lock: Arc<File>,
}

impl Writer {
    pub(super) fn new(
        (options, connection, readers): (SqliteConnectOptions, SqliteConnection, SqlitePool),
        clock: Clock,
        wal_bytes_max: u64,
        lock: Arc<File>,
    ) -> Self {
        let now = Instant::now();
        Self {
            options,
            connection: Some(connection),
            ids: ContextV7::new(),
            clock,
            wal: Wal::default(),
            tried_pages: 0,
            write_back_at: now,
            restart_at: now,
            wal_bytes_max,
            readers,
            lock,
        }
    }

    /// Carries out `requests` in one transaction at the clock's instant, or the log's last if that is later.
    pub(crate) async fn commit(&mut self, requests: &[Request]) -> Result<Committed, Error> {
        let mut connection = self.take_connection().await?;
        let (committed, wal) = commit(&mut connection, &mut self.ids, requests, &self.clock).await?;
        self.keep_connection(connection);
        self.wal = wal;
        Ok(committed)
    }

    /// Changes who may come in, with the entries in the audit log.
    pub(crate) async fn change_access(&mut self, changes: &[(AccessChange, Actor)]) -> Result<Vec<AccessOutcome>, Error> {
        let mut connection = self.take_connection().await?;
        let outcomes = access::apply(&mut connection, changes, Instants::by(&self.clock)).await.map_err(failed)?;
        self.wal = write_back::commit(&mut connection).await.map_err(outcome_unknown)?;
        self.keep_connection(connection);
        Ok(outcomes)
    }

    /// Writes a page that stays as it is.
    pub(crate) async fn probe(&mut self) -> Result<(), Error> {
        let mut connection = self.take_connection().await?;
        sqlx::query(PROBE).execute(&mut connection).await.map_err(failed)?;
        self.keep_connection(connection);
        Ok(())
    }

    /// Takes the connection, or opens a new one. Whoever fails does not give it back.
    pub(super) async fn take_connection(&mut self) -> Result<SqliteConnection, Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.options.connect().await.map_err(failed),
        }
    }

    pub(super) fn keep_connection(&mut self, connection: SqliteConnection) {
        self.connection = Some(connection);
    }

    /// # Errors
    /// When the disk failed at the last write-back; then the writer is abandoned.
    pub(crate) async fn close(mut self) -> Result<(), Fatal> {
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        let closed = match write_back::finish(&mut connection).await {
            Ok(()) => connection.close().await.map_err(failed),
            Err(WriteBackError::Failed(error)) => Err(error),
            Err(WriteBackError::DiskFailed(error)) => {
                self.keep_connection(connection);
                self.abandon().await;
                return Err(Fatal::DiskFailed(Arc::new(error)));
            }
        };
        if let Err(error) = closed {
            tracing::warn!(error = &error as &dyn std::error::Error, "closing the database failed");
        }
        Ok(())
    }

    /// Closes every connection of this process without another write-back, so that the file can be opened anew.
    ///
    /// SQLite writes the WAL back when the last connection is closed, and would take for written what the disk has lost. While
    /// another one is open it does not, and those that only read cannot: the writing one is closed first. The lock on the file
    /// is kept until all are closed, since whoever opens it is to be the first, who reads the WAL from its beginning.
    pub(crate) async fn abandon(self) {
        let Self { connection, readers, lock, .. } = self;
        let Some(connection) = connection else { return readers.close().await };
        let Ok(mut reader) = readers.acquire().await else { return keep_open(connection, lock) };
        // A connection that has read once holds its lock on the file as long as it is open.
        if sqlx::query(READ).fetch_all(&mut *reader).await.is_err() {
            return keep_open(connection, lock);
        }
        // However it ends, the connection's thread has ended then.
        let _ = connection.close().await;
        drop(reader);
        readers.close().await;
    }
}

/// Leaves a connection open, and the file locked, as long as the process lasts: it can be opened anew by the next one only.
fn keep_open(connection: SqliteConnection, lock: Arc<File>) {
    std::mem::forget((connection, lock));
}

/// Three trips to SQLite's thread, four when contacts are added, whatever the number of commands: a trip costs two
/// switches of thread, more than most statements.
///
/// The transaction is ended by hand, since its beginning shares a trip with the reads. Whoever drops this future or meets
/// an error drops the connection, and with it the transaction.
async fn commit(
    connection: &mut SqliteConnection,
    ids: &mut ContextV7,
    requests: &[Request],
    clock: &Clock,
) -> Result<(Committed, Wal), Error> {
    let (start, loaded) = begin(connection, requests, clock).await.map_err(failed)?;
    let plan = Plan::make(requests, loaded, start, ids);
    if !plan.is_empty() {
        apply(connection, &plan).await.map_err(failed)?;
    }
    let wal = write_back::commit(connection).await.map_err(outcome_unknown)?;
    let written = !plan.is_empty();
    let committed = Committed { events: event::encode(&plan.events), head: plan.head(), written, results: plan.results };
    Ok((committed, wal))
}

const PROBE: &str = "update log set head = head";
const READ: &str = "select head from log";

/// Begins, and reads whatever the batch refers to. Rows tell by their place which statement they come from.
const BEGIN: &str = "begin immediate;
    select epoch, head, last_at from log;
    select id, phone, email, name, created_at, last_active_at from users where id in (select value from json_each($1));
    select id, phone, email, name, created_at, last_active_at from users where phone in (select value from json_each($2));
    select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone)
        from contacts c join users u on u.id = c.user_id join users v on v.id = c.contact_user_id
        where c.id in (select value from json_each($3));
    select key, fingerprint, outcome, seq from idempotency_keys
        where key in (select value from json_each($4)) and created_at > $5";
const CONTACTS_BY_PAIR: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone)
    from json_each($1) pair
    cross join contacts c on c.user_id = pair.value->>0 and c.contact_user_id = pair.value->>1
    join users u on u.id = c.user_id join users v on v.id = c.contact_user_id";

async fn begin(connection: &mut SqliteConnection, requests: &[Request], clock: &Clock) -> Result<(Start, Loaded), sqlx::Error> {
    let keys = KeyAge::by(clock);
    let lookups = Lookups::of(requests);
    let query = sqlx::query(BEGIN)
        .bind(to_json(&lookups.user_ids))
        .bind(to_json(&lookups.phones))
        .bind(to_json(&lookups.contact_ids))
        .bind(to_json(&lookups.keys))
        .bind(keys.expired.as_micros());
    let (mut start, mut loaded) = (None, Loaded::default());
    let mut statement = 0;
    let mut rows = connection.fetch_many(query);
    while let Some(step) = rows.try_next().await? {
        match step {
            Either::Left(_) => statement += 1,
            Either::Right(row) => match statement {
                1 => start = Some(self::start(&row, keys, clock)?),
                2 | 3 => loaded.add_user(rows::user(&row, 0)?),
                4 => loaded.add_contact(rows::contact(&row)?),
                _ => drop(loaded.answers.insert(row.try_get(0)?, kept_answer(&row)?)),
            },
        }
    }
    drop(rows);
    let pairs = loaded.pairs(requests);
    if !pairs.is_empty() {
        for row in sqlx::query(CONTACTS_BY_PAIR).bind(to_json(&pairs)).fetch_all(connection).await? {
            loaded.add_contact(rows::contact(&row)?);
        }
    }
    Ok((start.ok_or(sqlx::Error::RowNotFound)?, loaded))
}

fn start(row: &SqliteRow, keys: KeyAge, clock: &Clock) -> Result<Start, sqlx::Error> {
    let epoch = u32::try_from(rows::unsigned(row, 0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let last_at = rows::timestamp(row, 2)?;
    clock.note_log(last_at);
    Ok(Start { epoch: Epoch(epoch), head: Seq(rows::unsigned(row, 1)?), now: keys.now.max(last_at), keys })
}

fn kept_answer(row: &SqliteRow) -> Result<KeptAnswer, sqlx::Error> {
    let outcome = serde_json::from_str(row.try_get(2)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let seq = row.try_get::<Option<i64>, _>(3)?.map(|seq| Seq(seq.unsigned_abs()));
    Ok(KeptAnswer { fingerprint: row.try_get(1)?, outcome, seq })
}

/// Writes a plan. An empty array costs a statement next to nothing.
///
/// Contacts are deleted before others are inserted: a pair may be removed and added again in one batch. Expired keys go in
/// small portions, at most two for each that comes: they can neither pile up nor hold up a batch.
const APPLY: &str = "insert into users (seq, id, phone, email, name, created_at, last_active_at)
        select value->>0, value->>1, value->>2, value->>3, value->>4, $1, $1 from json_each($2);
    update users set last_active_at = $1 where id in (select value from json_each($3));
    delete from contacts where id in (select value from json_each($4));
    insert into contacts (seq, id, user_id, contact_user_id, name, created_at)
        select value->>0, value->>1, value->>2, value->>3, value->>4, $1 from json_each($5);
    insert into messages (seq, id, from_user_id, to_user_id, content, type, created_at)
        select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, $1 from json_each($6);
    insert into daily (day, users, contacts, messages, last_active)
        select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each($7) where true
        on conflict (day) do update set users = users + excluded.users, contacts = contacts + excluded.contacts,
            messages = messages + excluded.messages, last_active = last_active + excluded.last_active;
    insert into events (seq, kind, user_id, other_id, created_at, data)
        select value->>0, value->>1, value->>2, value->>3, $1, value->>4 from json_each($8);
    update log set head = $9, last_at = $1, users = users + $10, contacts = contacts + $11, messages = messages + $12,
        event_bytes = event_bytes + $13";
const APPLY_KEYS: &str = "delete from idempotency_keys where key in
        (select key from idempotency_keys where created_at <= $2 order by created_at limit 2 * json_array_length($3));
    insert or replace into idempotency_keys (key, fingerprint, outcome, seq, created_at)
        select value->>0, value->>1, value->>2, value->>3, $1 from json_each($3)";

async fn apply(connection: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    let now = plan.now().as_micros();
    let users = plan.new_users.iter().map(|(seq, id)| (seq, plan.user(*id)));
    let users = users.map(|(seq, user)| (seq, user.id, &user.phone, &user.email, &user.name));
    let contacts = plan.new_contacts.iter().map(|new| (new, plan.contact(new.id)));
    let contacts = contacts.map(|(new, contact)| (new.seq, new.id, contact.user_id, contact.contact_user_id, &new.name));
    let messages = plan.new_messages.iter();
    let messages = messages.map(|(seq, m)| (seq, m.id, m.from_user_id, m.to_user_id, &m.content, &m.message_type));
    let days = plan.days.iter().map(|(day, d)| (day.number(), d.users, d.contacts, d.messages, d.last_active));
    let events = plan.events.iter().map(|e| (e.seq, e.kind, e.involved.user, e.involved.other, &e.data));
    let apply = sqlx::query(APPLY)
        .bind(now)
        .bind(json_rows(users))
        .bind(to_json(&plan.touched.iter().map(|(id, _)| id).collect::<Vec<_>>()))
        .bind(to_json(&plan.removed_contacts))
        .bind(json_rows(contacts))
        .bind(json_rows(messages))
        .bind(json_rows(days))
        .bind(json_rows(events))
        .bind(plan.head().0.cast_signed())
        .bind(plan.totals.users)
        .bind(plan.totals.contacts)
        .bind(plan.totals.messages)
        .bind(i64::try_from(plan.event_bytes()).unwrap_or(i64::MAX));
    apply.execute(&mut *connection).await?;
    if plan.new_keys.is_empty() {
        return Ok(());
    }
    let keys = plan.new_keys.iter().map(|new| (&new.key, &new.answer));
    let keys = keys.map(|(key, answer)| (key, &answer.fingerprint, to_json(&answer.outcome), answer.seq));
    let KeyAge { now, expired } = plan.keys();
    let apply = sqlx::query(APPLY_KEYS).bind(now.as_micros()).bind(expired.as_micros()).bind(json_rows(keys));
    apply.execute(connection).await.map(drop)
}

/// One JSON array of rows, each an array of columns.
fn json_rows<T: Serialize>(rows: impl Iterator<Item = T>) -> String {
    to_json(&rows.collect::<Vec<T>>())
}
