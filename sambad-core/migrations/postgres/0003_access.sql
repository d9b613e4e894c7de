-- Who may come in. Passwords are argon2id hashes; of cookies and refresh tokens only a digest is stored.
create table admins (
    email text collate "C" constraint admins_pkey primary key,
    password_hash text not null,
    created_at timestamptz not null
);

-- Failed logins in a row at an account from a network, and until when that network may try no more; under the empty account,
-- those at accounts that there are not. Others are not locked out by a stranger's guesses.
create table login_failures (
    email text collate "C" not null,
    network text collate "C" not null,
    failures bigint not null,
    locked_until timestamptz not null,
    last_at timestamptz not null,
    constraint login_failures_pkey primary key (email, network)
);

create index login_failures_by_age on login_failures (last_at);

create table admin_sessions (
    digest text collate "C" constraint admin_sessions_pkey primary key,
    email text collate "C" not null constraint admin_sessions_email_fkey references admins (email),
    expires_at timestamptz not null
);

create index admin_sessions_by_account on admin_sessions (email);
create index admin_sessions_by_expiry on admin_sessions (expires_at);

-- A family is what one login began: each refresh uses up one token and adds the next.
create table refresh_tokens (
    digest text collate "C" constraint refresh_tokens_pkey primary key,
    family text collate "C" not null,
    user_id uuid not null constraint refresh_tokens_user_id_fkey references users (id),
    expires_at timestamptz not null,
    used_at timestamptz
);

create index refresh_tokens_by_family on refresh_tokens (family);
create index refresh_tokens_by_user on refresh_tokens (user_id, expires_at);
create index refresh_tokens_by_expiry on refresh_tokens (expires_at);

-- Ids of tokens, families and cookies that are refused from now on. n never comes twice, and whoever takes one holds the lock
-- that all changes of access take: n is in commit order, and servers read on from the last.
create table revocations (
    n bigint generated always as identity constraint revocations_pkey primary key,
    id text collate "C" not null constraint revocations_id_key unique,
    expires_at timestamptz not null
);

create index revocations_by_expiry on revocations (expires_at);

-- Each entry's hash covers its fields and the hash before, so that none can be changed or taken out unnoticed.
create table audit (
    n bigint constraint audit_pkey primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    subject text not null,
    remote text not null,
    hash text not null
);

create function refuse_to_change_audit() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;

create trigger audit_entries_stay before delete or update or truncate on audit
    for each statement execute function refuse_to_change_audit();
