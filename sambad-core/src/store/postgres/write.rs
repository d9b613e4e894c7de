//! The committer's transaction: a few set-based statements, however many commands, and the place in the log as the last.
//!
//! **Invariant:** the head row is taken by the last statement before COMMIT, and held until that COMMIT is on disk. So seq is
//! dense and in commit order although any number of servers write, and each waits for another no longer than for a COMMIT.
//!
//! What a batch is planned from was read before and may be outdated when it is written: whatever that could matter to, the
//! writing statement compares, and a batch that met a conflict is rolled back and planned anew. Before the head row a batch locks
//! nothing but its idempotency keys, in their order, and behind it there is nobody to wait for: batches of two servers do not wait
//! for each other.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::{ContextV7, Uuid};

use super::apply::{take_place, write_keys};
use super::connector::Connector;
use super::{IDLE_IN_TRANSACTION, access, bounded, clock, failed, identity, rows, sqlstate};
use crate::access::{AccessChange, AccessOutcome, Actor};
use crate::clock::{Clock, elapsed};
use crate::cursor::{Epoch, Seq};
use crate::error::Error;
use crate::event;
use crate::store::admission::Instants;
use crate::store::plan::{KeptAnswer, KeyAge, Loaded, Lookups, Plan, Start, UNSETTLED};
use crate::store::{Committed, Request};
use crate::time::Timestamp;

/// Times that a batch is begun: each conflict means that another server got on, so that this many in a row mean a defect.
const ATTEMPTS_MAX: u32 = 32;
/// How long it is tried to find out whether a COMMIT whose answer was lost took effect: as long as a restart takes.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two tries.
const OUTCOME_PAUSE: Duration = Duration::from_millis(50);

/// A connection that was not used for longer is asked whether it still lives, for as long at most: PostgreSQL may have been
/// restarted meanwhile, which is no reason to refuse a write.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// The one connection that writes.
pub(crate) struct Writer {
    connector: Connector,
    /// With when it was last used; `None` after a failure: the next batch opens a new one, so that no half-done transaction is
    /// carried over.
    connection: Option<(PgConnection, Instant)>,
    /// This writer among those of all servers.
    id: Uuid,
    epoch: Epoch,
    /// Where the log is known to have stood: it is never shorter than that.
    head: Seq,
    /// Transactions begun, by which one is found again.
    transaction: i64,
    ids: ContextV7,
    /// The instant of the last batch: ours are not older, should the clock go back. Those of other servers are left to the
    /// events alone: one bad clock is not to become everybody's.
    last_at: Timestamp,
    /// The database's clock, which all of its servers share.
    pub(in crate::store) clock: Clock,
}

impl std::fmt::Debug for Writer {
    /// Leaves out where it connects to, which has the password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("id", &self.id).field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

/// How a batch came out that did not fail.
enum Attempt {
    Committed(Committed),
    /// Another server's batch got in the way: nothing was written.
    Conflict,
}

const LOG: &str = "select epoch from log";
const PROBE: &str = "update log set head = head";

impl Writer {
    pub(super) async fn open(connector: Connector, id: Uuid, settle: Duration) -> Result<Self, Error> {
        let options = connector.options();
        let mut connection = connector.connect().await.map_err(|error| identity::cannot_open(options, error))?;
        let Some(row) = sqlx::query(LOG).fetch_optional(&mut connection).await.map_err(failed)? else {
            return Err(identity::half_copied(options));
        };
        let epoch = rows::epoch(&row, 0).map_err(failed)?;
        let clock = clock::open(&mut connection, settle).await.map_err(failed)?;
        Ok(Self {
            connector,
            connection: Some((connection, Instant::now())),
            id,
            epoch,
            head: Seq::ZERO,
            transaction: 0,
            ids: ContextV7::new(),
            last_at: Timestamp::from_micros(0),
            clock,
        })
    }

    /// Notes that the log is known to have stood at `head`.
    pub(crate) fn announced(&mut self, head: Seq) {
        self.head = self.head.max(head);
    }

