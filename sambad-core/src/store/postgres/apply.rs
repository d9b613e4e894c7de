//! Writes a plan: the batch's idempotency keys, and then, with the head row, everything that has a place in the log.

use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use crate::cursor::{Epoch, Seq};
use crate::event::to_json;
use crate::store::plan::{KeyAge, Plan, UNSETTLED};

/// Keys that have expired go in small portions, at most two for each that comes: they can neither pile up nor hold up a batch.
const FORGET_KEYS: &str = "delete from idempotency_keys where key in
    (select key from idempotency_keys where created_at <= $1 order by created_at limit $2 for update skip locked)";
/// What is inserted waits for a batch of another server that inserts the same; where that one was stored, fewer rows are
/// inserted than were planned. The seq of an answer is not known yet.
const INSERT_KEYS: &str = "insert into idempotency_keys (key, fingerprint, outcome, created_at)
    select key, fingerprint, outcome, $1 from unnest($2::text[], $3::text[], $4::text[]) as k (key, fingerprint, outcome)
    order by key
    on conflict (key) do update set fingerprint = excluded.fingerprint, outcome = excluded.outcome, seq = null,
        created_at = excluded.created_at where idempotency_keys.created_at <= $5";

/// Writes the batch's keys; false if another server's batch got in the way. What a batch has none of costs no statement.
pub(super) async fn write_keys(connection: &mut PgConnection, plan: &Plan) -> Result<bool, sqlx::Error> {
    let keys = &plan.new_keys;
    if keys.is_empty() {
        return Ok(true);
    }
    let KeyAge { now, expired } = plan.keys();
    let portion = i64::try_from(2 * keys.len()).unwrap_or(i64::MAX);
    sqlx::query(FORGET_KEYS).bind(expired).bind(portion).execute(&mut *connection).await?;
    let insert = sqlx::query(INSERT_KEYS)
        .bind(now)
        .bind(keys.iter().map(|new| new.key.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|new| new.answer.fingerprint.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|new| to_json(&new.answer.outcome)).collect::<Vec<_>>())
        .bind(expired);
    let inserted = insert.execute(connection).await?.rows_affected();
    Ok(usize::try_from(inserted).is_ok_and(|inserted| inserted == keys.len()))
}

/// Takes the head row, and writes everything that others would wait for, or that has a seq: one trip, during which the row is
/// held.
///
/// Each part reads `taken`, so that nothing is written and no row is locked before the head row is: a batch that waits for that
/// row holds nothing but its keys, and one that has it waits for no other. A part that finds less than was planned met a batch of
/// another server, which was stored meanwhile: then `sound` is empty, what refers to the missing rows is not written, and the
/// batch is planned anew. Contacts are removed before others are added: a pair may be both in one batch.
const TAKE_PLACE: &str = "with taken as (
        update log set head = head + $1, last_at = greatest(last_at, $2), users = users + $3, contacts = contacts + $4,
            messages = messages + $5, event_bytes = event_bytes + $6
        where epoch = $39 and head >= $40
        returning head - $1 as head),
    touched as (
        update users u set last_active_at = $2 from taken, unnest($20::uuid[], $21::timestamptz[]) as planned (id, at)
            where u.id = planned.id and u.last_active_at = planned.at
        returning 1),
    removed as (
        delete from contacts c using taken, unnest($22::uuid[]) as planned (id) where c.id = planned.id returning 1),
    new_users as (
        insert into users (seq, id, phone, email, name, created_at, last_active_at)
            select taken.head + u.place, u.id, u.phone, u.email, u.name, $2, $2
            from taken, unnest($23::bigint[], $24::uuid[], $25::text[], $26::text[], $27::text[])
                as u (place, id, phone, email, name)
        on conflict (phone) do nothing returning 1),
    sound as (
        select head from taken
            where (select count(*) from touched) = cardinality($20) and (select count(*) from removed) = cardinality($22)
                and (select count(*) from new_users) = cardinality($23)),
    new_contacts as (
        insert into contacts (seq, id, user_id, contact_user_id, name, created_at)
            select sound.head + c.place, c.id, c.user_id, c.contact_user_id, c.name, $2
            from sound, unnest($28::bigint[], $29::uuid[], $30::uuid[], $31::uuid[], $32::text[])
                as c (place, id, user_id, contact_user_id, name)
        on conflict (user_id, contact_user_id) do nothing returning 1),
    new_messages as (
        insert into messages (seq, id, from_user_id, to_user_id, content, type, created_at)
            select sound.head + m.place, m.id, m.from_user_id, m.to_user_id, m.content, m.type, $2
            from sound, unnest($33::bigint[], $34::uuid[], $35::uuid[], $36::uuid[], $37::text[], $38::text[])
                as m (place, id, from_user_id, to_user_id, content, type)),
    counted as (
        insert into daily (day, users, contacts, messages, last_active)
            select d.* from sound, unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) as d
        on conflict (day) do update set users = daily.users + excluded.users, contacts = daily.contacts + excluded.contacts,
            messages = daily.messages + excluded.messages, last_active = daily.last_active + excluded.last_active),
    added as (
        insert into events (seq, kind, user_id, other_id, created_at, data)
            select sound.head + e.place, e.kind, e.user_id, e.other_id, $2, e.data
            from sound, unnest($12::text[], $13::uuid[], $14::uuid[], $15::text[])
                with ordinality as e (kind, user_id, other_id, data, place)),
    answered as (
        update idempotency_keys k set seq = sound.head + a.place
            from sound, unnest($16::text[], $17::bigint[]) as a (key, place) where k.key = a.key),
    noted as (
        insert into writers (id, transaction, seen_at) select $18, $19, now() from sound
        on conflict (id) do update set transaction = excluded.transaction, seen_at = excluded.seen_at)
    select head, exists (select 1 from sound) and (select count(*) from new_contacts) = cardinality($28) from taken";

