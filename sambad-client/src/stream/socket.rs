//! One WebSocket connection: dialling, reading, and noticing that it is dead.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use reqwest::header::AUTHORIZATION;
use reqwest::{StatusCode, Url};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::frame::Frame;
use super::machine::address;
use super::wire::{End, Target};
use crate::call::refusal;
use crate::error::Error;
use crate::tls::Duplex;
use crate::token::Token;

/// Bytes of a frame and of a message, at most; the contract's longest event is below 32 KiB.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes read from the kernel at once. The library's 128 KiB would be most of what a reader of one stream needs.
const READ_BUFFER_BYTES: usize = 32 << 10;
/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open connection.
#[derive(Debug)]
pub(super) struct Socket {
    ws: WebSocketStream<Box<dyn Duplex>>,
    url: String,
    /// Silence that is borne.
    patience: Duration,
    deadline: Instant,
    /// Whether the first frame has come.
    greeted: bool,
    /// What is to be said, and then handed to the kernel.
    outbox: Option<Message>,
    unflushed: bool,
}

impl Socket {
    /// Connects and upgrades; the server's first frame must follow within what is left of the limit.
    pub(super) async fn dial(target: &Target, token: Option<&Token>) -> Result<Self, End> {
        let Target { client, after, filter, limit, .. } = target;
        let deadline = Instant::now() + *limit;
        let url = address(client.base(), *after, *filter);
        let origin = format!("{}://{}", url.scheme(), url.authority());
        let late = || Error::Timeout { url: origin.clone(), after: *limit };
        let link = timeout_at(deadline, client.connect()).await.map_err(|_| End::Failed(late()))?.map_err(End::Failed)?;
        let upgrade = Self::upgrade(link, &url, &origin, token);
        let ws = timeout_at(deadline, upgrade).await.map_err(|_| End::Blocked(late()))??;
        Ok(Self { ws, url: origin, patience: *limit, deadline, greeted: false, outbox: None, unflushed: false })
    }

    async fn upgrade(
        link: Box<dyn Duplex>,
        url: &Url,
        origin: &str,
        token: Option<&Token>,
    ) -> Result<WebSocketStream<Box<dyn Duplex>>, End> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_frame_size(Some(FRAME_BYTES_MAX))
            .max_message_size(Some(FRAME_BYTES_MAX));
        let address = format!("ws{}", url.as_str().trim_start_matches("http"));
        let mut request = address.into_client_request().map_err(|error| End::refused(failure(error, origin)))?;
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, token.authorization());
        }
        let upgraded = client_async_with_config(request, link, Some(config)).await;
        upgraded.map(|(ws, _)| ws).map_err(|error| End::refused(failure(error, origin)))
    }

    /// Tells the server by which token to go on, with the next read.
    pub(super) fn authenticate(&mut self, token: &Token) {
        let frame = serde_json::json!({ "type": "auth", "token": token });
        self.outbox = Some(Message::text(frame.to_string()));
    }

    /// Takes note of the first frame, and sets how long silence is borne from now on.
    pub(super) fn expect_heartbeat(&mut self, patience: Duration) {
        (self.greeted, self.patience) = (true, patience);
        self.heard();
    }

    /// The next frame. Cancel safe: only the socket's own buffers hold what has arrived.
    pub(super) async fn read(&mut self) -> Result<Frame, End> {
        // A reader who was away past the deadline meets no false death: the runtime looks at its sockets before it fires
        // timers, and a frame that waits is taken first.
        loop {
            self.say().await.map_err(|error| End::new(self.greeted, failure(error, &self.url)))?;
            let Ok(message) = timeout_at(self.deadline, self.ws.next()).await else {
                let late = Error::Timeout { url: self.url.clone(), after: self.patience };
                return Err(End::new(self.greeted, if self.greeted { Error::Silent { after: self.patience } } else { late }));
            };
            self.heard();
            match message {
                Some(Ok(Message::Text(text))) => {
                    return Frame::parse(&text).map_err(|error| self.broken(format!("a frame is not an event: {error}")));
                }
                Some(Ok(Message::Close(frame))) => {
                    // One more poll writes the answer to the close frame; there is nothing left to wait for.
                    let _ = self.ws.next().now_or_never();
                    let (code, reason) =
                        frame.map_or((CloseCode::Status.into(), String::new()), |f| (f.code.into(), f.reason.to_string()));
                    return Err(End::Closed { code, reason });
                }
                Some(Ok(Message::Binary(_))) => return Err(self.broken("a frame is binary".into())),
                // Pings are answered by the library with the next poll, which follows at once.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(End::new(self.greeted, failure(error, &self.url))),
                None => {
                    let source = Arc::new(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                    return Err(End::new(self.greeted, Error::Transport { url: self.url.clone(), source }));
                }
            }
        }
    }

    /// Sends what is to be said. Cancel safe: it is taken in one go, and flushed with this call or a later one.
    async fn say(&mut self) -> Result<(), WsError> {
        if let Some(message) = self.outbox.take() {
            // Into the library's buffer, which has room: nothing else is said but pongs.
            self.ws.feed(message).now_or_never().unwrap_or(Ok(()))?;
            self.unflushed = true;
        }
        if self.unflushed {
            // A socket that takes nothing is found out by the silence that follows.
            let _ = timeout_at(self.deadline, self.ws.flush()).await;
            self.unflushed = false;
        }
        Ok(())
    }

    pub(super) async fn close(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let exchange = async {
            if self.ws.send(Message::Close(Some(goodbye))).await.is_ok() {
                while let Some(Ok(_)) = self.ws.next().await {}
            }
        };
        // The reader is going either way; a server that does not answer finds out by itself.
        let _ = timeout(CLOSE_TIMEOUT, exchange).await;
    }

    fn broken(&self, what: String) -> End {
        End::new(self.greeted, Error::Protocol { url: self.url.clone(), what })
    }

    fn heard(&mut self) {
        self.deadline = Instant::now() + self.patience;
    }
}

/// What a failure of the WebSocket library means here.
fn failure(error: WsError, url: &str) -> Error {
    match error {
        WsError::Http(response) => {
            let (parts, body) = response.into_parts();
            if parts.status.is_client_error() || parts.status.is_server_error() {
                refusal(parts.status, &parts.headers, &body.unwrap_or_default())
            } else {
                not_upgraded(parts.status, url)
            }
        }
        // It would come again: the server goes on from the cursor before the frame that is too long.
        WsError::Capacity(error) => Error::Protocol { url: url.into(), what: error.to_string() },
        other => Error::Transport { url: url.into(), source: Arc::new(other) },
    }
}

fn not_upgraded(status: StatusCode, url: &str) -> Error {
    Error::Protocol { url: url.into(), what: format!("the response is status {status}, not a WebSocket") }
}
