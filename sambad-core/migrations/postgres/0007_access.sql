-- How often an entry's action happened; the hash covers it where it is not once.
alter table audit add column count bigint not null default 1;

-- App users' repeated logins and the like: the first of an hour is an entry at once, more of the same by the same actor from the
-- same address are counted here until the hour is over, and then become one entry.
create table audit_repeats (
    action text collate "C" not null,
    subject text collate "C" not null,
    actor text collate "C" not null,
    remote text collate "C" not null,
    since timestamptz not null,
    times bigint not null,
    constraint audit_repeats_pkey primary key (action, subject, actor, remote)
);

create index audit_repeats_by_age on audit_repeats (since);

-- When the last access token of the family expires; null where an older version wrote the row.
alter table refresh_tokens add column access_until timestamptz;
