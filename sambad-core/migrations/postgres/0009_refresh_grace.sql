-- The digest of the token that took the place of a used one: a client whose answer was lost gets the same token again for a short
-- time. Null where an older version used the token up.
alter table refresh_tokens add column successor text collate "C";

-- 1 where an app's backend made the login: those logins and a user's own are limited apart from each other.
alter table refresh_tokens add column by_service bigint not null default 0;