    /// Carries out `requests` in one transaction at the clock's instant, or that of this server's last if that is later.
    pub(crate) async fn commit(&mut self, requests: &[Request]) -> Result<Committed, Error> {
        for _ in 0..ATTEMPTS_MAX {
            if let Attempt::Committed(committed) = self.attempt(requests).await? {
                return Ok(committed);
            }
        }
        Err(Error::Unavailable(Some("batches of other servers conflicted each time".into())))
    }

    async fn attempt(&mut self, requests: &[Request]) -> Result<Attempt, Error> {
        let mut connection = self.take_connection().await?;
        self.transaction += 1;
        let me = (self.id, self.transaction);
        let clock = (&self.clock, self.last_at);
        let preparing = prepare(&mut connection, me, &mut self.ids, (self.epoch, self.head), requests, clock);
        let prepared = match bounded(preparing).await {
            Ok(prepared) => prepared,
            // Nothing was committed, and the connection is dropped: what PostgreSQL ends for a conflict is begun anew.
            Err(Error::Unavailable(Some(source))) if is_conflict(source.as_ref()) => return Ok(Attempt::Conflict),
            Err(error) => return Err(error),
        };
        let Some(plan) = prepared else {
            bounded(async { connection.execute("rollback").await.map_err(failed) }).await?;
            self.keep_connection(connection);
            return Ok(Attempt::Conflict);
        };
        if !self.finish(connection).await? {
            return Ok(Attempt::Conflict);
        }
        let written = !plan.is_empty();
        self.last_at = plan.now();
        self.announced(plan.head());
        let (events, head) = (event::encode(&plan.events), plan.head());
        Ok(Attempt::Committed(Committed { events, head, written, results: plan.results }))
    }

    /// Ends the transaction that `connection` is in, and tells whether it was stored.
    ///
    /// # Errors
    /// `OutcomeUnknown` if nobody could be asked.
    async fn finish(&mut self, mut connection: PgConnection) -> Result<bool, Error> {
        let lost = match timeout(super::ANSWER_TIMEOUT, connection.execute("commit")).await {
            Ok(Ok(_)) => {
                self.keep_connection(connection);
                return Ok(true);
            }
            Ok(Err(error)) => error,
            Err(elapsed) => sqlx::Error::Io(elapsed.into()),
        };
        drop(connection);
        let deadline = Instant::now() + OUTCOME_TIMEOUT;
        while let Ok(looked) = timeout_at(deadline, self.was_stored()).await {
            match looked {
                Ok(stored) => return Ok(stored),
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "outcome of a COMMIT is not known yet"),
            }
            sleep(OUTCOME_PAUSE).await;
        }
        Err(Error::OutcomeUnknown(Some(lost.into())))
    }

    /// Asks whether the last transaction was stored, which is certain once no connection of ours is left that could store it.
    async fn was_stored(&mut self) -> Result<bool, sqlx::Error> {
        let mut connection = self.connector.connect().await?;
        let name = self.connector.options().get_application_name().unwrap_or_default();
        while sqlx::query_scalar::<_, bool>(END_OTHERS).bind(name).fetch_optional(&mut connection).await?.is_some() {
            sleep(OUTCOME_PAUSE).await;
        }
        let last: Option<i64> = sqlx::query_scalar(LAST_TRANSACTION).bind(self.id).fetch_optional(&mut connection).await?;
        let stored = last == Some(self.transaction);
        if stored {
            // Ended while it waited for a synchronous standby, it is stored here alone. Whatever the standby has of a later
            // COMMIT, it has of this one.
            sqlx::query(PROBE).execute(&mut connection).await?;
        }
        self.keep_connection(connection);
        Ok(stored)
    }

    /// Changes who may come in, with the entries in the audit log.
    pub(crate) async fn change_access(&mut self, changes: &[(AccessChange, Actor)]) -> Result<Vec<AccessOutcome>, Error> {
        let mut connection = self.take_connection().await?;
        self.transaction += 1;
        let (id, transaction, instants) = (self.id, self.transaction, Instants::by(&self.clock));
        let apply = async {
            connection.execute("begin").await?;
            let outcomes = access::apply(&mut connection, changes, instants).await?;
            sqlx::query(NOTE_TRANSACTION).bind(id).bind(transaction).execute(&mut connection).await?;
            Ok(outcomes)
        };
        let outcomes = bounded(async { apply.await.map_err(failed) }).await?;
        if self.finish(connection).await? { Ok(outcomes) } else { Err(Error::Unavailable(Some("COMMIT was interrupted".into()))) }
    }

