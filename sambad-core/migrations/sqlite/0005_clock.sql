-- One row once a server has trusted its clock: how far age was judged. What was made later is not yet old, whatever a clock says.
create table clock (
    id integer primary key check (id = 1),
    aged_at integer not null
) strict;

-- Where an operator reset the log's last instant: events up to seq were committed before the instant `at`, whatever they say,
-- and the last of them said `was_at`.
create table clock_resets (
    seq integer primary key,
    was_at integer not null,
    at integer not null
) strict;
