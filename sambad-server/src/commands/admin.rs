//! `admin`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use sambad_core::access::{AccessChange, AccessOutcome};
use sambad_core::{Timestamp, maintenance};

use super::{operator, say};
use crate::auth::passwords;
use crate::config::{AdminCommand, Cli};

pub(super) async fn run(cli: &Cli, command: &AdminCommand) -> anyhow::Result<()> {
    match command {
        AdminCommand::Add { email } => add(cli, email).await,
        AdminCommand::Remove { email } => remove(cli, email).await,
        AdminCommand::List => list(cli).await,
    }
}

async fn add(cli: &Cli, email: &str) -> anyhow::Result<()> {
    let email = account(email)?;
    let password_hash = passwords::hash(&read_password()?)?;
    let add = AccessChange::AddAdmin { email: email.clone(), password_hash };
    maintenance::change_access(&cli.database, add, operator()).await.context("cannot store the account")?;
    say(format_args!("{email}: can log in; sessions with an older password are closed")).context("cannot write to stdout")
}

async fn remove(cli: &Cli, email: &str) -> anyhow::Result<()> {
    let email = account(email)?;
    let remove = AccessChange::RemoveAdmin { email: email.clone() };
    let removed = maintenance::change_access(&cli.database, remove, operator()).await.context("cannot delete the account")?;
    if removed != AccessOutcome::Done {
        bail!("account {email} does not exist");
    }
    say(format_args!("{email}: removed; its sessions are closed")).context("cannot write to stdout")
}

async fn list(cli: &Cli) -> anyhow::Result<()> {
    let now = Timestamp::now();
    for admin in maintenance::admins(&cli.database).await.context("cannot list the accounts")? {
        let locked = if admin.locked_until > now { format!("  locked out until {}", admin.locked_until) } else { String::new() };
        say(format_args!("{}  since {}{locked}", admin.email, admin.created_at)).context("cannot write to stdout")?;
    }
    Ok(())
}

fn account(email: &str) -> anyhow::Result<String> {
    let email = email.trim().to_lowercase();
    let parts = email.split_once('@').filter(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if parts.is_none() || email.len() > 254 || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        bail!("{email:?} is not an e-mail address");
    }
    Ok(email)
}

/// From a prompt, twice; or the first line of stdin. Never an argument: those can be seen by others.
fn read_password() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").context("cannot read the password")?;
        if rpassword::prompt_password("Again: ").context("cannot read the password")? != password {
            bail!("the two passwords differ");
        }
        return Ok(password);
    }
    let mut line = String::new();
    let mut stdin = io::stdin().lock().take(passwords::BYTES_MAX as u64 + 2);
    stdin.read_line(&mut line).context("cannot read the password from stdin")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
