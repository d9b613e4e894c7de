//! A WebSocket server that does exactly what a test says, on a real loopback socket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sambad_client::{Client, EventStream, EventStreamOptions, Item, State, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Bounds every wait: a test that would hang fails instead.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    listener: TcpListener,
    client: Client,
}

/// One accepted connection.
pub(crate) struct Peer {
    ws: WebSocketStream<TcpStream>,
    /// The query that the client asked with.
    pub(crate) query: String,
}

/// Short delays, so that tests are quick; silence is borne for the server's heartbeat and 200 ms.
pub(crate) fn quick() -> EventStreamOptions {
    EventStreamOptions {
        backoff_initial: Duration::from_millis(5),
        backoff_cap: Duration::from_millis(20),
        grace: Duration::from_millis(200),
        ..EventStreamOptions::default()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        Self { listener, client }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn accept_tcp(&self) -> TcpStream {
        tokio::time::timeout(SOON, self.listener.accept()).await.expect("the client dials").unwrap().0
    }

    /// Accepts a connection and upgrades it.
    pub(crate) async fn accept(&self) -> Peer {
        let tcp = self.accept_tcp().await;
        let mut query = String::new();
        #[expect(clippy::result_large_err, reason = "the library's own signature")]
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            query = request.uri().query().unwrap_or_default().into();
            Ok(response)
        };
        let ws = accept_hdr_async(tcp, note).await.unwrap();
        Peer { ws, query }
    }

    /// Answers one request with these bytes; gives the request's first line.
    pub(crate) async fn answer_raw(&self, answer: &str) -> String {
        let mut tcp = self.accept_tcp().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tcp.read_u8().await.unwrap());
        }
        tcp.write_all(answer.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
        String::from_utf8(request).unwrap().lines().next().unwrap().into()
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.ws.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn connected(&mut self, cursor: &str) {
        let data = format!(r#"{{"session":"s","cursor":"{cursor}","head":9,"first":1,"heartbeat_s":0}}"#);
        self.send(format!(r#"{{"type":"connected","message":"WebSocket connected successfully","data":{data},"timestamp":"2025-01-15T12:00:00Z"}}"#)).await;
    }

    pub(crate) async fn event(&mut self, seq: u64) {
        self.send(format!(r#"{{"type":"contact_added","data":{{}},"timestamp":"2025-01-15T12:00:00Z","seq":{seq}}}"#)).await;
    }

    pub(crate) async fn ping(&mut self) {
        self.ws.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        self.ws.send(message).await.unwrap();
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.ws.send(Message::Close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = self.ws.next().await {}
    }

    /// The next message from the client; `None` when it is gone.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        tokio::time::timeout(SOON, self.ws.next()).await.expect("the client says something").and_then(Result::ok)
    }
}

/// How a transport is told where it is not the usual one.
fn by(transport: Transport) -> String {
    if transport == Transport::WebSocket { String::new() } else { format!(" by {transport}") }
}

/// The next item, as one line.
pub(crate) async fn told(stream: &mut EventStream) -> String {
    match tokio::time::timeout(SOON, stream.next()).await.expect("the stream has something to tell") {
        None => "end".into(),
        Some(Err(error)) => format!("error: {error}"),
        Some(Ok(Item::Event(event))) => format!("event {}", event.seq),
        Some(Ok(Item::Resync(resync))) => format!("resync {} {}", resync.reason.as_str(), resync.cursor),
        Some(Ok(Item::State(state))) => match state {
            State::Connecting { transport, .. } => format!("connecting{}", by(transport)),
            State::Replaying { cursor, transport, .. } => format!("replaying {cursor}{}", by(transport)),
            State::Live { cursor, transport } => format!("live {cursor}{}", by(transport)),
            State::Reconnecting { why, .. } => format!("reconnecting: {why}"),
            other => format!("{other:?}").to_lowercase(),
        },
        Some(Ok(other)) => format!("{other:?}"),
    }
}

/// Reads as many items as are expected, and compares.
pub(crate) async fn expect(stream: &mut EventStream, lines: &[&str]) {
    for line in lines {
        assert_eq!(told(stream).await, *line);
    }
}
