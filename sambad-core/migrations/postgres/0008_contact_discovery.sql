-- How many new phones each principal has asked for: whoever may ask for any number of them learns which of all phones have
-- accounts. A principal and a phone are digests made with this key, and a phone's is so short that many phones have it.
-- gen_random_uuid() has 122 random bits of a strong source.
create table discovery (
    id smallint constraint discovery_pkey primary key constraint discovery_is_one_row check (id = 1),
    key text not null
);

insert into discovery (id, key)
    values (1, encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'));

-- Principals by the day (days since 1970-01-01, UTC) when they last asked for a new phone, or for a known one after a while, and
-- the number of new phones of that day.
create table askers (
    asker bigint constraint askers_pkey primary key,
    day bigint not null,
    spent bigint not null
);

create index askers_by_day on askers (day);

-- What they have asked for, and when that was last noted.
create table asked_phones (
    asker bigint not null,
    phone integer not null,
    day integer not null,
    constraint asked_phones_pkey primary key (asker, phone)
);
