-- One row: the log's identity, its head, and the totals. It changes in the transaction that adds the events.
create table log (
    id integer primary key check (id = 1),
    epoch integer not null,
    head integer not null,
    last_at integer not null,
    users integer not null,
    contacts integer not null,
    messages integer not null
) strict;

insert into log (id, epoch, head, last_at, users, contacts, messages) values (1, random() & 4294967295, 0, 0, 0, 0, 0);

-- Instants are microseconds since 1970, days are days since then.
create table users (
    id text primary key,
    phone text not null unique,
    email text not null,
    name text,
    created_at integer not null,
    last_active_at integer not null
) strict, without rowid;

create index users_by_name on users (name collate nocase, id) where name is not null;

create table contacts (
    id text primary key,
    user_id text not null references users (id),
    contact_user_id text not null references users (id),
    name text,
    created_at integer not null,
    unique (user_id, contact_user_id)
) strict, without rowid;

create index contacts_by_user on contacts (user_id, id);

create table messages (
    id text primary key,
    from_user_id text not null references users (id),
    to_user_id text not null references users (id),
    content text not null,
    type text not null,
    created_at integer not null
) strict, without rowid;

-- Each list of messages is a range of one of these, newest first.
create index messages_by_sender on messages (from_user_id, id);
create index messages_by_recipient on messages (to_user_id, id);
create index messages_by_pair on messages (from_user_id, to_user_id, id);

-- The event log. seq is dense and in commit order.
create table events (
    seq integer primary key,
    kind text not null,
    user_id text not null,
    other_id text,
    created_at integer not null,
    data text not null
) strict;

create index events_by_user on events (user_id, seq);
create index events_by_other on events (other_id, seq) where other_id is not null;

-- Counters of a day, kept in the transaction of the write they count.
-- last_active: users whose last activity fell on that day.
create table daily (
    day integer primary key,
    users integer not null,
    contacts integer not null,
    messages integer not null,
    last_active integer not null
) strict;

create table idempotency_keys (
    key text primary key,
    fingerprint text not null,
    outcome text not null,
    seq integer,
    created_at integer not null
) strict, without rowid;

create index idempotency_keys_by_age on idempotency_keys (created_at);
