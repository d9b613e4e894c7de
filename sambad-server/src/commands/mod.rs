//! What the binary does beside serving: one verb a file.

mod admin;
mod backup;
mod check;
mod copy;
mod epoch;
mod health;
mod key;
mod machine;
mod migrate;
mod phones;
mod restore;
mod token;

use std::io::{self, Write as _};

use anyhow::Context as _;
use sambad_core::access::Actor;

use crate::config::{Cli, Command};

/// Carries out `command`.
pub(crate) async fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    if !matches!(command, Command::Config | Command::Health { .. } | Command::Copy { .. } | Command::Key(_)) {
        cli.database_file()?;
    }
    match command {
        Command::Config => match write!(io::stdout(), "{}", cli.settings) {
            // The reader of the list has ended, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to stdout"),
        },
        Command::Check { phones: true, .. } => phones::run(cli).await,
        Command::Check { repair, .. } => check::run(cli, *repair).await,
        Command::Health { url } => health::run(cli, url.as_deref()).await,
        Command::Backup { file } => backup::run(cli, file).await,
        Command::Restore { file } => restore::run(cli, file).await,
        Command::Migrate { check } => migrate::run(cli, *check).await,
        Command::Copy { from, to } => copy::run(from, to).await,
        Command::Epoch { renew } => epoch::run(cli, *renew).await,
        Command::Key(command) => key::run(command),
        Command::Token(command) => token::run(cli, command).await,
        Command::Admin(command) => admin::run(cli, command).await,
    }
}

/// Who acts at the command line, as the audit log names them.
fn operator() -> Actor {
    Actor { name: "operator".into(), remote: String::new() }
}

/// Writes a line of data to stdout.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
