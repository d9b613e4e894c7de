//! `restore`.

use std::path::Path;

use anyhow::Context as _;
use sambad_core::maintenance;

use super::say;
use crate::config::Cli;

/// Makes the database of `file` and says from where it goes on.
pub(super) async fn run(cli: &Cli, file: &Path) -> anyhow::Result<()> {
    let bounds = maintenance::restore(file, &cli.database).await.context("cannot restore")?;
    say(format_args!("{}: continues after {}; readers with an older cursor get a resync", cli.database, bounds.head_cursor()))
        .context("cannot write to stdout")
}
