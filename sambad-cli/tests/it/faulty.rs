//! A WebSocket server that says exactly what a test tells it to.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::harness::SOON;

pub(crate) struct Faulty {
    listener: TcpListener,
    pub(crate) url: String,
}

pub(crate) struct Peer(WebSocketStream<TcpStream>);

impl Faulty {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Accepts a connection that begins after `cursor`.
    pub(crate) async fn accept(&self, cursor: &str) -> Peer {
        let (tcp, _) = tokio::time::timeout(SOON, self.listener.accept()).await.expect("the program dials").unwrap();
        let mut peer = Peer(accept_async(tcp).await.unwrap());
        let data = format!(r#"{{"session":"s","cursor":"{cursor}","head":9,"first":1,"heartbeat_s":25}}"#);
        peer.send(&format!(r#"{{"type":"connected","data":{data},"timestamp":"2025-01-15T12:00:00Z"}}"#)).await;
        peer
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn event(&mut self, seq: u64) {
        self.send(&format!(
            r#"{{"type":"user_created","data":{{"username":"+91"}},"timestamp":"2025-01-15T12:00:00Z","seq":{seq}}}"#
        ))
        .await;
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.0.send(Message::Close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = self.0.next().await {}
    }
}
