//! One event stream over HTTP: asking, reading, and noticing that it is dead.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::decoder::{Decoder, Message};
use super::frame::Frame;
use super::wire::{End, Target};
use crate::call::{Call, refusal};
use crate::client::Client;
use crate::error::Error;
use crate::rest::events::types;
use crate::token::Token;

const MEDIA_TYPE: &str = "text/event-stream";
/// What silence is borne beyond the deadline: bytes that wait in the kernel pass through the HTTP library's own task, which
/// gets its turn when a reader that was away comes back.
const LATE: Duration = Duration::from_millis(100);

/// An open event stream.
#[derive(Debug)]
pub(super) struct Sse {
    client: Client,
    response: Response,
    decoder: Decoder,
    /// Silence that is borne.
    patience: Duration,
    deadline: Instant,
    /// Whether the first frame has come.
    greeted: bool,
}

impl Sse {
    /// Asks for the stream; the first frame must follow within what is left of the limit.
    pub(super) async fn dial(target: &Target, token: Option<&Token>) -> Result<Self, End> {
        let (client, limit) = (target.client.clone(), target.limit);
        let deadline = Instant::now() + limit;
        let late = |_| End::Blocked(Error::Timeout { url: client.url().into(), after: limit });
        let response = timeout_at(deadline, ask(target, token)).await.map_err(late)??;
        if response.status() == StatusCode::OK {
            if !is_stream(&response) {
                return Err(End::Blocked(client.protocol("the response is not an event stream".into())));
            }
            let decoder = Decoder::default();
            return Ok(Self { client, response, decoder, patience: limit, deadline, greeted: false });
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = timeout_at(deadline, client.read(response, limit)).await.map_err(late)?;
        Err(End::refused(refusal(status, &headers, &body.unwrap_or_default())))
    }

    /// Takes note of the first frame, and sets how long silence is borne from now on.
    pub(super) fn expect_heartbeat(&mut self, patience: Duration) {
        (self.greeted, self.patience) = (true, patience);
        self.heard();
    }

    /// The next frame. Cancel safe: what has arrived is in the decoder or still in the response.
    pub(super) async fn read(&mut self) -> Result<Frame, End> {
        loop {
            match self.decoder.next() {
                Ok(Some(Message { data: Some(data), .. })) => match Frame::parse(&data) {
                    // In place of a close frame, which an event stream has not.
                    Ok(Frame::Closed { code, reason }) => return Err(End::Closed { code, reason }),
                    Ok(frame) => return Ok(frame),
                    Err(error) => return Err(self.broken(format!("a frame is not an event: {error}"))),
                },
                Ok(Some(Message { id, data: None })) => {
                    // An id that is no cursor is no use, and no harm.
                    if let Some(cursor) = id.and_then(|id| id.parse().ok()) {
                        return Ok(Frame::Passed(cursor));
                    }
                }
                Ok(None) => self.receive().await?,
                Err(error) => return Err(self.broken(error.to_string())),
            }
        }
    }

    async fn receive(&mut self) -> Result<(), End> {
        let chunk = match timeout_at(self.deadline, self.response.chunk()).await {
            Ok(chunk) => Some(chunk),
            Err(_) => timeout(LATE, self.response.chunk()).await.ok(),
        };
        let failure = match chunk {
            None if self.greeted => return Err(End::Failed(Error::Silent { after: self.patience })),
            None => return Err(End::Blocked(Error::Timeout { url: self.client.url().into(), after: self.patience })),
            Some(Ok(Some(bytes))) => {
                self.heard();
                self.decoder.push(&bytes);
                return Ok(());
            }
            Some(Ok(None)) => Error::Transport {
                url: self.client.url().into(),
                source: Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof)),
            },
            Some(Err(error)) => self.client.failure(error, self.patience),
        };
        match self.decoder.retry() {
            // How a stream is drained; readers are told the same as of a WebSocket.
            Some(delay) => Err(End::Closed { code: 4000, reason: format!("drain reconnect_after_ms={}", delay.as_millis()) }),
            None => Err(End::new(self.greeted, failure)),
        }
    }

    fn broken(&self, what: String) -> End {
        End::new(self.greeted, self.client.protocol(what))
    }

    fn heard(&mut self) {
        self.deadline = Instant::now() + self.patience;
    }
}

async fn ask(target: &Target, token: Option<&Token>) -> Result<Response, End> {
    let Target { client, after, filter, .. } = target;
    let call =
        Call::get("/api/events/stream").query("after", *after).query("types", types(filter.kinds)).query("user", filter.user);
    let request = client.request(call, token).header(ACCEPT, MEDIA_TYPE);
    request.send().await.map_err(|error| End::unanswered(client.failure(error, Duration::ZERO)))
}

fn is_stream(response: &Response) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}
