-- One row once a server has trusted the database's clock: how far age was judged. What was made later is not yet old, whatever a
-- clock says.
create table clock (
    id smallint constraint clock_pkey primary key constraint clock_is_one_row check (id = 1),
    aged_at timestamptz not null
);

-- Where an operator reset the log's last instant: events up to seq were committed before the instant `at`, whatever they say,
-- and the last of them said `was_at`.
create table clock_resets (
    seq bigint constraint clock_resets_pkey primary key,
    was_at timestamptz not null,
    at timestamptz not null
);
