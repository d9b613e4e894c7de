//! From the arguments to a client: which server, whom it is trusted by, and who asks.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::Context as _;
use sambad_client::{Client, Error, Token};

use crate::cli::Global;
use crate::credentials::{CredentialsFile, Entry};

/// A token as it was given, which no message and no log may show.
#[derive(Clone)]
pub(crate) struct GivenToken(String);

impl From<String> for GivenToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for GivenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenToken(..)")
    }
}

/// What is told as "read it from somewhere else than the arguments".
pub(crate) const ASK: &str = "-";

/// The server, and what this machine knows to be let in by.
#[derive(Debug)]
pub(crate) struct Access {
    /// Asks as nobody.
    client: Client,
    given: Option<GivenToken>,
    token_file: Option<PathBuf>,
}

/// What requests are made with, and where that is from.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) token: Token,
    pub(crate) from: String,
    /// Of an entry in the credentials file.
    pub(crate) entry: Option<(CredentialsFile, Entry)>,
}

impl Access {
    /// # Errors
    /// When the certificates cannot be read.
    pub(crate) fn new(global: Global) -> anyhow::Result<Self> {
        let client = match &global.ca_file {
            None => Client::new(&global.server)?,
            Some(path) => {
                let reading = || format!("cannot read {}", path.display());
                let pem = std::fs::read(path).with_context(reading)?;
                Client::trusting(&global.server, &pem).with_context(reading)?
            }
        };
        Ok(Self { client, given: global.token, token_file: global.token_file })
    }

    /// The address of the server, by which entries are kept.
    pub(crate) fn url(&self) -> &str {
        self.client.url()
    }

    /// A client that asks as nobody.
    pub(crate) fn anonymous(&self) -> &Client {
        &self.client
    }

    /// The token that the arguments or the environment give.
    pub(crate) fn given(&self) -> anyhow::Result<Option<(Token, String)>> {
        if let Some(path) = &self.token_file {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let token = last_line(&text).with_context(|| path.display().to_string())?;
            return Ok(Some((token, path.display().to_string())));
        }
        match &self.given {
            Some(GivenToken(text)) if text == ASK => Ok(Some((ask()?, "stdin".into()))),
            Some(GivenToken(text)) => Ok(Some((Token::new(text.as_str())?, "--token or SAMBAD_TOKEN".into()))),
            None => Ok(None),
        }
    }

    /// Who asks: by what the arguments give, or else by what was kept; `None` is nobody in particular.
    pub(crate) fn identity(&self) -> anyhow::Result<Option<Identity>> {
        if let Some((token, from)) = self.given()? {
            return Ok(Some(Identity { token, from, entry: None }));
        }
        let Some(file) = CredentialsFile::of_user() else { return Ok(None) };
        let found = file.entry(self.url())?;
        Ok(found.map(|entry| {
            let from = file.path().display().to_string();
            Identity { token: entry.token.clone(), from, entry: Some((file, entry)) }
        }))
    }

    /// A client that asks as whoever this is.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let identity = self.identity()?;
        Ok(identity.map_or_else(|| self.client.clone(), |identity| self.client_as(identity)))
    }

    /// A client that asks as who was kept for the server, whatever the arguments give.
    pub(crate) fn kept(&self) -> anyhow::Result<Client> {
        let kept = Self { client: self.client.clone(), given: None, token_file: None };
        kept.client()
    }

    fn client_as(&self, Identity { token, entry, .. }: Identity) -> Client {
        match entry {
            Some((file, Entry { refresh_token: Some(_), .. })) => {
                let client = self.client.clone();
                self.client.with_token_source(Some(token), move |old| next(client.clone(), file.clone(), old))
            }
            _ => self.client.with_token(token),
        }
    }
}

/// A user's next token. Under a lock, and read anew: a refresh token that two processes use ends the login.
async fn next(client: Client, file: CredentialsFile, old: Option<Token>) -> Result<Token, Error> {
    let none = |error: anyhow::Error| Error::NoToken { reason: format!("{error:#}") };
    let lock = file.lock().await.map_err(none)?;
    let Some(entry) = file.entry(client.url()).map_err(none)? else {
        return Err(Error::NoToken { reason: "another process logged out in the meantime".into() });
    };
    let (token, Some(refresh_token)) = (entry.token, entry.refresh_token) else {
        return Err(Error::NoToken { reason: "another user logged in in the meantime".into() });
    };
    if old.as_ref() != Some(&token) {
        // Another process was first. Of another user it is not: a stream goes on as who it began.
        let subject = |token: &Token| token.claims().map(|claims| claims.subject.clone());
        return match old {
            Some(old) if subject(&old) != subject(&token) => {
                Err(Error::NoToken { reason: "another user logged in in the meantime".into() })
            }
            _ => Ok(token),
        };
    }
    let tokens = client.refresh(&refresh_token).await?.value;
    let token = tokens.token.clone();
    file.set(&lock, client.url(), Some(tokens.into())).map_err(none)?;
    Ok(token)
}

/// Reads a token: of a person without showing it, else the last line of stdin, which is what `sambad-server token create` ends
/// with.
pub(crate) fn ask() -> anyhow::Result<Token> {
    let text = if io::stdin().is_terminal() {
        rpassword::prompt_password("Token: ").context("cannot read a token")?
    } else {
        io::read_to_string(io::stdin()).context("cannot read a token from stdin")?
    };
    last_line(&text).context("stdin")
}

fn last_line(text: &str) -> anyhow::Result<Token> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).context("no token found")?;
    Ok(Token::new(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what `token create` prints can be handed on as it is. Method: its form, and what is none.
    #[test]
    fn the_last_line_is_the_token() {
        for text in ["abc", "abc\n", "token 1 of operator, until 2026:\nabc\n\n", "  abc  "] {
            assert_eq!(last_line(text).unwrap().secret(), "abc", "{text:?}");
        }
        assert!(last_line("\n \n").is_err() && last_line("token create").is_err());
    }

    /// Goal: no argument's secret reaches a log. Method: print one.
    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", GivenToken("hunter2".into())).contains("hunter2"));
    }
}
