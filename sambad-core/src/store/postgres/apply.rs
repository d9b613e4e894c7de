//! Writes a plan: its rows, and then, with the head row, its place in the log.

use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use crate::event::to_json;
use crate::limits::IDEMPOTENCY_KEY_TTL;
use crate::store::plan::{Plan, UNSETTLED};

/// What is inserted waits for a batch of another server that inserts the same; where that one was stored, fewer rows are
/// inserted than were planned. All go in the order of what must be unique.
const INSERT_USERS: &str = "insert into users (id, phone, email, name, created_at, last_active_at)
    select id, phone, email, name, $1, $1 from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) as u (id, phone, email, name)
    order by phone on conflict (phone) do nothing";
/// Touches those who were last active when the plan says.
const TOUCH: &str = "update users u set last_active_at = $1
    from (select id, last_active_at from users where id = any($2) order by id for no key update) as stored
    join unnest($2::uuid[], $3::timestamptz[]) as planned (id, at) on planned.id = stored.id and planned.at = stored.last_active_at
    where u.id = stored.id";
const DELETE_CONTACTS: &str = "delete from contacts where id = any($1)";
const INSERT_CONTACTS: &str = "insert into contacts (id, user_id, contact_user_id, name, created_at)
    select id, user_id, contact_user_id, name, $1
    from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[]) as c (id, user_id, contact_user_id, name)
    order by user_id, contact_user_id on conflict (user_id, contact_user_id) do nothing";
const INSERT_MESSAGES: &str = "insert into messages (id, from_user_id, to_user_id, content, type, created_at)
    select *, $1 from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[])";
/// Keys that have expired go in small portions, at most two for each that comes: they can neither pile up nor hold up a batch.
const FORGET_KEYS: &str = "delete from idempotency_keys where key in
    (select key from idempotency_keys where created_at <= $1 order by created_at limit $2 for update skip locked)";
/// The seq of an answer is not known yet.
const INSERT_KEYS: &str = "insert into idempotency_keys (key, fingerprint, outcome, created_at)
    select key, fingerprint, outcome, $1 from unnest($2::text[], $3::text[], $4::text[]) as k (key, fingerprint, outcome)
    order by key
    on conflict (key) do update set fingerprint = excluded.fingerprint, outcome = excluded.outcome, seq = null,
        created_at = excluded.created_at where idempotency_keys.created_at <= $5";

/// Writes everything that does not depend on the batch's place in the log; false if another server's batch got in the way.
/// What a batch has none of costs no statement.
pub(super) async fn write_rows(connection: &mut PgConnection, plan: &Plan) -> Result<bool, sqlx::Error> {
    let now = plan.now();
    let mut as_planned = true;
    if !plan.new_users.is_empty() {
        let users: Vec<_> = plan.new_users.iter().map(|id| plan.user(*id)).collect();
        let insert = sqlx::query(INSERT_USERS)
            .bind(now)
            .bind(&plan.new_users)
            .bind(users.iter().map(|user| user.phone.as_str()).collect::<Vec<_>>())
            .bind(users.iter().map(|user| user.email.as_str()).collect::<Vec<_>>())
            .bind(users.iter().map(|user| user.name.as_deref()).collect::<Vec<_>>());
        as_planned &= rows(insert.execute(&mut *connection).await?) == users.len();
    }
    if !plan.touched.is_empty() {
        let (ids, before): (Vec<_>, Vec<_>) = plan.touched.iter().copied().unzip();
        let touch = sqlx::query(TOUCH).bind(now).bind(ids).bind(before);
        as_planned &= rows(touch.execute(&mut *connection).await?) == plan.touched.len();
    }
    if !plan.removed_contacts.is_empty() {
        let delete = sqlx::query(DELETE_CONTACTS).bind(&plan.removed_contacts);
        as_planned &= rows(delete.execute(&mut *connection).await?) == plan.removed_contacts.len();
    }
    if !plan.new_contacts.is_empty() {
        let contacts: Vec<_> = plan.new_contacts.iter().map(|id| plan.contact(*id)).collect();
        let insert = sqlx::query(INSERT_CONTACTS)
            .bind(now)
            .bind(&plan.new_contacts)
            .bind(contacts.iter().map(|contact| contact.user_id).collect::<Vec<_>>())
            .bind(contacts.iter().map(|contact| contact.contact_user_id).collect::<Vec<_>>())
            .bind(contacts.iter().map(|contact| contact.name.as_deref()).collect::<Vec<_>>());
        as_planned &= rows(insert.execute(&mut *connection).await?) == contacts.len();
    }
    if !plan.new_messages.is_empty() {
        let messages = &plan.new_messages;
        let insert = sqlx::query(INSERT_MESSAGES)
            .bind(now)
            .bind(messages.iter().map(|message| message.id).collect::<Vec<_>>())
            .bind(messages.iter().map(|message| message.from_user_id).collect::<Vec<_>>())
            .bind(messages.iter().map(|message| message.to_user_id).collect::<Vec<_>>())
            .bind(messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>())
            .bind(messages.iter().map(|message| message.message_type.as_str()).collect::<Vec<_>>());
        insert.execute(&mut *connection).await?;
    }
    Ok(as_planned && write_keys(connection, plan).await?)
}

