//! `copy`: what came of it on stdout, how far it is on stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use sambad_core::maintenance::{self, CopyStep};

use super::say;
use crate::config::SecretUrl;

/// How often a table that takes long is spoken of where there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Moves one database into another and says what was moved.
///
/// # Errors
/// When it could not be, or the two differ in the end.
pub(super) async fn run(from: &SecretUrl, to: &SecretUrl) -> anyhow::Result<()> {
    let named = maintenance::database_file(from).context("cannot use --from");
    named.and_then(|_| maintenance::database_file(to).context("cannot use --to"))?;
    let begun = Instant::now();
    let mut shown = Shown::new();
    let copied = maintenance::copy(from, to, &mut |step| shown.step(step)).await;
    shown.end();
    let copied = copied.with_context(|| format!("cannot copy {from} to {to}"))?;
    let cannot = "cannot write to stdout";
    for (table, rows) in &copied.tables {
        say(format_args!("{table:<16} {rows:>12}")).context(cannot)?;
    }
    let rows: u64 = copied.tables.iter().map(|(_, rows)| rows).sum();
    let found = if copied.found > 0 { format!(", {} of them by an earlier run", copied.found) } else { String::new() };
    let (head, epoch, time) = (copied.bounds.head, copied.bounds.epoch, begun.elapsed().as_secs_f64());
    say(format_args!("copied and compared: {rows} rows{found}; head {head}, epoch {epoch}; {time:.1} s")).context(cannot)?;
    say("Readers continue from their cursors. Remove the source: two databases with one epoch must not both have servers.")
        .context(cannot)
}

/// How far it is: a bar a table on a terminal, else a line a table.
struct Shown {
    bar: Option<ProgressBar>,
    table: &'static str,
    said: Instant,
}

impl Shown {
    fn new() -> Self {
        Self { bar: io::stderr().is_terminal().then(ProgressBar::hidden), table: "", said: Instant::now() }
    }

    fn step(&mut self, step: CopyStep) {
        let CopyStep { table, verifying, rows, of } = step;
        let doing = if verifying { "comparing" } else { "copying" };
        let done = verifying && rows == of;
        if let Some(bar) = &mut self.bar {
            if table != self.table {
                *bar = ProgressBar::new(of).with_style(style()).with_prefix(table);
            }
            bar.set_position(rows);
            bar.set_message(doing);
            if done {
                bar.finish_with_message("the same");
            }
        } else if done || self.said.elapsed() >= LINE_INTERVAL {
            self.said = Instant::now();
            let line = if done { format!("{table}: {of} rows, the same") } else { format!("{table}: {doing}, {rows} of {of}") };
            // It is talk: nobody may be listening.
            let _ = writeln!(io::stderr(), "{line}");
        }
        self.table = table;
    }

    /// Leaves the last bar as it is, so that a failure shows where it came.
    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:>16} {bar:30} {human_pos}/{human_len} {per_sec} {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
