//! `stats`.

use sambad_client::Client;
use sambad_client::model::{Analytics, DailyCounts};

use crate::output::{Output, Table};

/// Days shown below the totals.
const DAYS_SHOWN: usize = 7;

pub(crate) async fn run(client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let answer = client.analytics().await?;
    if output.wants_json() {
        return Ok(output.line(&answer.json)?);
    }
    let Analytics { total_users, new_users, active_users, inactive_users, growth, total_contacts, total_messages, daily } =
        answer.value;
    output.fields(&[
        ("users", total_users.to_string()),
        ("  new today", format!("{new_users} ({growth} %)")),
        ("  active in 7 days", active_users.to_string()),
        ("  inactive", inactive_users.to_string()),
        ("contacts", total_contacts.to_string()),
        ("messages", total_messages.to_string()),
    ])?;
    output.line("")?;
    let rows: Vec<_> = daily.iter().rev().take(DAYS_SHOWN).map(row).collect();
    Ok(Table::new(["DAY (UTC)", "USERS", "CONTACTS", "MESSAGES"]).numbers(1..=3).rows(output, &rows)?)
}

fn row(day: &DailyCounts) -> [String; 4] {
    [day.date.to_string(), day.users.to_string(), day.contacts.to_string(), day.messages.to_string()]
}
