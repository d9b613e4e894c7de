//! `check --phones`: users whose phone is another spelling of a number.

use anyhow::Context as _;
use sambad_core::maintenance::{self, Spelling};

use super::say;
use crate::config::Cli;

/// Lists them, one line each, and how many there are.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn run(cli: &Cli) -> anyhow::Result<()> {
    let (mut spelled, mut twice) = (0_u64, 0_u64);
    let show = |spelling: Spelling| {
        spelled += 1;
        twice += u64::from(spelling.other.is_some());
        show(&spelling).context("cannot write to stdout")
    };
    maintenance::spellings(&cli.database, show).await.context("cannot list phones")?;
    say(format_args!(
        "{spelled} users have another spelling of their number; for {twice} of them, a second user has the \
        number itself"
    ))
    .context("cannot write to stdout")
}

fn show(Spelling { number, user, other }: &Spelling) -> std::io::Result<()> {
    let stored = format!("{number}  stored as {} of user {}", user.phone, user.id);
    match other {
        Some(other) => say(format_args!("{stored}, and as {number} of user {}", other.id)),
        None => say(stored),
    }
}
