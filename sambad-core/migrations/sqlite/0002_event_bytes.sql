-- Bytes of all stored `data`: how much of the log a bound in bytes keeps is known without reading the log.
alter table log add column event_bytes integer not null default 0;

update log set event_bytes = (select coalesce(sum(octet_length(data)), 0) from events);
