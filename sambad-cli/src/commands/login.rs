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
    /// The user who logs in; without one, a token is kept as it is
    phone: Option<String>,
}

const AFTER_HELP: &str = "\
Without PHONE it keeps a token: the one of --token, --token-file or SAMBAD_TOKEN, or else one from a
prompt or the last line of stdin. With PHONE it asks for that user's tokens, for which the server
wants a service token or an ID token that names the phone; they are renewed by themselves.
Tokens are kept by server in sambad/credentials.json below $XDG_CONFIG_HOME or ~/.config, which
nobody else may read.

Examples:
  sambad-server token create --role service --role admin --auth-key k.json | sambad-cli login
  sambad-cli login --token
  sambad-cli login +919876543210 --token-file service.token";

impl LoginArgs {
    pub(crate) async fn run(self, access: &Access, output: &mut Output) -> anyhow::Result<()> {
        let file = CredentialsFile::of_user().context("neither XDG_CONFIG_HOME nor HOME says where to keep a token")?;
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
        bail!("{} asks nobody who they are: there is nothing to log in to", access.url());
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
        Err(error @ Error::Unauthorized(_)) => Err(error).context("the token is not kept"),
        _ => Ok(token),
    }
}
