//! The other end of `/ws`: a client without mercy for gaps.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Api, soon};

/// An open `/ws`.
#[derive(Debug)]
pub(crate) struct Dashboard {
    socket: WebSocketStream<TcpStream>,
    /// The first frame, as text.
    pub(crate) connected: String,
}

/// How the server ended a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this code and reason.
    Closed(u16, String),
    /// Without a word.
    Gone,
}

impl Dashboard {
    /// Connects to `/ws?query` and reads the `connected` frame.
    pub(crate) async fn connect(address: SocketAddr, query: &str) -> Self {
        Self::try_connect(address, query).await.expect("the server upgrades")
    }

    pub(crate) async fn try_connect(address: SocketAddr, query: &str) -> tungstenite::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        Self::over(stream, query).await
    }

    /// Connects with a receive buffer so small that a server soon cannot write to a client that does not read.
    pub(crate) async fn with_small_buffer(address: SocketAddr, query: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.set_recv_buffer_size(4096).expect("a receive buffer can be small");
        let stream = socket.connect(address).await.expect("the server accepts");
        Self::over(stream, query).await.expect("the server upgrades")
    }

    /// As `try_connect`, over a connection that is there.
    pub(crate) async fn over(stream: TcpStream, query: &str) -> tungstenite::Result<Self> {
        let address = stream.peer_addr()?;
        let (socket, _) = soon("upgrade", client_async(format!("ws://{address}/ws?{query}"), stream)).await?;
        let mut dashboard = Self { socket, connected: String::new() };
        dashboard.connected = dashboard.text().await.expect("a session begins with a frame");
        assert!(dashboard.connected.starts_with(r#"{"type":"connected","#), "{}", dashboard.connected);
        Ok(dashboard)
    }

    /// The text of the next frame, or how the session ended.
    pub(crate) async fn text(&mut self) -> Result<String, Ended> {
        soon("frame", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(frame))) => {
                        // Answers it, as any client does, and waits for the server to end the connection.
                        let _ = self.socket.next().await;
                        let ended = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                        return Err(ended.map_or(Ended::Gone, |(code, reason)| Ended::Closed(code, reason)));
                    }
                    Some(Ok(other)) => panic!("the server sent {other:?}"),
                    Some(Err(_)) | None => return Err(Ended::Gone),
                }
            }
        })
        .await
    }

    /// The next frame as JSON.
    pub(crate) async fn frame(&mut self) -> Value {
        let text = self.text().await.expect("the session is open");
        serde_json::from_str(&text).expect("frames are JSON")
    }

    /// The next frame, which is an event: its seq.
    pub(crate) async fn seq(&mut self) -> u64 {
        let frame = self.frame().await;
        frame["seq"].as_u64().unwrap_or_else(|| panic!("expected an event, not {frame}"))
    }

    /// The next `n` frames, which are events: their seqs.
    pub(crate) async fn seqs(&mut self, n: usize) -> Vec<u64> {
        let mut seqs = Vec::with_capacity(n);
        while seqs.len() < n {
            seqs.push(self.seq().await);
        }
        seqs
    }

    /// The next `n` events' seqs; that a replay has caught up may be said between them.
    pub(crate) async fn seqs_past_live(&mut self, n: usize) -> Vec<u64> {
        let mut seqs = Vec::with_capacity(n);
        while seqs.len() < n {
            let frame = self.frame().await;
            assert!(frame["seq"].is_u64() || frame["type"] == "live", "{frame}");
            seqs.extend(frame["seq"].as_u64());
        }
        seqs
    }

    /// Checks that the next frame is a control frame of type `kind`.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!((frame["type"].as_str(), frame["seq"].as_u64()), (Some(kind), None), "{frame}");
        frame
    }

    /// Checks that nothing is under way but what comes now: the next event is one that this causes.
    pub(crate) async fn nothing_more(&mut self, api: &Api) {
        let phone = format!("+91{}", fastrand::u64(6_000_000_000..10_000_000_000));
        let probe = api.post("/api/users/login", serde_json::json!({ "phone": phone })).await;
        assert_eq!(Some(self.seq().await), probe.seq());
    }

    /// Waits for `n` protocol pings, between which nothing else comes.
    pub(crate) async fn pings(&mut self, n: usize) {
        for _ in 0..n {
            let message = soon("ping", self.socket.next()).await;
            assert!(matches!(message, Some(Ok(Message::Ping(_)))), "{message:?}");
        }
    }

    /// Waits for a protocol pong, before which nothing else comes.
    pub(crate) async fn pong(&mut self) {
        let message = soon("pong", self.socket.next()).await;
        assert!(matches!(message, Some(Ok(Message::Pong(_)))), "{message:?}");
    }

    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        // A server that has hung up is noticed by whoever reads.
        let _ = soon("room to send", self.socket.send(message.into())).await;
    }

    /// Reads to the end, which must come after control frames alone.
    pub(crate) async fn ended(&mut self) -> Ended {
        loop {
            match self.text().await {
                Ok(text) => assert!(!text.contains("\"seq\":"), "an event on the way out: {text}"),
                Err(ended) => return ended,
            }
        }
    }

    /// Says goodbye with `code`, and hears the answer.
    pub(crate) async fn close(mut self, code: u16) -> Ended {
        let reason = "bye".into();
        self.send(Message::Close(Some(CloseFrame { code: code.into(), reason }))).await;
        self.ended().await
    }

    /// The connection beneath, for frames that no client library would send.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }
}
