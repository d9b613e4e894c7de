//! A WebSocket through the real path, and why there is none.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use sambad_client::Duplex;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::clock::Clock;
use super::ending::{Ending, root_cause};
use super::finding::{Finding, Trouble, span};
use super::greeting::Greeting;
use super::target::Target;

const SUBJECT: &str = "WebSocket";
/// Bytes of a frame and of a message, at most; nothing that is expected here is longer than a line.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

const PASS_UPGRADES: &str = "\
a proxy must forward upgrades for /ws, over HTTP/1.1:
nginx    proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";
HAProxy  mode http forwards them, unless Upgrade or Connection is deleted (http-request del-header)
Caddy    reverse_proxy forwards them, unless header_up removes them
until then clients that use sambad-client fall back to the event stream automatically";
const REFUSED: &str = "\
a proxy or firewall on the path rejects it: allow WebSockets there (path /ws, firewall rules, a captive portal, a login)
until then clients that use sambad-client fall back to the event stream automatically";
const SERVER_REFUSED: &str = "\
the server itself rejects it: its log has the reason; limits on sessions are --sessions-max and the file descriptors
(`sambad-server check`)";
const HELD_BACK: &str = "\
a proxy or firewall on the path accepts the upgrade but forwards nothing after it: look for inspection or buffering there
until then clients that use sambad-client fall back to the event stream automatically";

/// An open WebSocket of which the server has told that it is connected.
#[derive(Debug)]
pub(super) struct Socket {
    ws: WebSocketStream<Box<dyn Duplex>>,
    pub(super) greeting: Greeting,
}

/// Opens one.
pub(super) async fn examine(target: &Target, clock: &mut Clock) -> (Finding, Option<Socket>) {
    match open(target).await {
        Ok((socket, via)) => {
            let greeting = socket.greeting;
            clock.compare(greeting);
            let by = via.as_ref().map(|via| format!(" through {via}")).unwrap_or_default();
            let detail = format!("upgraded and connected in {}{by}", span(greeting.took));
            (Finding::fine(SUBJECT, detail).time("connected_ms", greeting.took).fact("via", via), Some(socket))
        }
        Err(trouble) => (Finding::fault(SUBJECT, trouble), None),
    }
}

/// Connects, upgrades, and waits for the first frame, all within the target's limit. Also gives who says to be on the way.
pub(super) async fn open(target: &Target) -> Result<(Socket, Option<String>), Trouble> {
    let deadline = Instant::now() + target.limit;
    let late = || Trouble::new(format!("no connection within {}", span(target.limit)), "");
    let trouble = |error: sambad_client::Error| Trouble::new(format!("no connection: {error}"), "");
    let link = timeout_at(deadline, target.client.connect()).await.map_err(|_| late())?.map_err(trouble)?;
    let config = WebSocketConfig::default().max_frame_size(Some(FRAME_BYTES_MAX)).max_message_size(Some(FRAME_BYTES_MAX));
    let address = format!("ws{}", target.stream("/ws").as_str().trim_start_matches("http"));
    let mut request = address.into_client_request().map_err(|error| Trouble::new(root_cause(&error), ""))?;
    if let Some(token) = target.client.token().await.map_err(trouble)? {
        let value = HeaderValue::try_from(format!("Bearer {}", token.secret()));
        request.headers_mut().insert(AUTHORIZATION, value.expect("a token is visible ASCII"));
    }
    let begun = Instant::now();
    let upgrade = client_async_with_config(request, link, Some(config));
    let Ok(upgraded) = timeout_at(deadline, upgrade).await else {
        return Err(Trouble::new(format!("no response to the upgrade within {}", span(target.limit)), PASS_UPGRADES));
    };
    let (mut ws, response) = upgraded.map_err(|error| blocked(&error))?;
    let first = next(&mut ws, deadline).await;
    let greeting = match &first {
        Ok(Message::Text(text)) => Greeting::read(text, begun),
        _ => None,
    };
    match (greeting, first) {
        (Some(greeting), _) => Ok((Socket { ws, greeting }, via(response.headers()))),
        (None, Ok(message)) => {
            let detail = format!("upgraded, but the first frame is not from Sambad: {:.60}", message.to_string());
            Err(Trouble::new(detail, "another server responds at /ws: check where the proxy forwards that path"))
        }
        (None, Err(ending)) => Err(Trouble::new(format!("upgraded, but no first frame: {ending}"), HELD_BACK)),
    }
}

