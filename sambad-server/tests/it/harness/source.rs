//! The other end of `/api/events/stream`, byte by byte: what is compared is what was on the wire.

use std::net::SocketAddr;

use http::HeaderMap;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::soon;

/// An open event stream.
#[derive(Debug)]
pub(crate) struct EventSource {
    stream: BufReader<TcpStream>,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// What arrived and was not taken yet.
    text: String,
}

impl EventSource {
    /// Asks for `/api/events/stream?query` and reads the head of the answer.
    pub(crate) async fn open(address: SocketAddr, query: &str) -> Self {
        Self::open_with(address, query, &[]).await
    }

    pub(crate) async fn open_with(address: SocketAddr, query: &str, headers: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        Self::over(stream, query, headers).await
    }

    /// As `open`, with a receive buffer so small that a server soon cannot write to a client that does not read.
    pub(crate) async fn with_small_buffer(address: SocketAddr, query: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.set_recv_buffer_size(4096).expect("a receive buffer can be small");
        let stream = socket.connect(address).await.expect("the server accepts");
        Self::over(stream, query, &[]).await
    }

    /// As `open_with`, over a connection that is there.
    pub(crate) async fn over(stream: TcpStream, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = BufReader::new(stream);
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET /api/events/stream?{query} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            soon("head", stream.read_line(&mut line)).await.expect("heads are ASCII");
            if line.trim().is_empty() {
                break;
            }
            lines.push(line);
        }
        let status = lines[0].split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let headers = lines[1..].iter().filter_map(|line| line.trim_end().split_once(": "));
        let headers = headers.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
        Self { stream, status, headers, text: String::new() }
    }

    /// The next message with the blank line that ends it; `None` when the body has ended as it should, or, cut, with the
    /// connection.
    pub(crate) async fn message(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                return Some(std::mem::replace(&mut self.text, rest));
            }
            soon("message", self.chunk()).await?;
        }
    }

    /// Passes over `n` messages.
    pub(crate) async fn skip(&mut self, n: usize) {
        for _ in 0..n {
            self.message().await.expect("the stream is open");
        }
    }

    /// Checks that `next` is the next message.
    pub(crate) async fn expect(&mut self, next: &str) {
        assert_eq!(self.message().await.as_deref().map(super::masked).as_deref(), Some(next));
    }

    /// The next message, which is an event: its seq, which its id and its data agree on.
    pub(crate) async fn seq(&mut self) -> u64 {
        let message = self.message().await.expect("the stream is open");
        seq(&message).unwrap_or_else(|| panic!("expected an event, not {message}"))
    }

    /// The next `n` messages, which are events: their seqs.
    pub(crate) async fn seqs(&mut self, n: usize) -> Vec<u64> {
        let mut seqs = Vec::with_capacity(n);
        while seqs.len() < n {
            seqs.push(self.seq().await);
        }
        seqs
    }

    /// Whether the body ended with its last chunk, as opposed to a cut.
    pub(crate) async fn ended_well(mut self) -> bool {
        let mut rest = Vec::new();
        let read = soon("end of the connection", self.stream.read_to_end(&mut rest)).await;
        // The line after the last chunk, of size 0, which `message` has read.
        read.is_ok() && rest == b"\r\n" && self.text.is_empty()
    }

    /// Reads one chunk of the body; `None` after the last.
    async fn chunk(&mut self) -> Option<()> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok().filter(|size| *size > 0)?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        self.text.push_str(&String::from_utf8(chunk).expect("messages are UTF-8 and never parted"));
        Some(())
    }
}

/// The seq of an event's message.
pub(crate) fn seq(message: &str) -> Option<u64> {
    let (_, seq) = message.lines().next()?.strip_prefix("id: ")?.split_once('-')?;
    message.ends_with(&format!(",\"seq\":{seq}}}\n\n")).then(|| seq.parse().ok())?
}
