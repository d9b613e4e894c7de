//! `message send`, `message list`.

use anyhow::Context;
use clap::{Args, Subcommand};
use sambad_client::model::Message;
use sambad_client::{Answer, Client, MessageQuery, NewMessage, UserRef};

use crate::output::{Output, Role, Table};
use crate::paging::Paging;
use crate::text::{Local, excerpt};

/// What to do with messages.
#[derive(Debug, Subcommand)]
pub(crate) enum MessageCommand {
    /// Send a message from one user to another
    Send(SendArgs),
    /// List messages, newest first
    List(ListArgs),
}

/// Who says what to whom.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The sender: id or phone number
    from: UserRef,
    /// The recipient: id or phone number
    to: UserRef,
    /// The text, up to 4,096 characters
    content: String,
    /// The type of the content
    #[arg(long = "type", value_name = "TYPE", default_value = "text")]
    message_type: String,
}

/// Which messages are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only messages from or to this user: id or phone number
    user: Option<UserRef>,
    /// Of these, only messages exchanged with this other user: id or phone number
    #[arg(long, value_name = "USER", requires = "user")]
    with: Option<UserRef>,
    #[command(flatten)]
    paging: Paging,
}

impl MessageCommand {
    pub(crate) async fn run(self, client: &Client, output: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Send(args) => send(args, client, output).await,
            Self::List(args) => list(args, client, output).await,
        }
    }
}

async fn send(args: SendArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let SendArgs { from, to, content, message_type } = args;
    let answer = client.send_message(&NewMessage { from, to, content, message_type }).await?;
    if output.wants_json() {
        return Ok(output.line(&answer.json)?);
    }
    let message = &answer.value;
    let seq = answer.seq.map(|seq| format!(", seq {seq}")).unwrap_or_default();
    let sent = output.paint(Role::Good, "sent");
    let (from, to) = (&message.from_username, &message.to_username);
    Ok(output.line(format_args!("{sent} {from} to {to} (message {}{seq})", message.id))?)
}

async fn list(args: ListArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let mut people = Vec::new();
    for user in args.user.iter().chain(&args.with) {
        people.push(client.resolve(user).await.with_context(|| format!("cannot find user {user}"))?);
    }
    let (user, with) = (people.first().copied(), people.get(1).copied());
    let mut table = Table::new(["SENT", "FROM", "TO", "TYPE", "CONTENT"]);
    let fetch = async |limit, after| client.messages(&MessageQuery { user, with, limit: Some(limit), after }).await;
    let show = |page: &Answer<Vec<Message>>| {
        if output.wants_json() {
            return output.json_rows(&page.json);
        }
        let rows: Vec<_> = page.value.iter().map(row).collect();
        Ok(table.rows(output, &rows)?)
    };
    args.paging.each(fetch, show).await
}

fn row(message: &Message) -> [String; 5] {
    [
        Local::of(message.created_at).date_time(),
        message.from_username.to_string(),
        message.to_username.to_string(),
        message.message_type.clone(),
        excerpt(&message.content),
    ]
}
