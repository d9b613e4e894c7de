//! `migrate`.

use anyhow::{Context as _, bail};
use sambad_core::maintenance::{self, Schema};

use super::say;
use crate::config::Cli;

/// Brings the schema up to date, or only looks, and says how it stands in one line.
///
/// # Errors
/// When it cannot be brought up to date, or is found to be another version's.
pub(super) async fn run(cli: &Cli, check: bool) -> anyhow::Result<()> {
    let cannot = if check { "cannot read the schema" } else { "cannot bring the schema up to date" };
    let schema = maintenance::migrate(&cli.database, check).await.context(cannot)?;
    let Schema { stored, known } = schema;
    match (check, schema.is_current()) {
        (_, true) => say(format_args!("schema: migration {known}, current"))?,
        (false, false) => say(format_args!("schema: migration {known}, was {stored}"))?,
        (true, false) => {
            say(format_args!("schema: migration {stored}, this version knows {known}"))?;
            bail!("the schema is not current: {}", what_to_do(schema));
        }
    }
    Ok(())
}

fn what_to_do(schema: Schema) -> &'static str {
    if schema.stored > schema.known { "use a newer version of Sambad" } else { "run `sambad-server migrate` to update it" }
}
