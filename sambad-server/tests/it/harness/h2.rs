//! A client of HTTP/2 by hand, for what no client does.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::soon;
use super::tls::Certificate;

/// Kinds of frames. Source: RFC 9113, 6.
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const ACK: u8 = 1;
/// The head is whole, and there is no body.
const END_HEADERS_AND_STREAM: u8 = 5;
/// Reasons. Source: RFC 9113, 7.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: u32 = 8;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection whose client decides what it answers.
#[derive(Debug)]
pub(crate) struct RawH2(TlsStream<TcpStream>);

/// One frame.
#[derive(Debug)]
pub(crate) struct RawFrame {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

impl RawH2 {
    /// Begins a connection over `stream`, of which each stream lets `window` bytes through.
    pub(crate) async fn begin(stream: TcpStream, certificate: &Certificate, window: u32) -> Self {
        let stream = certificate.over(stream, "h2").await.expect("the certificate is the server's");
        let mut raw = Self(stream);
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let window = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        raw.send(SETTINGS, 0, 0, &window).await;
        raw
    }

    /// As `begin`, to a server.
    pub(crate) async fn connect(address: SocketAddr, certificate: &Certificate, window: u32) -> Self {
        Self::begin(TcpStream::connect(address).await.expect("the server accepts"), certificate, window).await
    }

    /// Asks for `path` on a stream, whose number is odd and higher than those before.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) {
        self.write(&request(stream, path)).await;
    }

    /// Asks for `path` on many streams and lets go of each at once.
    pub(crate) async fn get_and_reset(&mut self, streams: impl Iterator<Item = u32>, path: &str) {
        let pair = |stream| [request(stream, path), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat();
        self.write(&streams.flat_map(pair).collect::<Vec<u8>>()).await;
    }

    /// The next frame, or nothing at the end of the connection. Settings and pings are answered.
    pub(crate) async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload).await,
                _ => return Some(RawFrame { kind, payload }),
            }
        }
    }

    /// Writes one frame: its kind, its flags, its stream.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await;
    }

    /// Writes as long as the server reads: that it has hung up is seen by reading.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = soon("room to write", async { self.0.write_all(bytes).await.and(self.0.flush().await) }).await;
    }
}

/// A head without a body.
fn request(stream: u32, path: &str) -> Vec<u8> {
    // Method and scheme from HPACK's table, path and authority literally. Source: RFC 7541, 6 and appendix A.
    let mut head = vec![0x82, 0x87];
    for (name, value) in [(0x04, path), (0x01, "localhost")] {
        head.extend([name, u8::try_from(value.len()).expect("texts are short")]);
        head.extend(value.as_bytes());
    }
    frame(HEADERS, END_HEADERS_AND_STREAM, stream, &head)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
