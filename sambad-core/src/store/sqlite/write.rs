//! The committer's transaction: a handful of set-based statements, however many commands.
//!
//! Rows travel as one JSON array a statement, taken apart by `json_each`: the statements stay the same whatever the
//! size of the batch, so each is prepared once.

use std::collections::HashSet;
use std::fs::File;
use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use uuid::ContextV7;

use super::{failed, rows};
use crate::cursor::{Epoch, Seq};
use crate::error::Error;
use crate::event::{self, to_json};
use crate::limits::IDEMPOTENCY_KEY_TTL;
use crate::store::plan::{KeptAnswer, Loaded, Lookups, Plan, Start};
use crate::store::{Committed, Request};
use crate::time::Timestamp;

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    /// `None` after a failure: the next batch opens a new one, so that no half-done transaction is carried over.
    connection: Option<SqliteConnection>,
    ids: ContextV7,
    _lock: Arc<File>,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions, connection: SqliteConnection, lock: Arc<File>) -> Self {
        Self { options, connection: Some(connection), ids: ContextV7::new(), _lock: lock }
    }

    /// Carries out `requests` in one transaction at the instant `clock`, or the log's last if that is later.
    pub(crate) async fn commit(&mut self, requests: &[Request], clock: Timestamp) -> Result<Committed, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(failed)?,
        };
        let committed = commit(&mut connection, &mut self.ids, requests, clock).await?;
        self.connection = Some(connection);
        Ok(committed)
    }

    pub(crate) async fn close(self) {
        if let Some(connection) = self.connection {
            // Closing checkpoints the WAL; should that fail, the next opening does it.
            if let Err(error) = connection.close().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "closing the database failed");
            }
        }
    }
}

async fn commit(
    connection: &mut SqliteConnection,
    ids: &mut ContextV7,
    requests: &[Request],
    clock: Timestamp,
) -> Result<Committed, Error> {
    let mut tx = connection.begin_with("begin immediate").await.map_err(failed)?;
    let start = start(&mut tx, clock).await.map_err(failed)?;
    let loaded = load(&mut tx, requests, start.now).await.map_err(failed)?;
    let plan = Plan::make(requests, loaded, start, ids);
    if !plan.is_empty() {
        apply(&mut tx, &plan).await.map_err(failed)?;
    }
    tx.commit().await.map_err(|error| Error::OutcomeUnknown(Some(error.into())))?;
    Ok(Committed { events: event::encode(&plan.events), results: plan.results })
}

const START: &str = "select epoch, head, last_at from log";

