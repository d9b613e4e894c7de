//! The handle to a server, and how a request becomes an answer.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use sambad_core::Cursor;
use sambad_core::limits::IDEMPOTENCY_KEY_CHARS_MAX;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{Answer, PageToken};
use crate::error::Error;
use crate::stream::{EventStream, EventStreamOptions};

/// How long to wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a complete answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer, at most: room for 1,000 events with the longest messages, escaped.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A handle to one server; clones share its connections.
///
/// Every method takes at most 5 s to connect and 30 s in all (a long poll: 30 s beyond its wait), reads at most
/// 32 MiB, follows no redirect and does not try again by itself.
///
/// # Cancel safety
/// Dropping the future of a read has no effect. Dropping that of a write leaves open whether it was stored; with an
/// idempotency key, sending it again is safe.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), sambad_client::Error> {
/// use sambad_client::{Client, NewUser};
///
/// let client = Client::new("http://127.0.0.1:4000")?;
/// let login = client.login(&NewUser::new("+919876543210")).await?;
/// println!("{} is {}", login.value.user.phone, login.value.user.id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    idempotency_key: Option<HeaderValue>,
}

/// A request to be made: everything but the address of the server.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    timeout: Duration,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None, timeout: ANSWER_TIMEOUT }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &str, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("request types have string keys only");
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    /// Adds a query parameter, if there is one.
    pub(crate) fn query(mut self, key: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (key, value.to_string())));
        self
    }

    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

