-- How often an entry's action happened; the hash covers it where it is not once.
alter table audit add column count integer not null default 1;

-- App users' repeated logins and the like: the first of an hour is an entry at once, more of the same by the same actor from the
-- same address are counted here until the hour is over, and then become one entry.
create table audit_repeats (
    action text not null,
    subject text not null,
    actor text not null,
    remote text not null,
    since integer not null,
    times integer not null,
    primary key (action, subject, actor, remote)
) strict, without rowid;

create index audit_repeats_by_age on audit_repeats (since);

-- When the last access token of the family expires; null where an older version wrote the row.
alter table refresh_tokens add column access_until integer;
