//! HTTP byte by byte, for what no client library would send.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Answer, soon};

/// A connection on which the test writes what it likes.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        Self { stream: BufReader::new(stream) }
    }

    /// Writes `bytes`. That the server has hung up meanwhile is the business of whoever reads the answer.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon("room to write", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Reads one response whose body has a Content-Length.
    pub(crate) async fn answer(&mut self) -> Answer {
        soon("answer", self.read_answer()).await
    }

    /// Writes a request and reads its response.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.write(request).await;
        self.answer().await
    }

    /// Waits for the server to end the connection; gives the bytes that came before.
    pub(crate) async fn end(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = soon("end of the connection", self.stream.read_to_end(&mut rest)).await;
        rest
    }

    /// Waits for the first bytes that the server sends; nothing when it ends the connection instead.
    pub(crate) async fn end_or_answer(&mut self) -> Vec<u8> {
        soon("bytes, or the end of the connection", self.stream.fill_buf()).await.map(<[u8]>::to_vec).unwrap_or_default()
    }

    async fn read_answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("a response arrives before the connection ends"));
        }
        let head = String::from_utf8(head).expect("heads are ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header has a name");
            let name = HeaderName::try_from(name).expect("a header's name");
            headers.append(name, HeaderValue::try_from(value).expect("a header's value"));
        }
        let length = headers.get("content-length").and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).await.expect("the whole body arrives");
        assert!(headers.contains_key("x-request-id"), "no X-Request-Id in {head}");
        Answer { status: status.expect("a status line"), headers, text: String::from_utf8(body).expect("bodies are UTF-8") }
    }
}