async fn start(tx: &mut SqliteConnection, clock: Timestamp) -> Result<Start, sqlx::Error> {
    let row = sqlx::query(START).fetch_one(tx).await?;
    let epoch = u32::try_from(rows::unsigned(&row, 0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let now = clock.max(rows::timestamp(&row, 2)?);
    Ok(Start { epoch: Epoch(epoch), head: Seq(rows::unsigned(&row, 1)?), now })
}

const USERS_BY_ID: &str = "select id, phone, email, name, created_at, last_active_at from users
    where id in (select value from json_each(?1))";
const USERS_BY_PHONE: &str = "select id, phone, email, name, created_at, last_active_at from users
    where phone in (select value from json_each(?1))";
const CONTACTS_BY_ID: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at, c.name
    from contacts c join users u on u.id = c.user_id join users v on v.id = c.contact_user_id
    where c.id in (select value from json_each(?1))";
const CONTACTS_BY_PAIR: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at, c.name
    from json_each(?1) pair
    cross join contacts c on c.user_id = pair.value->>0 and c.contact_user_id = pair.value->>1
    join users u on u.id = c.user_id join users v on v.id = c.contact_user_id";
const ANSWERS: &str = "select key, fingerprint, outcome, seq from idempotency_keys
    where key in (select value from json_each(?1)) and created_at > ?2";

/// Reads whatever the batch refers to; a statement without anything to look up is not run.
async fn load(tx: &mut SqliteConnection, requests: &[Request], now: Timestamp) -> Result<Loaded, sqlx::Error> {
    let lookups = Lookups::of(requests);
    let mut loaded = Loaded::default();
    for row in matching(tx, USERS_BY_ID, &lookups.user_ids).await? {
        loaded.add_user(rows::user(&row, 0)?);
    }
    for row in matching(tx, USERS_BY_PHONE, &lookups.phones).await? {
        loaded.add_user(rows::user(&row, 0)?);
    }
    for row in matching(tx, CONTACTS_BY_ID, &lookups.contact_ids).await? {
        loaded.add_contact(rows::contact(&row)?);
    }
    let pairs = loaded.pairs(requests);
    for row in matching(tx, CONTACTS_BY_PAIR, &pairs).await? {
        loaded.add_contact(rows::contact(&row)?);
    }
    if !lookups.keys.is_empty() {
        let oldest = now.minus(IDEMPOTENCY_KEY_TTL).as_micros();
        for row in sqlx::query(ANSWERS).bind(to_json(&lookups.keys)).bind(oldest).fetch_all(&mut *tx).await? {
            loaded.answers.insert(row.try_get(0)?, kept_answer(&row)?);
        }
    }
    Ok(loaded)
}

async fn matching<T: Serialize + Eq + Hash>(
    tx: &mut SqliteConnection,
    statement: &'static str,
    wanted: &HashSet<T>,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(statement).bind(to_json(wanted)).fetch_all(tx).await
}

fn kept_answer(row: &SqliteRow) -> Result<KeptAnswer, sqlx::Error> {
    let outcome = serde_json::from_str(row.try_get(2)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let seq = row.try_get::<Option<i64>, _>(3)?.map(|seq| Seq(seq.unsigned_abs()));
    Ok(KeptAnswer { fingerprint: row.try_get(1)?, outcome, seq })
}

const INSERT_USERS: &str = "insert into users (id, phone, email, name, created_at, last_active_at)
    select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 from json_each(?1)";
const TOUCH_USERS: &str = "update users set last_active_at = ?2 where id in (select value from json_each(?1))";
const DELETE_CONTACTS: &str = "delete from contacts where id in (select value from json_each(?1))";
const INSERT_CONTACTS: &str = "insert into contacts (id, user_id, contact_user_id, name, created_at)
    select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each(?1)";
const INSERT_MESSAGES: &str = "insert into messages (id, from_user_id, to_user_id, content, type, created_at)
    select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 from json_each(?1)";
const INSERT_EVENTS: &str = "insert into events (seq, kind, user_id, other_id, created_at, data)
    select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 from json_each(?1)";
const ADD_TO_DAILY: &str = "insert into daily (day, users, contacts, messages, last_active)
    select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each(?1) where true
    on conflict (day) do update set users = users + excluded.users, contacts = contacts + excluded.contacts,
        messages = messages + excluded.messages, last_active = last_active + excluded.last_active";
const ADD_TO_TOTALS: &str = "update totals set users = users + ?1, contacts = contacts + ?2, messages = messages + ?3";
const MOVE_HEAD: &str = "update log set head = ?1, last_at = ?2";
/// Expired keys go in small portions, at most two for each that comes: they can neither pile up nor hold up a batch.
const DELETE_EXPIRED_KEYS: &str = "delete from idempotency_keys where key in
    (select key from idempotency_keys where created_at <= ?1 order by created_at limit 2 * ?2)";
const INSERT_KEYS: &str = "insert or replace into idempotency_keys (key, fingerprint, outcome, seq, created_at)
    select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each(?1)";

/// Writes the plan. Contacts are deleted before others are inserted: a pair may be removed and added again in one batch.
async fn apply(tx: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    let now = plan.now().as_micros();
    let users = plan.new_users.iter().map(|id| {
        let user = plan.user(*id);
        (user.id, &user.phone, &user.email, &user.name, now, now)
    });
    write(tx, INSERT_USERS, users).await?;
    if !plan.touched.is_empty() {
        sqlx::query(TOUCH_USERS).bind(to_json(&plan.touched)).bind(now).execute(&mut *tx).await?;
    }
    write(tx, DELETE_CONTACTS, plan.removed_contacts.iter()).await?;
    let contacts = plan.new_contacts.iter().map(|id| {
        let contact = plan.contact(*id);
        (contact.id, contact.user_id, contact.contact_user_id, &contact.name, now)
    });
    write(tx, INSERT_CONTACTS, contacts).await?;
    let messages = plan.new_messages.iter().map(|m| (m.id, m.from_user_id, m.to_user_id, &m.content, &m.message_type, now));
    write(tx, INSERT_MESSAGES, messages).await?;
    let days = plan.days.iter().map(|(day, d)| (day.number(), d.users, d.contacts, d.messages, d.last_active));
    write(tx, ADD_TO_DAILY, days).await?;
    if !plan.events.is_empty() {
        let events = plan.events.iter().map(|e| (e.seq, e.kind, e.involved.user, e.involved.other, now, &e.data));
        write(tx, INSERT_EVENTS, events).await?;
        let totals = plan.totals;
        let added = sqlx::query(ADD_TO_TOTALS).bind(totals.users).bind(totals.contacts).bind(totals.messages);
        added.execute(&mut *tx).await?;
        sqlx::query(MOVE_HEAD).bind(plan.head().0.cast_signed()).bind(now).execute(&mut *tx).await?;
    }
    apply_keys(tx, plan).await
}

async fn apply_keys(tx: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    if plan.new_keys.is_empty() {
        return Ok(());
    }
    let now = plan.now();
    let portion = i64::try_from(plan.new_keys.len()).unwrap_or(i64::MAX / 2);
    let expired = now.minus(IDEMPOTENCY_KEY_TTL).as_micros();
    sqlx::query(DELETE_EXPIRED_KEYS).bind(expired).bind(portion).execute(&mut *tx).await?;
    let keys = plan.new_keys.iter().map(|new| {
        let answer = &new.answer;
        (&new.key, &answer.fingerprint, to_json(&answer.outcome), answer.seq, now.as_micros())
    });
    write(tx, INSERT_KEYS, keys).await
}

/// Runs `statement` over all of `rows` at once; without rows not at all.
async fn write<T: Serialize>(
    tx: &mut SqliteConnection,
    statement: &'static str,
    rows: impl Iterator<Item = T>,
) -> Result<(), sqlx::Error> {
    let rows: Vec<T> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(statement).bind(to_json(&rows)).execute(tx).await.map(drop)
}
