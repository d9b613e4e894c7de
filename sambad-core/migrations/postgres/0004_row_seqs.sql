-- Each row has the place in the log of the event that made it: lists are in the order of the log, whatever the clocks of the
-- servers said. Rows whose events were trimmed come before all others, in the order in which they were created. There is no
-- default: a server of an older version, which knows no places, stores nothing instead of rows without one.
lock table log, users, contacts, messages, events in access exclusive mode;

-- All rows are written anew, and indexes are made once that is done.
drop index contacts_by_user;
drop index messages_by_sender;
drop index messages_by_recipient;
drop index messages_by_pair;

alter table users add column seq bigint;
alter table contacts add column seq bigint;
alter table messages add column seq bigint;

update users set seq = placed.seq from (
        select u.id, coalesce(e.seq, -row_number() over (partition by e.seq is null order by u.created_at desc, u.id desc)) as seq
        from users u left join events e on e.user_id = u.id and e.kind = 'user_created') placed
    where users.id = placed.id;
update contacts set seq = placed.seq from (
        select c.id, coalesce(e.seq, -row_number() over (partition by e.seq is null order by c.created_at desc, c.id desc)) as seq
        from contacts c left join (
            select seq, (data::json->>'id')::uuid as id from events where kind = 'contact_added') e on e.id = c.id) placed
    where contacts.id = placed.id;
update messages set seq = placed.seq from (
        select m.id, coalesce(e.seq, -row_number() over (partition by e.seq is null order by m.created_at desc, m.id desc)) as seq
        from messages m left join (
            select seq, (data::json->>'id')::uuid as id from events where kind = 'message_sent') e on e.id = m.id) placed
    where messages.id = placed.id;

alter table users alter column seq set not null;
alter table contacts alter column seq set not null;
alter table messages alter column seq set not null;

create unique index users_by_seq on users (seq);
create unique index contacts_by_seq on contacts (seq);
create index contacts_by_user on contacts (user_id, seq);
create unique index messages_by_seq on messages (seq);
-- Each list of messages is a range of one of these, newest first.
create index messages_by_sender on messages (from_user_id, seq);
create index messages_by_recipient on messages (to_user_id, seq);
create index messages_by_pair on messages (from_user_id, to_user_id, seq);
