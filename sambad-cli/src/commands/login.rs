//! `login`.

use anyhow::{Context as _, bail};
use clap::Args;
use sambad_client::{Error, EventQuery, NewUser, Token};

use crate::access::{Access, ask};
use crate::commands::whoami::told;
use crate::credentials::{CredentialsFile, Entry};
use crate::output::Output;

/// Who is let in from now on.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LoginArgs {
    /// The user to log in; without PHONE, store a token unchanged
    phone: Option<String>,
}

const AFTER_HELP: &str = "\
Without PHONE, `login` stores a token: from --token, --token-file or SAMBAD_TOKEN, else from a prompt or the last line of \
stdin.

With PHONE, `login` requests that user's tokens. The server requires a service token for this, or an ID token that names the \
phone number. The client renews the user's tokens automatically.

Tokens are stored per server in sambad/credentials.json under $XDG_CONFIG_HOME or ~/.config. Only the file's owner may have \
access to it.

Examples:
  sambad-server token create --role service --role admin --auth-key k.json | sambad-cli login
  sambad-cli login --token
  sambad-cli login +919876543210 --token-file service.token";

impl LoginArgs {
    pub(crate) async fn run(self, access: &Access, output: &mut Output) -> anyhow::Result<()> {
        let file = CredentialsFile::of_user().context("cannot store a token: neither XDG_CONFIG_HOME nor HOME is set")?;
        let entry = match self.phone {
            Some(phone) => user(phone, access).await?,
            None => Entry { token: token(access).await?, refresh_token: None },
        };
        let text = told(access.url(), &entry.token, output.wants_json());
        let lock = file.lock().await?;
        file.set(&lock, access.url(), Some(entry))?;
        Ok(output.line(text)?)
    }
}

async fn user(phone: String, access: &Access) -> anyhow::Result<Entry> {
    let login = access.client()?.login(&NewUser::new(phone)).await?.value;
    let Some(tokens) = login.tokens else {
        bail!("{} does not require authentication: a login is not needed", access.url());
    };
    Ok(tokens.into())
}

async fn token(access: &Access) -> anyhow::Result<Token> {
    let token = match access.given()? {
        Some((token, _)) => token,
        None => ask()?,
    };
    let client = access.anonymous().with_token(token.clone());
    // A token that may do something else is good as well, and a server that is away cannot say.
    match client.events(&EventQuery { limit: Some(1), ..EventQuery::default() }).await {
        Err(error @ Error::Unauthorized(_)) => Err(error).context("the token was not stored"),
        _ => Ok(token),
    }
}
