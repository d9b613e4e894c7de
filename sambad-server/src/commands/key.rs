//! `key`.

use anyhow::Context as _;

use super::say;
use crate::auth::keys;
use crate::config::KeyCommand;

pub(super) fn run(command: &KeyCommand) -> anyhow::Result<()> {
    let KeyCommand::Generate { file, add } = command;
    let kid = keys::generate(file, *add)?;
    say(format_args!("{}: signs with key {kid}; servers read the file when they start", file.display()))
        .context("cannot write to stdout")
}
