//! `logout`.

use anyhow::Context as _;
use sambad_client::Error;

use crate::access::Access;
use crate::credentials::CredentialsFile;
use crate::output::{Output, Role};

/// Ends a user's login at the server, and forgets what was kept for it.
pub(crate) async fn run(access: &Access, output: &mut Output) -> anyhow::Result<()> {
    let file = CredentialsFile::of_user().context("cannot find stored tokens: neither XDG_CONFIG_HOME nor HOME is set")?;
    let Some(entry) = file.entry(access.url())? else {
        output.note(Role::Aside, format_args!("no token is stored for {}", access.url()));
        return Ok(());
    };
    let is_user = entry.refresh_token.is_some();
    let ended = if is_user { access.kept()?.log_out().await } else { Ok(()) };
    let lock = file.lock().await?;
    file.set(&lock, access.url(), None)?;
    output.line(format_args!("logged out of {}", access.url()))?;
    match ended {
        // It had ended already.
        Ok(()) | Err(Error::Unauthorized(_)) => {}
        Err(error) => return Err(error).context("the stored token was deleted, but the server still accepts it"),
    }
    if !is_user {
        output.note(Role::Aside, "The token stays valid until it expires; `sambad-server token revoke` revokes it.");
    }
    Ok(())
}
