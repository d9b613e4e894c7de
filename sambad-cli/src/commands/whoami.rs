//! `whoami`.

use sambad_client::{Error, Timestamp, Token};

use crate::access::{Access, Identity};
use crate::output::Output;
use crate::text::{Local, harmless};

/// Shows as whom this machine asks, by what the token says of itself.
pub(crate) fn run(access: &Access, output: &mut Output) -> anyhow::Result<()> {
    let Some(Identity { token, from, entry }) = access.identity()? else {
        return Err(Error::NoToken { reason: format!("none was given, and none is stored for {}", access.url()) }.into());
    };
    if output.wants_json() {
        return Ok(output.line(told(access.url(), &token, true))?);
    }
    let mut fields = vec![("server", access.url().to_owned())];
    match token.claims() {
        Some(claims) => {
            let renewed = entry.is_some_and(|(_, entry)| entry.refresh_token.is_some());
            let state = if renewed {
                " (renewed automatically)"
            } else if claims.expires_at <= Timestamp::now() {
                " (expired)"
            } else {
                ""
            };
            fields.push(("subject", harmless(&claims.subject)));
            fields.push(("roles", harmless(&claims.roles.join(", "))));
            fields.push(("expires", format!("{}{state}", Local::of(claims.expires_at).date_time())));
        }
        None => fields.push(("subject", "unknown: the token is not a JWT".into())),
    }
    fields.push(("from", from));
    Ok(output.fields(&fields)?)
}

/// What a token says of itself, in a line.
pub(super) fn told(server: &str, token: &Token, json: bool) -> String {
    let claims = token.claims();
    if json {
        let line = serde_json::json!({
            "server": server,
            "subject": claims.map(|claims| &claims.subject),
            "roles": claims.map(|claims| &claims.roles),
            "expires_at": claims.map(|claims| claims.expires_at),
        });
        return line.to_string();
    }
    match claims {
        Some(claims) => format!(
            "logged in to {server} as {} ({}), until {}",
            harmless(&claims.subject),
            harmless(&claims.roles.join(", ")),
            Local::of(claims.expires_at).date_time()
        ),
        None => format!("logged in to {server}"),
    }
}
