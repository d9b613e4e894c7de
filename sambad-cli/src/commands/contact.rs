//! `contact add`, `contact list`, `contact remove`.

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Subcommand};
use sambad_client::model::ContactWithUsers;
use sambad_client::{Answer, Client, ContactId, ContactQuery, NewContact, UserRef};

use crate::cli::Cli;
use crate::output::{Output, Role, Table};
use crate::paging::Paging;
use crate::text::{Local, harmless};

/// What to do with contacts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContactCommand {
    /// Add a contact to a user
    Add(AddArgs),
    /// List contacts
    List(ListArgs),
    /// Remove a contact, given its id or its two users
    Remove(RemoveArgs),
}

/// Who adds whom.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The user who adds the contact: id or phone number
    user: UserRef,
    /// The user to add: id or phone number
    contact: UserRef,
    /// The name that the user gives the contact
    #[arg(long)]
    name: Option<String>,
}

/// Which contacts are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only contacts of this user: id or phone number
    user: Option<UserRef>,
    #[command(flatten)]
    paging: Paging,
}

/// Which contact is removed.
#[derive(Debug, Args)]
#[command(
    override_usage = "sambad-cli contact remove [OPTIONS] <CONTACT_ID>\n       sambad-cli contact remove [OPTIONS] <USER> <CONTACT>"
)]
pub(crate) struct RemoveArgs {
    /// The contact's id; or the user who added it: id or phone number
    #[arg(value_name = "CONTACT_ID|USER")]
    first: UserRef,
    /// The user who was added: id or phone number
    contact: Option<UserRef>,
}

impl ContactCommand {
    pub(crate) async fn run(self, client: &Client, output: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Add(args) => add(args, client, output).await,
            Self::List(args) => list(args, client, output).await,
            Self::Remove(args) => remove(args, client, output).await,
        }
    }
}

async fn add(args: AddArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let answer = client.add_contact(&NewContact { user: args.user, contact: args.contact, name: args.name }).await?;
    if output.wants_json() {
        return Ok(output.line(&answer.json)?);
    }
    let contact = &answer.value.contact;
    let (who, whom, id) = (&contact.user_username, &contact.contact_user_username, contact.id);
    let added = output.paint(Role::Good, "added");
    let line = match answer.seq {
        Some(seq) => format!("{who} {added} {whom} (contact {id}, seq {seq})"),
        None => format!("{who} already has {whom} (contact {id})"),
    };
    Ok(output.line(line)?)
}

async fn list(args: ListArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let user = match &args.user {
        Some(user) => Some(client.resolve(user).await.with_context(|| format!("cannot find user {user}"))?),
        None => None,
    };
    let mut table = Table::new(["USER", "CONTACT", "NAME", "ID", "ADDED"]);
    let fetch = async |limit, after| client.contacts(&ContactQuery { user, limit: Some(limit), after }).await;
    let show = |page: &Answer<Vec<ContactWithUsers>>| {
        if output.wants_json() {
            return output.json_rows(&page.json);
        }
        let rows: Vec<_> = page.value.iter().map(row).collect();
        Ok(table.rows(output, &rows)?)
    };
    args.paging.each(fetch, show).await
}

fn row(entry: &ContactWithUsers) -> [String; 5] {
    let contact = &entry.contact;
    [
        contact.user_username.to_string(),
        contact.contact_user_username.to_string(),
        if contact.name == contact.phone.as_str() { "-".into() } else { harmless(&contact.name) },
        contact.id.to_string(),
        Local::of(contact.created_at).date_time(),
    ]
}

async fn remove(args: RemoveArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let id = match (&args.first, &args.contact) {
        (user, Some(contact)) => find(client, user, contact).await?,
        (UserRef::Id(id), None) => id.to_string().parse().expect("a contact's id is a UUID like a user's"),
        (UserRef::Phone(_), None) => {
            let usage = "a phone number alone does not identify a contact: add the user who was added";
            let mut cli = Cli::command();
            cli.build();
            let remove = cli.find_subcommand_mut("contact").and_then(|contact| contact.find_subcommand_mut("remove"));
            return Err(remove.expect("it was chosen").error(ErrorKind::MissingRequiredArgument, usage).into());
        }
    };
    let answer = client.remove_contact(id).await?;
    if output.wants_json() {
        return Ok(output.line(&answer.json)?);
    }
    let contact = &answer.value;
    let removed = output.paint(Role::Warning, "removed");
    let seq = answer.seq.map(|seq| format!(", seq {seq}")).unwrap_or_default();
    let (who, whom) = (&contact.user_username, &contact.contact_user_username);
    Ok(output.line(format_args!("{who} {removed} {whom} (contact {}{seq})", contact.id))?)
}

/// Looks for the contact between two users.
async fn find(client: &Client, user: &UserRef, contact: &UserRef) -> anyhow::Result<ContactId> {
    let id = client.resolve(user).await.with_context(|| format!("cannot find user {user}"))?;
    let contact_id = client.resolve(contact).await.with_context(|| format!("cannot find user {contact}"))?;
    let mut found = None;
    let fetch = async |limit, after| client.contacts(&ContactQuery { user: Some(id), limit: Some(limit), after }).await;
    let search = |page: &Answer<Vec<ContactWithUsers>>| {
        let matches = |entry: &&ContactWithUsers| entry.contact.contact_user_id == contact_id;
        found = found.or(page.value.iter().find(matches).map(|entry| entry.contact.id));
        Ok(())
    };
    Paging::ALL.each(fetch, search).await?;
    found.with_context(|| format!("{contact} is not a contact of {user}"))
}
