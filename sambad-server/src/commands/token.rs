//! `token`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use sambad_core::access::{AccessChange, AuditAction};
use sambad_core::{Timestamp, UserId, maintenance};

use super::{operator, say};
use crate::auth::jwt::LAST_INSTANT;
use crate::auth::tokens::{self, Grant, Tokens};
use crate::auth::{BEYOND_EXPIRY, Role};
use crate::config::{Cli, TokenCommand};

/// Characters of a subject, at most.
const SUBJECT_CHARS_MAX: usize = 100;

pub(super) async fn run(cli: &Cli, command: &TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { role, user, subject, ttl } => create(cli, role, *user, subject.as_deref(), *ttl).await,
        TokenCommand::Revoke { token } => revoke(cli, token).await,
    }
}

async fn create(cli: &Cli, roles: &[Role], user: Option<UserId>, subject: Option<&str>, ttl: Duration) -> anyhow::Result<()> {
    let key_file = cli.access.auth_key.as_ref().context("--auth-key FILE is missing: name the server's key file")?;
    if roles.contains(&Role::User) != user.is_some() || roles.contains(&Role::User) && roles.len() > 1 {
        bail!("--role user needs --user ID, and no other role");
    }
    if ttl < Duration::from_secs(1) {
        bail!("--ttl is less than a second");
    }
    let subject = match (user, subject) {
        (Some(user), _) => user.to_string(),
        (None, Some(subject)) => subject.to_owned(),
        (None, None) => "operator".to_owned(),
    };
    let characters = subject.chars().count();
    if !(1..=SUBJECT_CHARS_MAX).contains(&characters) || subject.chars().any(char::is_control) {
        bail!("--subject: expected 1 to {SUBJECT_CHARS_MAX} characters");
    }
    let tokens = Tokens::load(key_file)?;
    let now = Timestamp::now();
    let grant = Grant { roles: roles.to_vec(), subject: subject.clone(), family: None, expires_at: now.plus(ttl) };
    let issued = tokens.issue(grant, now)?;
    let note = AccessChange::Note { action: AuditAction::TokenCreated, subject: format!("{subject} {}", issued.id) };
    maintenance::change_access(&cli.database, note, operator())
        .await
        .context("cannot write to the audit log of the database that --database names")?;
    say(format_args!("token {} of {subject}, until {}:", issued.id, issued.expires_at))?;
    say(issued.token).context("cannot write to stdout")
}

async fn revoke(cli: &Cli, token: &str) -> anyhow::Result<()> {
    let token = token.trim();
    let (id, expires_at) = match tokens::id_and_end(token) {
        Some((id, expires_at)) => (id, expires_at.plus(BEYOND_EXPIRY)),
        // Of an id alone nothing says when its token expires.
        None => (token.to_owned(), LAST_INSTANT),
    };
    let is_id = id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()) && id.len() >= 16;
    if !is_id {
        bail!("expected a token, its id, or its family's id");
    }
    let revoke = AccessChange::Revoke { id: id.clone(), expires_at };
    maintenance::change_access(&cli.database, revoke, operator()).await.context("cannot revoke")?;
    if expires_at == LAST_INSTANT {
        return say(format_args!("{id}: revoked for good")).context("cannot write to stdout");
    }
    say(format_args!("{id}: revoked until {expires_at}")).context("cannot write to stdout")
}