/// Gives the head before the batch, and whether everything was written as it was planned: if not, another server's batch got in the
/// way. `None`, and nothing is written, if the log is not of `epoch` any more, or shorter than `last`.
pub(super) async fn take_place(
    connection: &mut PgConnection,
    plan: &Plan,
    (writer, transaction): (Uuid, i64),
    (epoch, last): (Epoch, Seq),
) -> Result<Option<PgRow>, sqlx::Error> {
    let place = |seq: u64| (seq - UNSETTLED.0).cast_signed();
    let answers = plan.new_keys.iter().filter_map(|new| Some((new.key.as_str(), place(new.answer.seq?.0))));
    let (keys, places): (Vec<_>, Vec<_>) = answers.unzip();
    let (touched, before): (Vec<_>, Vec<_>) = plan.touched.iter().copied().unzip();
    let users: Vec<_> = plan.new_users.iter().map(|(_, id)| plan.user(*id)).collect();
    let contacts: Vec<_> = plan.new_contacts.iter().map(|new| plan.contact(new.id)).collect();
    let (days, events, messages) = (&plan.days, &plan.events, &plan.new_messages);
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
        .bind(touched)
        .bind(before)
        .bind(&plan.removed_contacts)
        .bind(plan.new_users.iter().map(|(seq, _)| place(seq.0)).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.id).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.phone.as_str()).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.email.as_str()).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.name.as_deref()).collect::<Vec<_>>())
        .bind(plan.new_contacts.iter().map(|new| place(new.seq.0)).collect::<Vec<_>>())
        .bind(contacts.iter().map(|contact| contact.id).collect::<Vec<_>>())
        .bind(contacts.iter().map(|contact| contact.user_id).collect::<Vec<_>>())
        .bind(contacts.iter().map(|contact| contact.contact_user_id).collect::<Vec<_>>())
        .bind(plan.new_contacts.iter().map(|new| new.name.as_deref()).collect::<Vec<_>>())
        .bind(messages.iter().map(|(seq, _)| place(seq.0)).collect::<Vec<_>>())
        .bind(messages.iter().map(|(_, message)| message.id).collect::<Vec<_>>())
        .bind(messages.iter().map(|(_, message)| message.from_user_id).collect::<Vec<_>>())
        .bind(messages.iter().map(|(_, message)| message.to_user_id).collect::<Vec<_>>())
        .bind(messages.iter().map(|(_, message)| message.content.as_str()).collect::<Vec<_>>())
        .bind(messages.iter().map(|(_, message)| message.message_type.as_str()).collect::<Vec<_>>())
        .bind(i64::from(epoch.0))
        .bind(last.0.cast_signed())
        .fetch_optional(connection)
        .await
}
