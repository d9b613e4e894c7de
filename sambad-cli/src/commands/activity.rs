//! `activity`.

use std::num::NonZeroU32;

use clap::Args;
use sambad_client::{Activity, Client};

use crate::output::{Output, Table};
use crate::text::{Local, excerpt};

/// How much is shown.
#[derive(Debug, Args)]
pub(crate) struct ActivityArgs {
    /// Show at most N entries
    #[arg(long, short = 'n', value_name = "N", default_value = "20")]
    limit: NonZeroU32,
}

impl ActivityArgs {
    pub(crate) async fn run(self, client: &Client, output: &mut Output) -> anyhow::Result<()> {
        let answer = client.activity(Some(self.limit.get())).await?;
        if output.wants_json() {
            return output.json_rows(&answer.json);
        }
        let rows: Vec<_> = answer.value.iter().map(row).collect();
        Ok(Table::new(["TIME", "SEQ", "TYPE", "DESCRIPTION"]).numbers(1..=1).rows(output, &rows)?)
    }
}

fn row(activity: &Activity) -> [String; 4] {
    [
        Local::of(activity.time).date_time(),
        activity.seq.to_string(),
        excerpt(&activity.event_type),
        excerpt(&activity.description),
    ]
}
