//! `logout`.

use anyhow::Context as _;
use sambad_client::Error;

use crate::access::Access;
use crate::credentials::CredentialsFile;
use crate::output::{Output, Role};

/// Ends a user's login at the server, and forgets what was kept for it.
pub(crate) async fn run(access: &Access, output: &mut Output) -> anyhow::Result<()> {
    let file = CredentialsFile::of_user().context("neither XDG_CONFIG_HOME nor HOME says where tokens are kept")?;
    let Some(entry) = file.entry(access.url())? else {
        output.note(Role::Aside, format_args!("nothing is kept for {}", access.url()));
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
        Err(error) => return Err(error).context("the token is forgotten here, and still good at the server"),
    }
    if !is_user {
        output.note(Role::Aside, "The token itself is good until it ends; `sambad-server token revoke` ends it.");
    }
    Ok(())
}
