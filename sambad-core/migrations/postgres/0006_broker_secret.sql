-- By this secret servers of one log authenticate the messages that they send each other through Redis. Whatever gives the log
-- another epoch sets the secret to its default, which is a new one each time. In steps that rewrite nothing, so that a dump
-- that runs meanwhile keeps its snapshot. gen_random_uuid() has 122 random bits of a strong source.
alter table log add column secret bytea;

alter table log alter column secret set default
    sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

update log set secret = default;

alter table log alter column secret set not null,
    add constraint log_secret_is_a_key check (octet_length(secret) = 32);