    /// Writes a row that stays as it is.
    pub(crate) async fn probe(&mut self) -> Result<(), Error> {
        let mut connection = self.take_connection().await?;
        bounded(async { sqlx::query(PROBE).execute(&mut connection).await.map_err(failed) }).await?;
        self.keep_connection(connection);
        Ok(())
    }

    /// Takes the connection, or opens a new one where there is none or it was closed meanwhile. Whoever fails does not give it
    /// back.
    pub(super) async fn take_connection(&mut self) -> Result<PgConnection, Error> {
        if let Some((mut connection, used_at)) = self.connection.take() {
            let lives = used_at.elapsed() < IDLE_MAX || matches!(timeout(IDLE_MAX, connection.ping()).await, Ok(Ok(())));
            if lives {
                return Ok(connection);
            }
        }
        let connector = &self.connector;
        bounded(async { connector.connect_checked().await.map_err(failed) }).await
    }

    pub(super) fn keep_connection(&mut self, connection: PgConnection) {
        self.connection = Some((connection, Instant::now()));
    }

    pub(crate) async fn close(self) {
        let Some((connection, _)) = self.connection else { return };
        if let Err(error) = bounded(async { connection.close().await.map_err(failed) }).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "closing the database failed");
        }
    }
}

/// Serialization failures and deadlocks: PostgreSQL rolled back one of those in each other's way.
fn is_conflict(source: &(dyn std::error::Error + 'static)) -> bool {
    let code = source.downcast_ref::<sqlx::Error>().and_then(sqlstate);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// Does everything but COMMIT; `None` where another batch got in the way.
async fn prepare(
    connection: &mut PgConnection,
    me: (Uuid, i64),
    ids: &mut ContextV7,
    (epoch, last): (Epoch, Seq),
    requests: &[Request],
    (clock, last_at): (&Clock, Timestamp),
) -> Result<Option<Plan>, Error> {
    let prepared = async move {
        // The head first: what is read after it may hold more than an answer's cursor says, and never less.
        let asked_at = elapsed();
        let begun = sqlx::raw_sql(BEGIN).fetch_all(&mut *connection).await?;
        let begun = begun.first().ok_or(sqlx::Error::RowNotFound)?;
        let seen = Seq(rows::unsigned(begun, 0)?);
        if begun.try_get::<&str, _>(3)? != IDLE_IN_TRANSACTION {
            let what = "a connection pooler has given this connection's settings to another: it must be in session mode";
            return Err(sqlx::Error::Configuration(what.into()));
        }
        clock::note(clock, asked_at, begun)?;
        let keys = KeyAge::by(clock);
        let loaded = load(connection, requests, keys).await?;
        let start = Start { epoch, head: UNSETTLED, now: keys.now.max(last_at), keys };
        let mut plan = Plan::make(requests, loaded, start, ids);
        if plan.is_empty() {
            plan.settle(seen, seen);
            return Ok(Some(plan));
        }
        if !write_keys(connection, &plan).await? {
            return Ok(None);
        }
        let Some(row) = take_place(connection, &plan, me, (epoch, last)).await? else {
            // This server ends as soon as it has looked at the log: whoever asks again is served by the next.
            return Err(sqlx::Error::Protocol("the log was replaced by another: restart this server".into()));
        };
        let head = Seq(rows::unsigned(&row, 0)?);
        if !row.try_get::<bool, _>(1)? {
            return Ok(None);
        }
        plan.settle(head, seen);
        Ok(Some(plan))
    };
    prepared.await.map_err(failed_batch)
}

/// A batch that contradicts what is stored is a defect; the constraint's name tells which.
fn failed_batch(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() || database.is_foreign_key_violation() => {
            let what = format!("batch conflicts with stored data: {}", database.constraint().unwrap_or("no constraint named"));
            Error::Internal { what, source: Some(error.into()) }
        }
        _ => failed(error),
    }
}

/// Instants as numbers: a statement that is not prepared is answered in text. Where a server stops in the middle, others wait as long
/// as the setting says: it is read in each transaction, should a pooler have been put in between.
const BEGIN: &str = "begin; select head, (extract(epoch from clock_timestamp()) * 1000000)::bigint,
        (extract(epoch from last_at) * 1000000)::bigint, current_setting('idle_in_transaction_session_timeout') from log";
/// Ends connections of this writer but the one that asks, and tells whether there are any still.
const END_OTHERS: &str = "select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = $1 and pid <> pg_backend_pid() limit 1";
const LAST_TRANSACTION: &str = "select transaction from writers where id = $1";
const NOTE_TRANSACTION: &str = "insert into writers (id, transaction, seen_at) values ($1, $2, now())
    on conflict (id) do update set transaction = excluded.transaction, seen_at = excluded.seen_at";

const USERS: &str = "select id, phone, email, name, created_at, last_active_at from users where id = any($1)
    union all
    select id, phone, email, name, created_at, last_active_at from users where phone = any($2)";
const CONTACTS_BY_ID: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone)
    from contacts c join users u on u.id = c.user_id join users v on v.id = c.contact_user_id
    where c.id = any($1)";
