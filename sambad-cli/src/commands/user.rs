//! `user create`, `user list`, `user show`.

use clap::{Args, Subcommand};
use sambad_client::model::User;
use sambad_client::{Client, NewUser, UserQuery, UserRef};

use crate::output::{Output, Role, Table};
use crate::paging::Paging;
use crate::text::{Local, harmless};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Log in a user; the first login creates the user
    Create(CreateArgs),
    /// List users, oldest first
    List(ListArgs),
    /// Show one user
    Show(ShowArgs),
}

/// Who is created.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Phone number; without + it belongs to the server's default country
    phone: String,
    /// The user's name
    #[arg(long)]
    name: Option<String>,
}

/// Which users are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only users with a phone number or name that begins with PREFIX
    #[arg(long, short, value_name = "PREFIX")]
    query: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

/// Who is shown.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The user: id or phone number
    user: UserRef,
}

impl UserCommand {
    pub(crate) async fn run(self, client: &Client, output: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Create(args) => create(args, client, output).await,
            Self::List(args) => list(args, client, output).await,
            Self::Show(args) => show(&args, client, output).await,
        }
    }
}

async fn create(args: CreateArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let login = client.login(&NewUser { name: args.name, ..NewUser::new(args.phone) }).await?;
    if output.wants_json() {
        return Ok(output.line(&login.json)?);
    }
    let user = &login.value.user;
    let created = output.paint(Role::Good, "created");
    let line = match login.seq {
        Some(seq) => format!("{created} {} {} (seq {seq})", user.phone, user.id),
        None => format!("exists  {} {}", user.phone, user.id),
    };
    Ok(output.line(line)?)
}

async fn list(args: ListArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let mut table = Table::new(["PHONE", "NAME", "ID", "CREATED", "LAST ACTIVE"]);
    let fetch = async |limit, after| client.users(&UserQuery { prefix: args.query.clone(), limit: Some(limit), after }).await;
    let show = |page: &sambad_client::Answer<Vec<User>>| {
        if output.wants_json() {
            return output.json_rows(&page.json);
        }
        let rows: Vec<_> = page.value.iter().map(row).collect();
        Ok(table.rows(output, &rows)?)
    };
    args.paging.each(fetch, show).await
}

fn row(user: &User) -> [String; 5] {
    [
        user.phone.to_string(),
        name(user),
        user.id.to_string(),
        Local::of(user.created_at).date_time(),
        Local::of(user.last_active_at).date_time(),
    ]
}

async fn show(args: &ShowArgs, client: &Client, output: &mut Output) -> anyhow::Result<()> {
    let answer = client.user(&args.user).await?;
    if output.wants_json() {
        return Ok(output.line(&answer.json)?);
    }
    let user = &answer.value;
    Ok(output.fields(&[
        ("phone", user.phone.to_string()),
        ("name", name(user)),
        ("id", user.id.to_string()),
        ("email", harmless(&user.email)),
        ("created", Local::of(user.created_at).date_time()),
        ("last active", Local::of(user.last_active_at).date_time()),
    ])?)
}

fn name(user: &User) -> String {
    user.name.as_deref().map_or_else(|| "-".into(), harmless)
}
