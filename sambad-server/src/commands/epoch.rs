//! `epoch`.

use anyhow::Context as _;
use sambad_core::maintenance;

use super::say;
use crate::config::Cli;

/// Says which life of the log this is, or begins a new one.
pub(super) async fn run(cli: &Cli, renew: bool) -> anyhow::Result<()> {
    let line = if renew {
        let bounds = maintenance::renew_epoch(&cli.database).await.context("cannot renew the epoch")?;
        format!("epoch {}: continues after {}; readers with an older cursor get a resync", bounds.epoch, bounds.head_cursor())
    } else {
        let bounds = maintenance::bounds(&cli.database).await.context("cannot read the epoch")?;
        format!("epoch {}: the head is {}", bounds.epoch, bounds.head_cursor())
    };
    say(line).context("cannot write to stdout")
}