const CONTACTS_BY_PAIR: &str = "select c.id, c.user_id, u.phone, c.contact_user_id, v.phone, c.created_at,
        coalesce(c.name, v.name, v.phone)
    from unnest($1::uuid[], $2::uuid[]) as pair (user_id, contact_user_id)
    join contacts c on c.user_id = pair.user_id and c.contact_user_id = pair.contact_user_id
    join users u on u.id = c.user_id join users v on v.id = c.contact_user_id";
const KEYS: &str = "select key, fingerprint, outcome, seq from idempotency_keys where key = any($1) and created_at > $2";

/// Reads whatever the batch refers to.
async fn load(connection: &mut PgConnection, requests: &[Request], ages: KeyAge) -> Result<Loaded, sqlx::Error> {
    let (lookups, mut loaded) = (Lookups::of(requests), Loaded::default());
    let user_ids: Vec<_> = lookups.user_ids.into_iter().collect();
    let phones: Vec<String> = lookups.phones.iter().map(ToString::to_string).collect();
    if !user_ids.is_empty() || !phones.is_empty() {
        for row in sqlx::query(USERS).bind(user_ids).bind(phones).fetch_all(&mut *connection).await? {
            loaded.add_user(rows::user(&row, 0)?);
        }
    }
    if !lookups.contact_ids.is_empty() {
        let ids: Vec<_> = lookups.contact_ids.into_iter().collect();
        for row in sqlx::query(CONTACTS_BY_ID).bind(ids).fetch_all(&mut *connection).await? {
            loaded.add_contact(rows::contact(&row)?);
        }
    }
    if !lookups.keys.is_empty() {
        let keys: Vec<String> = lookups.keys.into_iter().collect();
        let query = sqlx::query(KEYS).bind(keys).bind(ages.expired);
        for row in query.fetch_all(&mut *connection).await? {
            loaded.answers.insert(row.try_get(0)?, kept_answer(&row)?);
        }
    }
    let (users, contacts): (Vec<_>, Vec<_>) = loaded.pairs(requests).into_iter().unzip();
    if !users.is_empty() {
        for row in sqlx::query(CONTACTS_BY_PAIR).bind(users).bind(contacts).fetch_all(connection).await? {
            loaded.add_contact(rows::contact(&row)?);
        }
    }
    Ok(loaded)
}

fn kept_answer(row: &PgRow) -> Result<KeptAnswer, sqlx::Error> {
    let outcome = serde_json::from_str(row.try_get(2)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let seq = row.try_get::<Option<i64>, _>(3)?.map(|seq| Seq(seq.unsigned_abs()));
    Ok(KeptAnswer { fingerprint: row.try_get(1)?, outcome, seq })
}
