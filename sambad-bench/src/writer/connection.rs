//! One HTTP connection: what a request in flight needs, and nothing that decides when.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::load::plan::Place;

/// How long to wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for an answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most: answers to writes are below 10 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// An open keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why there is no answer; the connection is of no use any more.
#[derive(Debug)]
pub(crate) enum PostError {
    /// The request never left.
    NotSent,
    /// No answer came in time.
    TimedOut,
    /// It may have been carried out.
    Unknown(String),
}

impl Connection {
    /// Connects to the server there.
    pub(crate) async fn open(place: &Place, authorization: Option<HeaderValue>) -> io::Result<Self> {
        let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(place.address)).await??;
        tcp.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(io::Error::other)?;
        // It ends with the sender; an error of it reaches the request in flight.
        tokio::task::spawn_local(async move { drop(connection.await) });
        let host = HeaderValue::from_str(&place.authority).map_err(io::Error::other)?;
        Ok(Self { sender, host, authorization })
    }

    /// Whether the server has not closed it meanwhile, as far as is known.
    pub(crate) fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a write, under an idempotency key if there is one, and waits for its answer.
    pub(crate) async fn post(
        &mut self,
        path: &'static str,
        body: Bytes,
        key: Option<HeaderValue>,
    ) -> Result<HttpAnswer, PostError> {
        let mut request = Request::post(path)
            .header(HOST, self.host.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))
            .expect("the parts are valid");
        request.headers_mut().extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        request.headers_mut().extend(key.map(|key| (HeaderName::from_static("idempotency-key"), key)));
        if self.sender.ready().await.is_err() {
            return Err(PostError::NotSent);
        }
        let exchange = async {
            let response =
                self.sender.send_request(request).await.map_err(|error| {
                    if error.is_canceled() { PostError::NotSent } else { PostError::Unknown(error.to_string()) }
                })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| PostError::Unknown(error.to_string()))?.to_bytes();
            Ok(HttpAnswer { status, body })
        };
        timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| PostError::TimedOut)?
    }
}
