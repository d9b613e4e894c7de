//! `backup`.

use std::path::Path;

use anyhow::Context as _;
use sambad_core::maintenance;

use super::say;
use crate::config::Cli;

/// Copies the database into `file` and says up to where.
pub(super) async fn run(cli: &Cli, file: &Path) -> anyhow::Result<()> {
    let bounds = maintenance::backup(&cli.database, file).await.context("cannot back up")?;
    say(format_args!("{}: has everything up to {}", file.display(), bounds.head_cursor())).context("cannot write to stdout")
}
