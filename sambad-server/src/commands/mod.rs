//! What the binary does beside serving: one verb a file.

mod backup;
mod check;
mod machine;
mod restore;

use std::io::{self, Write as _};

use anyhow::Context as _;

use crate::config::{Cli, Command};

/// Carries out `command`.
pub(crate) async fn run(cli: &Cli, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Config => write!(io::stdout(), "{}", cli.settings).context("cannot write to stdout"),
        Command::Check { repair } => check::run(cli, *repair).await,
        Command::Backup { file } => backup::run(cli, file).await,
        Command::Restore { file } => restore::run(cli, file).await,
    }
}

/// Writes a line of data to stdout.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