/// Why there was no upgrade.
fn blocked(error: &WsError) -> Trouble {
    match error {
        WsError::Http(response) => refused(response),
        WsError::Protocol(ProtocolError::MissingUpgradeWebSocketHeader | ProtocolError::MissingConnectionUpgradeHeader) => {
            let detail = "the response to the upgrade has lost its Upgrade or Connection header on the path";
            Trouble::new(detail, PASS_UPGRADES)
        }
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => {
            Trouble::new("the connection was cut without a response to the upgrade", PASS_UPGRADES)
        }
        error => Trouble::new(format!("the upgrade failed: {}", root_cause(error)), PASS_UPGRADES),
    }
}

/// What a plain answer to an upgrade means.
fn refused(response: &Response<Option<Vec<u8>>>) -> Trouble {
    let body = response.body().as_deref().unwrap_or_default();
    let code = code(body);
    let who = via(response.headers()).map(|via| format!(" from {via}")).unwrap_or_default();
    let status = response.status();
    match &*code {
        "upgrade_required" => {
            let detail = format!("the Upgrade and Connection headers did not reach the server: lost on the path ({status})");
            Trouble::new(detail, PASS_UPGRADES)
        }
        "" if status.is_client_error() => Trouble::new(format!("the response to the upgrade{who} is {status}"), REFUSED),
        "" => Trouble::new(format!("the response to the upgrade{who} is {status}"), PASS_UPGRADES),
        code => Trouble::new(format!("the server rejected it: {status}, {code}"), SERVER_REFUSED),
    }
}

/// The code of a refusal in the contract's form; empty when something else answered.
pub(super) fn code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["code"].as_str().unwrap_or_default().to_owned()
}

/// Who says to be on the way: the server itself sends neither header.
pub(super) fn via(headers: &HeaderMap) -> Option<String> {
    let named = ["via", "server"].iter().find_map(|name| headers.get(*name));
    named.and_then(|value| value.to_str().ok()).map(Into::into)
}

async fn next(ws: &mut WebSocketStream<Box<dyn Duplex>>, deadline: Instant) -> Result<Message, Ending> {
    let begun = Instant::now();
    match timeout_at(deadline, ws.next()).await {
        Err(_) => Err(Ending::Silent { after: begun.elapsed() }),
        Ok(Some(Ok(Message::Close(frame)))) => {
            let (code, reason) =
                frame.map_or((CloseCode::Status.into(), String::new()), |f| (f.code.into(), f.reason.to_string()));
            Err(Ending::Closed { code, reason })
        }
        Ok(Some(Ok(message))) => Ok(message),
        Ok(Some(Err(error))) => Err(Ending::of_socket(Some(&error))),
        Ok(None) => Err(Ending::of_socket(None)),
    }
}

impl Socket {
    /// The next frame, answering pings on the way.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Message, Ending> {
        next(&mut self.ws, deadline).await
    }

    /// Sends a frame, and waits for the one that answers it.
    pub(super) async fn round_trip(
        &mut self,
        frame: Message,
        answers: impl Fn(&Message) -> bool,
        limit: Duration,
    ) -> Result<Duration, Ending> {
        let begun = Instant::now();
        let deadline = begun + limit;
        match timeout_at(deadline, self.ws.send(frame)).await {
            Ok(sent) => sent.map_err(|error| Ending::of_socket(Some(&error)))?,
            Err(_) => return Err(Ending::Silent { after: limit }),
        }
        while !answers(&self.next(deadline).await.map_err(|ending| since(ending, begun))?) {}
        Ok(begun.elapsed())
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let exchange = async {
            if self.ws.send(Message::Close(Some(goodbye))).await.is_ok() {
                while let Some(Ok(_)) = self.ws.next().await {}
            }
        };
        // It was only a visit: a server that does not answer finds out by itself.
        let _ = timeout(CLOSE_TIMEOUT, exchange).await;
    }
}

/// Counts silence from the question on, not from the frame before that did not answer it.
fn since(ending: Ending, begun: Instant) -> Ending {
    if matches!(ending, Ending::Silent { .. }) { Ending::Silent { after: begun.elapsed() } } else { ending }
}
