//! `check`: what is wrong with the database and this machine, and what to do about it.

use anyhow::{Context as _, bail};
use sambad_core::check::{CLOCK, COUNTERS, Finding, Severity};
use sambad_core::maintenance;

use super::{machine, say};
use crate::config::Cli;

/// Says what was examined and what came of it, one line each.
///
/// # Errors
/// When something is wrong, or cannot be examined at all.
pub(super) async fn run(cli: &Cli, repair: bool) -> anyhow::Result<()> {
    let machine = machine::examine(cli).await;
    show(&machine)?;
    let mut findings = maintenance::check(&cli.database).await.context("cannot examine the database")?;
    show(&findings)?;
    let faults: Vec<&str> =
        findings.iter().filter(|found| found.severity == Severity::Fault).map(|found| found.subject).collect();
    if repair && !faults.is_empty() && faults.iter().all(|subject| [CLOCK, COUNTERS].contains(subject)) {
        if faults.contains(&CLOCK) {
            reset_clock(cli).await?;
        }
        say("repair: recounts the rows; changes only counters")?;
        maintenance::repair_counters(&cli.database).await.context("cannot repair")?;
        findings = maintenance::check(&cli.database).await.context("cannot examine the database")?;
        show(&findings)?;
    } else if repair && !faults.is_empty() {
        say("not repaired: correct the other faults first")?;
    }
    findings.extend(machine);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (faults, warnings) = (count(Severity::Fault), count(Severity::Warning));
    if faults > 0 {
        bail!("{faults} of {} checks failed, warnings: {warnings}", findings.len());
    }
    say(format_args!("{} checks: none failed, warnings: {warnings}", findings.len())).context("cannot write to stdout")
}

async fn reset_clock(cli: &Cli) -> anyhow::Result<()> {
    let was_at = maintenance::reset_clock(&cli.database).await.context("cannot reset the log's last timestamp")?;
    let Some(was_at) = was_at else { return Ok(()) };
    say(format_args!(
        "repair: resets the log's last timestamp, {was_at}, to the current time; later events may have \
        earlier timestamps"
    ))
    .context("cannot write to stdout")
}

fn show(findings: &[Finding]) -> anyhow::Result<()> {
    findings.iter().try_for_each(say).context("cannot write to stdout")
}
