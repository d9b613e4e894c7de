-- Who may come in. Passwords are argon2id hashes; of cookies and refresh tokens only a digest is stored.
create table admins (
    email text primary key,
    password_hash text not null,
    created_at integer not null
) strict, without rowid;

-- Failed logins in a row at an account from a network, and until when that network may try no more; under the empty account,
-- those at accounts that there are not. Others are not locked out by a stranger's guesses.
create table login_failures (
    email text not null,
    network text not null,
    failures integer not null,
    locked_until integer not null,
    last_at integer not null,
    primary key (email, network)
) strict, without rowid;

create index login_failures_by_age on login_failures (last_at);

create table admin_sessions (
    digest text primary key,
    email text not null references admins (email),
    expires_at integer not null
) strict, without rowid;

create index admin_sessions_by_account on admin_sessions (email);
create index admin_sessions_by_expiry on admin_sessions (expires_at);

-- A family is what one login began: each refresh uses up one token and adds the next.
create table refresh_tokens (
    digest text primary key,
    family text not null,
    user_id text not null references users (id),
    expires_at integer not null,
    used_at integer
) strict, without rowid;

create index refresh_tokens_by_family on refresh_tokens (family);
create index refresh_tokens_by_user on refresh_tokens (user_id, expires_at);
create index refresh_tokens_by_expiry on refresh_tokens (expires_at);

-- Ids of tokens, families and cookies that are refused from now on. n never comes twice: servers read on from the last.
create table revocations (
    n integer primary key autoincrement,
    id text not null unique,
    expires_at integer not null
) strict;

create index revocations_by_expiry on revocations (expires_at);

-- Each entry's hash covers its fields and the hash before, so that none can be changed or taken out unnoticed.
create table audit (
    n integer primary key,
    at integer not null,
    actor text not null,
    action text not null,
    subject text not null,
    remote text not null,
    hash text not null
) strict;

create trigger audit_entries_stay before delete on audit begin select raise(abort, 'the audit log is append-only'); end;
create trigger audit_entries_stay_as_they_are before update on audit begin select raise(abort, 'the audit log is append-only'); end;
