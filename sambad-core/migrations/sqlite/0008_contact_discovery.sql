-- How many new phones each principal has asked for: whoever may ask for any number of them learns which of all phones have
-- accounts. A principal and a phone are digests made with this key, and a phone's is so short that many phones have it.
create table discovery (
    id integer primary key check (id = 1),
    key text not null
) strict;

insert into discovery (id, key) values (1, lower(hex(randomblob(32))));

-- Principals by the day (days since 1970-01-01, UTC) when they last asked for a new phone, or for a known one after a while, and
-- the number of new phones of that day.
create table askers (
    asker integer primary key,
    day integer not null,
    spent integer not null
) strict;

create index askers_by_day on askers (day);

-- What they have asked for, and when that was last noted.
create table asked_phones (
    asker integer not null,
    phone integer not null,
    day integer not null,
    primary key (asker, phone)
) strict, without rowid;
