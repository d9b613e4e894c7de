//! One WebSocket connection: dialling, reading, and noticing that it is dead.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use reqwest::{StatusCode, Url};
use sambad_core::{After, Filter};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::frame::Frame;
use super::machine::address;
use super::wire::End;
use crate::client::{Client, refusal};
use crate::error::Error;

/// Bytes of a frame and of a message, at most; the contract's longest event is below 32 KiB.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes read from the kernel at once. The library's 128 KiB would be most of what a reader of one stream needs.
const READ_BUFFER_BYTES: usize = 32 << 10;
/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open connection.
#[derive(Debug)]
pub(super) struct Socket {
    ws: WebSocketStream<TcpStream>,
    url: String,
    /// Silence that is borne.
    patience: Duration,
    deadline: Instant,
    /// Whether the first frame has come.
    greeted: bool,
}

impl Socket {
    /// Connects and upgrades; the server's first frame must follow within what is left of `limit`.
    pub(super) async fn dial(client: &Client, after: Option<After>, filter: Filter, limit: Duration) -> Result<Self, End> {
        let deadline = Instant::now() + limit;
        let url = address(client.base(), after, filter);
        let origin = format!("{}://{}", url.scheme(), url.authority());
        let late = || Error::Timeout { url: origin.clone(), after: limit };
        let tcp = timeout_at(deadline, connect(&url, &origin)).await.map_err(|_| End::Failed(late()))?.map_err(End::Failed)?;
        let ws = timeout_at(deadline, Self::upgrade(tcp, &url, &origin)).await.map_err(|_| End::Blocked(late()))??;
        Ok(Self { ws, url: origin, patience: limit, deadline, greeted: false })
    }

    async fn upgrade(tcp: TcpStream, url: &Url, origin: &str) -> Result<WebSocketStream<TcpStream>, End> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_frame_size(Some(FRAME_BYTES_MAX))
            .max_message_size(Some(FRAME_BYTES_MAX));
        let address = format!("ws{}", url.as_str().trim_start_matches("http"));
        let upgraded = client_async_with_config(address, tcp, Some(config)).await;
        upgraded.map(|(ws, _)| ws).map_err(|error| End::refused(failure(error, origin)))
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
            let Ok(message) = timeout_at(self.deadline, self.ws.next()).await else {
                let late = Error::Timeout { url: self.url.clone(), after: self.patience };
                return Err(End::new(self.greeted, if self.greeted { Error::Silent { after: self.patience } } else { late }));
            };
            self.heard();
            match message {
                Some(Ok(Message::Text(text))) => {
                    return Frame::parse(&text).map_err(|error| self.broken(format!("frame that is no event: {error}")));
                }
                Some(Ok(Message::Close(frame))) => {
                    // One more poll writes the answer to the close frame; there is nothing left to wait for.
                    let _ = self.ws.next().now_or_never();
                    let (code, reason) =
                        frame.map_or((CloseCode::Status.into(), String::new()), |f| (f.code.into(), f.reason.to_string()));
                    return Err(End::Closed { code, reason });
                }
                Some(Ok(Message::Binary(_))) => return Err(self.broken("binary frame".into())),
                // Pings are answered by the library with the next poll, which follows at once.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(End::new(self.greeted, failure(error, &self.url))),
                None => {
                    let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into();
                    return Err(End::new(self.greeted, Error::Transport { url: self.url.clone(), source }));
                }
            }
        }
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

async fn connect(url: &Url, origin: &str) -> Result<TcpStream, Error> {
    let unreachable = |error: std::io::Error| Error::Connect { url: origin.into(), source: error.into() };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, url.port_or_known_default().unwrap_or(80))).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    Ok(tcp)
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
        other => Error::Transport { url: url.into(), source: other.into() },
    }
}

fn not_upgraded(status: StatusCode, url: &str) -> Error {
    Error::Protocol { url: url.into(), what: format!("status {status} instead of a WebSocket") }
}
