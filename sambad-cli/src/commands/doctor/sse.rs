//! An event stream through the real path, and whether something holds it back.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use tokio::time::{Instant, timeout_at};

use super::clock::Clock;
use super::ending::{Ending, root_cause};
use super::finding::{Finding, Trouble, span};
use super::greeting::Greeting;
use super::socket::{code, via};
use super::target::{NOBODY, Target};

const SUBJECT: &str = "event stream";
const MEDIA_TYPE: &str = "text/event-stream";
/// Bytes until the first message is complete, at most; the server's is below 300.
const GREETING_BYTES_MAX: usize = 64 << 10;
/// Bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
/// How much longer than any other answer the first message may take, before something is held to keep it.
const LATE: Duration = Duration::from_secs(1);

const UNBUFFERED: &str = "\
a proxy must forward the response to /api/events/stream unbuffered:
nginx    proxy_buffering off; gzip off; and no proxy_ignore_headers X-Accel-Buffering (the server sends that header)
Caddy    reverse_proxy { flush_interval -1 }, and no encode for text/event-stream
others   no buffering, compression or virus scan of text/event-stream responses
until then clients that use sambad-client fall back to long polling automatically";
const REFUSED: &str = "a proxy or firewall on the path responds instead of the server: allow GET /api/events/stream there";
const SERVER_REFUSED: &str = "the server itself rejects it: its log has the reason";

/// An open event stream whose first message has come.
#[derive(Debug)]
pub(super) struct Sse {
    response: Response,
    pub(super) greeting: Greeting,
}

/// Opens one, on a way where any other answer takes `usual`.
pub(super) async fn examine(target: &Target, usual: Duration, clock: &mut Clock) -> (Finding, Option<Sse>) {
    let (sse, head) = match open(target).await {
        Ok(opened) => opened,
        Err(trouble) => return (Finding::fault(SUBJECT, trouble), None),
    };
    let took = sse.greeting.took;
    clock.compare(sse.greeting);
    let packed = sse.response.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let finding = if took > usual + LATE {
        let detail = format!("first message after {}, response headers after {}: buffered on the path", span(took), span(head));
        Finding::warning(SUBJECT, detail, UNBUFFERED)
    } else if let Some(packing) = packed {
        Finding::warning(SUBJECT, format!("compressed on the path ({packing}), which delays messages"), UNBUFFERED)
    } else {
        let by = via(sse.response.headers()).map(|via| format!(" through {via}")).unwrap_or_default();
        Finding::fine(SUBJECT, format!("first message after {}, unbuffered{by}", span(took)))
    };
    (finding.time("connected_ms", took), Some(sse))
}

/// Asks for the stream and waits for its first message, all within the target's limit. Also gives when the head came.
pub(super) async fn open(target: &Target) -> Result<(Sse, Duration), Trouble> {
    let (begun, limit) = (Instant::now(), span(target.limit));
    let deadline = begun + target.limit;
    let request = target.client.get("/api/events/stream").await.map_err(|error| Trouble::new(error.to_string(), ""))?;
    let request = request.query(&[("user", NOBODY)]).header(ACCEPT, MEDIA_TYPE).header(CACHE_CONTROL, "no-cache").send();
    let mut response = match timeout_at(deadline, request).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(Trouble::new(format!("no response: {}", root_cause(&error.without_url())), UNBUFFERED)),
        Err(_) => {
            return Err(Trouble::new(
                format!("no response within {limit}, although other responses arrive: buffered on the path"),
                UNBUFFERED,
            ));
        }
    };
    let head = begun.elapsed();
    if response.status().as_u16() != 200 {
        return Err(refused(response, deadline).await);
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with(MEDIA_TYPE) {
        return Err(Trouble::new(format!("the response is {kind:?}, not an event stream"), REFUSED));
    }
    let mut text = Vec::new();
    while !text.ends_with(b"\n\n") {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) if text.len() + chunk.len() <= GREETING_BYTES_MAX => text.extend_from_slice(&chunk),
            Ok(Ok(Some(_))) => return Err(Trouble::new("the first message has no end", REFUSED)),
            Ok(Ok(None)) => return Err(Trouble::new("ended before its first message", UNBUFFERED)),
            Ok(Err(error)) => {
                return Err(Trouble::new(format!("cut before its first message: {}", root_cause(&error)), UNBUFFERED));
            }
            Err(_) => {
                let detail =
                    format!("response headers after {}, but no first message within {limit}: buffered on the path", span(head));
                return Err(Trouble::new(detail, UNBUFFERED));
            }
        }
    }
    let text = String::from_utf8_lossy(&text);
    let data = text.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default();
    match Greeting::read(data.trim_start(), begun) {
        Some(greeting) => Ok((Sse { response, greeting }, head)),
        None => Err(Trouble::new("the first message is not from Sambad", REFUSED)),
    }
}

/// Why the answer is no stream.
async fn refused(mut response: Response, deadline: Instant) -> Trouble {
    let (status, by) = (response.status(), via(response.headers()).map(|via| format!(" from {via}")).unwrap_or_default());
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    match &*code(&body) {
        "" => Trouble::new(format!("the response{by} is {status}"), REFUSED),
        code => Trouble::new(format!("the server rejected it: {status}, {code}"), SERVER_REFUSED),
    }
}

impl Sse {
    /// Waits for the next bytes of the stream, whatever they say.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<(), Ending> {
        let begun = Instant::now();
        match timeout_at(deadline, self.response.chunk()).await {
            Err(_) => Err(Ending::Silent { after: begun.elapsed() }),
            // The stream is of nobody's events: what comes is a heartbeat, an id, or the last word of a server that goes.
            Ok(Ok(Some(chunk))) if chunk.starts_with(b"retry:") => Err(Ending::Drained),
            Ok(Ok(Some(_))) => Ok(()),
            Ok(Ok(None)) => Err(Ending::Cut("without notice".into())),
            Ok(Err(error)) => Err(Ending::of_answer(&error)),
        }
    }
}
