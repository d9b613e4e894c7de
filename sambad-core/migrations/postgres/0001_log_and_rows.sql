-- One row: the log's identity, its bounds, and the totals. It changes in the transaction that adds the events, as the last
-- thing before COMMIT: whoever changes it has the next seqs, and everybody else waits for that COMMIT.
create table log (
    id smallint constraint log_pkey primary key constraint log_is_one_row check (id = 1),
    epoch bigint not null,
    -- The PostgreSQL, and its timeline, that the epoch is of.
    cluster text,
    head bigint not null,
    first bigint not null,
    last_at timestamptz not null,
    users bigint not null,
    contacts bigint not null,
    messages bigint not null
);

insert into log (id, epoch, head, first, last_at, users, contacts, messages)
    values (1, floor(random() * 4294967296)::bigint, 0, 1, 'epoch', 0, 0, 0);

-- One row a server process: the last transaction that it committed. A server that lost its connection during COMMIT finds here
-- whether that transaction was stored.
create table writers (
    id uuid constraint writers_pkey primary key,
    transaction bigint not null,
    seen_at timestamptz not null
);

-- Texts that are compared, here as in SQLite by their bytes, whatever the locale of the database.
create table users (
    id uuid constraint users_pkey primary key,
    phone text collate "C" not null constraint users_phone_key unique,
    email text not null,
    name text collate "C",
    created_at timestamptz not null,
    last_active_at timestamptz not null
);

create index users_by_name on users (lower(name), id) where name is not null;

create table contacts (
    id uuid constraint contacts_pkey primary key,
    user_id uuid not null constraint contacts_user_id_fkey references users (id),
    contact_user_id uuid not null constraint contacts_contact_user_id_fkey references users (id),
    name text,
    created_at timestamptz not null,
    constraint contacts_pair_key unique (user_id, contact_user_id)
);

create index contacts_by_user on contacts (user_id, id);

create table messages (
    id uuid constraint messages_pkey primary key,
    from_user_id uuid not null constraint messages_from_user_id_fkey references users (id),
    to_user_id uuid not null constraint messages_to_user_id_fkey references users (id),
    content text not null,
    type text not null,
    created_at timestamptz not null
);

-- Each list of messages is a range of one of these, newest first.
create index messages_by_sender on messages (from_user_id, id);
create index messages_by_recipient on messages (to_user_id, id);
create index messages_by_pair on messages (from_user_id, to_user_id, id);

-- The event log. seq is dense and in commit order.
create table events (
    seq bigint constraint events_pkey primary key,
    kind text not null,
    user_id uuid not null,
    other_id uuid,
    created_at timestamptz not null,
    data text not null
);

create index events_by_user on events (user_id, seq);
create index events_by_other on events (other_id, seq) where other_id is not null;

-- Counters of a day since 1970, kept in the transaction of the write they count.
-- last_active: users whose last activity fell on that day.
create table daily (
    day bigint constraint daily_pkey primary key,
    users bigint not null,
    contacts bigint not null,
    messages bigint not null,
    last_active bigint not null
);

create table idempotency_keys (
    key text collate "C" constraint idempotency_keys_pkey primary key,
    fingerprint text not null,
    outcome text not null,
    seq bigint,
    created_at timestamptz not null
);

create index idempotency_keys_by_age on idempotency_keys (created_at);
