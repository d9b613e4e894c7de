//! Whether a long poll is left in peace.

use std::time::{Duration, Instant};

use sambad_client::{After, Client, Error, EventQuery, Filter, Seq};
use tokio::time::timeout;

use super::finding::{Finding, Trouble, span};
use super::target::NOBODY;

const SUBJECT: &str = "long poll";
/// How long the server is asked to wait for an event that does not come.
const WAIT: Duration = Duration::from_secs(2);
/// How much earlier it may answer: its clock and ours need not tick alike.
const EARLY: Duration = Duration::from_millis(200);

const LEAVE_OPEN: &str = "\
a proxy or firewall on the path cuts requests that wait: clients wait up to 25 s for a response, so set above 30 s
nginx    proxy_read_timeout
HAProxy  timeout server
others   the response timeout";
const EARLY_ADVICE: &str = "\
an early response means that the server is shutting down, or that a proxy serves a cached response: turn off caching for
/api there";

/// Waits for what involves nobody.
pub(super) async fn examine(client: &Client, head: Seq, limit: Duration) -> Finding {
    let filter = Filter { user: NOBODY.parse().ok(), ..Filter::default() };
    let query = EventQuery { after: Some(After::Seq(head)), filter, wait: Some(WAIT), ..EventQuery::default() };
    let begun = Instant::now();
    let answer = timeout(WAIT + limit, client.events(&query)).await;
    let took = begun.elapsed();
    let trouble = match answer {
        Ok(Ok(_)) if took + EARLY < WAIT => {
            let detail = format!("an empty poll of {} returned early, after {}", span(WAIT), span(took));
            return Finding::warning(SUBJECT, detail, EARLY_ADVICE).time("answer_ms", took);
        }
        Ok(Ok(_)) => {
            let detail = format!("an empty poll of {} returned after {}", span(WAIT), span(took));
            return Finding::fine(SUBJECT, detail).time("answer_ms", took);
        }
        Ok(Err(error @ (Error::Transport { .. } | Error::Connect { .. } | Error::Timeout { .. }))) => {
            Trouble::new(format!("cut after {}: {error}", span(took)), LEAVE_OPEN)
        }
        Ok(Err(error)) if error.api_code() == Some("") => Trouble::new(format!("after {}: {error}", span(took)), LEAVE_OPEN),
        Ok(Err(error)) => Trouble::new(error.to_string(), "check the server's log"),
        Err(_) => Trouble::new(format!("no response within {}", span(WAIT + limit)), LEAVE_OPEN),
    };
    Finding::fault(SUBJECT, trouble).time("answer_ms", took)
}