impl Client {
    /// Makes a handle to the server at `base_url`, such as `http://127.0.0.1:4000`; a path before `/api` is kept.
    ///
    /// Does not connect yet.
    /// # Errors
    /// [`Error::InvalidUrl`] when it is no `http://` URL.
    pub fn new(base_url: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::InvalidUrl { url: base_url.into(), reason: reason.into() };
        let base =
            Url::parse(base_url).map_err(|error| invalid(&format!("{error}, expected for example http://127.0.0.1:4000")))?;
        match base.scheme() {
            "http" => {}
            "https" => {
                return Err(invalid(
                    "TLS is not built in: use http:// to the server, or a proxy on this machine that speaks TLS",
                ));
            }
            _ => return Err(invalid("expected http://HOST:PORT")),
        }
        if base.query().is_some() || base.fragment().is_some() || !base.username().is_empty() || base.password().is_some() {
            return Err(invalid("expected no user, query or fragment"));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .user_agent(concat!("sambad-client/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| invalid(&error.to_string()))?;
        Ok(Self { http, base, idempotency_key: None })
    }

    /// The server's address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A handle whose write carries `key`: a retry within 24 h gets the first answer and stores nothing again.
    ///
    /// One key belongs to one write; another write with the same key is refused as `idempotency_key_reused`.
    /// # Errors
    /// [`Error::InvalidIdempotencyKey`] unless it is 1 to 255 visible ASCII characters.
    pub fn with_idempotency_key(&self, key: &str) -> Result<Self, Error> {
        let valid = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        let value = HeaderValue::from_str(key).ok().filter(|_| valid).ok_or(Error::InvalidIdempotencyKey)?;
        Ok(Self { idempotency_key: Some(value), ..self.clone() })
    }

    /// Opens a stream of events; it connects when it is first read.
    #[must_use]
    pub fn stream(&self, options: EventStreamOptions) -> EventStream {
        EventStream::new(self.clone(), options)
    }

    /// Makes a request and reads the answer's content as a `T`.
    pub(crate) async fn call<T: for<'de> Deserialize<'de>>(&self, call: Call) -> Result<Answer<T>, Error> {
        let (status, headers, body) = self.exchange(call).await?;
        if !status.is_success() {
            return Err(refusal(status, &headers, &body));
        }
        self.answer(&headers, &body)
    }

    /// Makes a request whose answer may be content under any status.
    pub(crate) async fn exchange(&self, call: Call) -> Result<(StatusCode, HeaderMap, Vec<u8>), Error> {
        let timeout = call.timeout;
        let exchange = async {
            let response = self.request(call).timeout(timeout).send().await.map_err(|error| self.failure(error, timeout))?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, self.read(response, timeout).await?))
        };
        exchange.await
    }

    /// Reads an answer's content and headers.
    pub(crate) fn answer<T: for<'de> Deserialize<'de>>(&self, headers: &HeaderMap, body: &[u8]) -> Result<Answer<T>, Error> {
        let unreadable = |error: serde_json::Error| self.protocol(format!("unreadable JSON: {error}"));
        let json: Box<RawValue> = serde_json::from_slice(body).map_err(unreadable)?;
        let value = serde_json::from_str(json.get()).map_err(unreadable)?;
        let cursor: Option<Cursor> = match text(headers, "sambad-cursor") {
            Some(cursor) => Some(cursor.parse().map_err(|_| self.protocol(format!("Sambad-Cursor: {cursor:?}")))?),
            None => None,
        };
        Ok(Answer {
            value,
            cursor,
            seq: None,
            replayed: text(headers, "idempotent-replayed").is_some_and(|value| value == "true"),
            next: text(headers, "link").and_then(PageToken::from_link),
            request_id: text(headers, "x-request-id").map(Into::into),
            json,
        })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The request of a call; whoever sends it sets the time limit.
    pub(crate) fn request(&self, call: Call) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let keyed = self.idempotency_key.as_ref().filter(|_| call.method == Method::POST);
        let mut request = self.http.request(call.method, url);
        if let Some(key) = keyed {
            request = request.header("idempotency-key", key.clone());
        }
        if let Some(body) = call.body {
            request = request.header("content-type", "application/json").body(body);
        }
        request
    }

    pub(crate) async fn read(&self, mut response: Response, timeout: Duration) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(error, timeout))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.protocol(format!("longer than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(crate) fn failure(&self, error: reqwest::Error, timeout: Duration) -> Error {
        let url = self.url().to_owned();
        // The address alone is told; a full URL would put phone numbers into logs.
        let error = error.without_url();
        if error.is_connect() {
            Error::Connect { url, source: error.into() }
        } else if error.is_timeout() {
            Error::Timeout { url, after: timeout }
        } else {
            Error::Transport { url, source: error.into() }
        }
    }

    pub(crate) fn protocol(&self, what: String) -> Error {
        Error::Protocol { url: self.url().into(), what }
    }
}

/// A header's value, if it is there and is text.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Reads a refusal in the contract's form; a proxy's, which has another, keeps its status.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Body {
        error: String,
        code: String,
        request_id: Option<String>,
    }
    let retry_after = text(headers, "retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let header_id = text(headers, "x-request-id").map(Into::into);
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { error, code, request_id }) => {
            Error::Api { status: status.as_u16(), code, message: error, request_id: request_id.or(header_id), retry_after }
        }
        Err(_) => {
            let message = status.canonical_reason().unwrap_or("refused").to_lowercase();
            Error::Api { status: status.as_u16(), code: String::new(), message, request_id: header_id, retry_after }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: an address that cannot work is refused at once, with the reason. Method: a table.
    #[test]
    fn refuses_unusable_addresses() {
        for (url, reason) in [
            ("https://example.org", "TLS"),
            ("ws://localhost:4000", "expected http://"),
            ("localhost:4000", "expected http://"),
            ("", "expected for example"),
            ("http://user@localhost", "no user"),
            ("http://localhost?x=1", "query"),
        ] {
            let error = Client::new(url).unwrap_err();
            assert!(matches!(&error, Error::InvalidUrl { .. }) && error.to_string().contains(reason), "{url}: {error}");
        }
    }

    /// Goal: a path before the interface's own is kept. Method: addresses with and without, with and without a slash.
    #[test]
    fn keeps_a_path_prefix() {
        for (base, full) in [
            ("http://h:1", "http://h:1/api/health?q=a+b"),
            ("http://h:1/", "http://h:1/api/health?q=a+b"),
            ("http://h:1/sambad/", "http://h:1/sambad/api/health?q=a+b"),
        ] {
            let request = Client::new(base).unwrap().request(Call::get("/api/health").query("q", Some("a b")));
            assert_eq!(request.build().unwrap().url().as_str(), full);
        }
    }

    /// Goal: only visible ASCII is a key. Method: a table.
    #[test]
    fn refuses_bad_idempotency_keys() {
        let client = Client::new("http://localhost").unwrap();
        for bad in ["", "a b", "a\nb", "é", &"x".repeat(256)] {
            assert!(matches!(client.with_idempotency_key(bad), Err(Error::InvalidIdempotencyKey)), "{bad:?}");
        }
        assert!(client.with_idempotency_key(&"x".repeat(255)).is_ok());
    }

    /// Goal: refusals of the server and of a proxy in front of it are both told. Method: one of each.
    #[test]
    fn reads_refusals() {
        let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), HeaderValue::from_static("3"))]);
        let body = br#"{"error":"Too much","code":"overloaded","request_id":"r1"}"#;
        let error = refusal(StatusCode::SERVICE_UNAVAILABLE, &headers, body);
        assert_eq!(error.to_string(), "Too much (503 overloaded)");
        let Error::Api { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(3)));
        let error = refusal(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>");
        assert_eq!(error.to_string(), "bad gateway (502)");
    }
}