async fn write_keys(connection: &mut PgConnection, plan: &Plan) -> Result<bool, sqlx::Error> {
    let keys = &plan.new_keys;
    if keys.is_empty() {
        return Ok(true);
    }
    let expired = plan.now().minus(IDEMPOTENCY_KEY_TTL);
    let portion = i64::try_from(2 * keys.len()).unwrap_or(i64::MAX);
    sqlx::query(FORGET_KEYS).bind(expired).bind(portion).execute(&mut *connection).await?;
    let insert = sqlx::query(INSERT_KEYS)
        .bind(plan.now())
        .bind(keys.iter().map(|new| new.key.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|new| new.answer.fingerprint.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|new| to_json(&new.answer.outcome)).collect::<Vec<_>>())
        .bind(expired);
    Ok(rows(insert.execute(connection).await?) == keys.len())
}

fn rows(result: sqlx::postgres::PgQueryResult) -> usize {
    usize::try_from(result.rows_affected()).unwrap_or(usize::MAX)
}

/// Takes the head row, and writes everything that others would wait for as well: one trip, during which the row is held.
///
/// Days are in their order, so that two servers' batches lock them in the same one.
const TAKE_PLACE: &str = "with taken as (
        update log set head = head + $1, last_at = greatest(last_at, $2), users = users + $3, contacts = contacts + $4,
            messages = messages + $5, event_bytes = event_bytes + $6
        returning epoch, head - $1 as head),
    counted as (
        insert into daily (day, users, contacts, messages, last_active)
            select d.* from taken, unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) as d order by 1
        on conflict (day) do update set users = daily.users + excluded.users, contacts = daily.contacts + excluded.contacts,
            messages = daily.messages + excluded.messages, last_active = daily.last_active + excluded.last_active),
    added as (
        insert into events (seq, kind, user_id, other_id, created_at, data)
            select taken.head + e.place, e.kind, e.user_id, e.other_id, $2, e.data
            from taken, unnest($12::text[], $13::uuid[], $14::uuid[], $15::text[])
                with ordinality as e (kind, user_id, other_id, data, place)),
    answered as (
        update idempotency_keys k set seq = taken.head + a.place
            from taken, unnest($16::text[], $17::bigint[]) as a (key, place) where k.key = a.key),
    noted as (
        insert into writers (id, transaction, seen_at) select $18, $19, now() from taken
        on conflict (id) do update set transaction = excluded.transaction, seen_at = excluded.seen_at)
    select epoch, head from taken";

/// Gives the log's epoch and the head before the batch.
pub(super) async fn take_place(
    connection: &mut PgConnection,
    plan: &Plan,
    (writer, transaction): (Uuid, i64),
) -> Result<PgRow, sqlx::Error> {
    let place = |seq: u64| (seq - UNSETTLED.0).cast_signed();
    let answers = plan.new_keys.iter().filter_map(|new| Some((new.key.as_str(), place(new.answer.seq?.0))));
    let (keys, places): (Vec<_>, Vec<_>) = answers.unzip();
    let (days, events) = (&plan.days, &plan.events);
    sqlx::query(TAKE_PLACE)
        .bind(place(plan.head().0))
        .bind(plan.now())
        .bind(plan.totals.users)
        .bind(plan.totals.contacts)
        .bind(plan.totals.messages)
        .bind(i64::try_from(plan.event_bytes()).unwrap_or(i64::MAX))
        .bind(days.keys().map(|day| day.number()).collect::<Vec<_>>())
        .bind(days.values().map(|day| day.users).collect::<Vec<_>>())
        .bind(days.values().map(|day| day.contacts).collect::<Vec<_>>())
        .bind(days.values().map(|day| day.messages).collect::<Vec<_>>())
        .bind(days.values().map(|day| day.last_active).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.involved.user).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.involved.other).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.as_str()).collect::<Vec<_>>())
        .bind(keys)
        .bind(places)
        .bind(writer)
        .bind(transaction)
        .fetch_one(connection)
        .await
}
