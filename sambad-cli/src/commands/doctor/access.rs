//! Whether the server asks who calls, and what it makes of who we are.

use std::time::Duration;

use sambad_client::{Client, Error, EventQuery, Timestamp, Token};
use tokio::time::timeout;

use super::finding::{Finding, Trouble, span};

const SUBJECT: &str = "access";
const LOG_IN: &str = "\
log in: `sambad-cli login` stores a token, `sambad-cli login PHONE` stores a user's tokens
SAMBAD_TOKEN or --token-file gives a token for one command; `sambad-server token create` creates one";
const NOT_A_READER: &str = "\
streams and long polls need a token with the role admin or user: the doctor skips them
`sambad-cli login` stores another token";

/// Asks as nobody, then as who we are. Without the second value, streams would only be refused.
pub(super) async fn examine(client: &Client, limit: Duration) -> (Finding, Option<()>) {
    let query = EventQuery { limit: Some(1), ..EventQuery::default() };
    let late = || Trouble::new(format!("no response within {}", span(limit)), "check the server's log");
    let Ok(anybody) = timeout(limit, client.without_token().events(&query)).await.map(|answer| answer.err()) else {
        return (Finding::fault(SUBJECT, late()), Some(()));
    };
    if !matches!(anybody, Some(Error::Unauthorized(_))) {
        // What else is wrong with it is told where it is examined.
        return (Finding::fine(SUBJECT, "the server does not require authentication").fact("asks", false), Some(()));
    }
    let token = match timeout(limit, client.token()).await {
        Ok(Ok(Some(token))) => token,
        Ok(Ok(None)) => return denied("the server requires authentication, and there is no token".into()),
        Ok(Err(error)) => return denied(format!("the server requires authentication: {error}")),
        Err(_) => return (Finding::fault(SUBJECT, late()), None),
    };
    match timeout(limit, client.events(&query)).await {
        Ok(Ok(_)) => (Finding::fine(SUBJECT, format!("the token is valid: {}", who(&token))).fact("asks", true), Some(())),
        Ok(Err(Error::Forbidden(_))) => {
            let detail = format!("the token is valid, but may not read events: {}", who(&token));
            (Finding::warning(SUBJECT, detail, NOT_A_READER).fact("asks", true), None)
        }
        Ok(Err(error)) => denied(format!("the server rejects the token: {error}")),
        Err(_) => (Finding::fault(SUBJECT, late()), None),
    }
}

fn denied(detail: String) -> (Finding, Option<()>) {
    (Finding::fault(SUBJECT, Trouble::new(detail, LOG_IN)).fact("asks", true), None)
}

fn who(token: &Token) -> String {
    let Some(claims) = token.claims() else { return "it does not name its subject".into() };
    let left = claims.expires_at.since(Timestamp::now()).as_secs();
    let ends = if left < 7200 { format!("{} min", left / 60) } else { format!("{} h", left / 3600) };
    format!("{} ({}), expires in {ends}", crate::text::harmless(&claims.subject), claims.roles.join(", "))
}
