-- Each row has the place in the log of the event that made it: lists are in the order of the log, whatever the clock of the
-- server said. Rows whose events were trimmed come before all others, in the order in which they were created.

-- SQLite adds no column that must not be null without a default. None is 0: that is no place.
alter table users add column seq integer not null default 0;

update users set seq = e.seq from events e where e.kind = 'user_created' and e.user_id = users.id;
update users set seq = placed.seq from (
        select id, -row_number() over (order by created_at desc, id desc) as seq from users where seq = 0) placed
    where placed.id = users.id;

create unique index users_by_seq on users (seq);

-- The others are stored in the order of their lists: every index on them ends in seq, which is their rowid.
create table placed_contacts (
    seq integer primary key,
    id text not null unique,
    user_id text not null references users (id),
    contact_user_id text not null references users (id),
    name text,
    created_at integer not null,
    unique (user_id, contact_user_id)
) strict;

insert into placed_contacts (seq, id, user_id, contact_user_id, name, created_at)
    select e.seq, c.id, c.user_id, c.contact_user_id, c.name, c.created_at
    from events e cross join contacts c on c.id = e.data->>'id' where e.kind = 'contact_added' order by e.seq;
insert into placed_contacts (seq, id, user_id, contact_user_id, name, created_at)
    select -row_number() over (order by created_at desc, id desc), id, user_id, contact_user_id, name, created_at
    from contacts where id not in (select id from placed_contacts);

drop table contacts;
alter table placed_contacts rename to contacts;
create index contacts_by_user on contacts (user_id);

create table placed_messages (
    seq integer primary key,
    id text not null unique,
    from_user_id text not null references users (id),
    to_user_id text not null references users (id),
    content text not null,
    type text not null,
    created_at integer not null
) strict;

insert into placed_messages (seq, id, from_user_id, to_user_id, content, type, created_at)
    select e.seq, m.id, m.from_user_id, m.to_user_id, m.content, m.type, m.created_at
    from events e cross join messages m on m.id = e.data->>'id' where e.kind = 'message_sent' order by e.seq;
insert into placed_messages (seq, id, from_user_id, to_user_id, content, type, created_at)
    select -row_number() over (order by created_at desc, id desc), id, from_user_id, to_user_id, content, type, created_at
    from messages where id not in (select id from placed_messages);

drop table messages;
alter table placed_messages rename to messages;
-- Each list of messages is a range of one of these, newest first.
create index messages_by_sender on messages (from_user_id);
create index messages_by_recipient on messages (to_user_id);
create index messages_by_pair on messages (from_user_id, to_user_id);
