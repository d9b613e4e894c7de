-- PostgreSQL's log has a secret by which servers authenticate their messages to each other. An SQLite database has one server,
-- which sends none: it needs no secret, and so its backups hold none.
select 1;
