//! The handle to a server, and how a request becomes an answer.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use sambad_core::Cursor;
use sambad_core::limits::IDEMPOTENCY_KEY_CHARS_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_rustls::rustls::ClientConfig;

use crate::answer::{Answer, PageToken};
use crate::call::{Call, refusal, text};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::rest::access::UserTokens;
use crate::stream::{EventStream, EventStreamOptions};
use crate::tls::{self, Duplex};
use crate::token::Token;

/// How long to wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer, at most: room for 1,000 events with the longest messages, escaped.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A handle to one server; clones share its connections.
///
/// Every method takes at most 5 s to connect and 30 s in all (a long poll: 30 s beyond its wait), reads at most
/// 32 MiB, follows no redirect and does not try again by itself, but for one case: a request that was refused for its token
/// is made once more with a new one, if there is one to be had.
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
    /// Of an `https://` server.
    tls: Option<Arc<ClientConfig>>,
    credentials: Option<Arc<Credentials>>,
    idempotency_key: Option<HeaderValue>,
}

impl Client {
    /// Makes a handle to the server at `base_url`, such as `http://127.0.0.1:4000`; a path before `/api` is kept.
    ///
    /// Does not connect yet. The certificate of an `https://` server must be vouched for by somebody whom the system trusts.
    /// # Errors
    /// [`Error::InvalidUrl`] when it is no `http://` or `https://` URL, [`Error::Certificates`] when the system trusts nobody.
    pub fn new(base_url: &str) -> Result<Self, Error> {
        Self::build(base_url, Vec::new())
    }

    /// As [`new`](Self::new), and trusts the certificates in `pem` as well.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Certificates`] when there is none in `pem`, or one that cannot be read.
    pub fn trusting(base_url: &str, pem: &[u8]) -> Result<Self, Error> {
        Self::build(base_url, tls::certificates(pem).map_err(|reason| Error::Certificates { reason })?)
    }

    fn build(base_url: &str, extra: Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>) -> Result<Self, Error> {
        let base = server_url(base_url)?;
        let tls = match base.scheme() {
            "https" => Some(tls::config(extra).map_err(|reason| Error::Certificates { reason })?),
            _ => None,
        };
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .user_agent(concat!("sambad-client/", env!("CARGO_PKG_VERSION")));
        if let Some(config) = &tls {
            builder = builder.tls_backend_preconfigured(ClientConfig::clone(config));
        }
        let http = builder.build().map_err(|error| Error::InvalidUrl { url: base_url.into(), reason: error.to_string() })?;
        Ok(Self { http, base, tls, credentials: None, idempotency_key: None })
    }

    /// Looks whether [`new`](Self::new) can do something with an address.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] when it cannot.
    pub fn check_url(base_url: &str) -> Result<(), Error> {
        server_url(base_url).map(drop)
    }

    /// A handle that asks with `token` for as long as that is good.
    #[must_use]
    pub fn with_token(&self, token: Token) -> Self {
        self.with_credentials(Credentials::fixed(token))
    }

    /// A handle that asks with a user's token, and renews it: ahead of its end, and once after it was refused.
    ///
    /// However many requests and streams wait, the pair is renewed once; each new pair is handed to `keep` before anybody asks
    /// with it, so that it can be stored. A pair that is not stored is lost with the process, and the old one soon ends the login.
    #[must_use]
    pub fn with_refresh_token(&self, tokens: UserTokens, keep: impl Fn(&UserTokens) + Send + Sync + 'static) -> Self {
        let client = self.without_token();
        let latest = Arc::new((Mutex::new(tokens.refresh_token), keep));
        self.with_credentials(Credentials::from_source(Some(tokens.token), move |_| {
            let (client, latest) = (client.clone(), Arc::clone(&latest));
            async move {
                let (refresh_token, keep) = &*latest;
                let old = refresh_token.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let tokens = client.refresh(&old).await?.value;
                *refresh_token.lock().unwrap_or_else(PoisonError::into_inner) = tokens.refresh_token.clone();
                keep(&tokens);
                Ok(tokens.token)
            }
        }))
    }

    /// A handle whose tokens come from `source`, which is asked for another ahead of each one's end, and when one was refused;
    /// it is told the token that is no longer good. Without a `first` one it is asked for that as well.
    ///
    /// However many requests and streams wait, it is asked once; it runs to its end also when nobody waits any more. After an
    /// error that is not [transient](Error::is_transient) it is left in peace for 10 s.
    #[must_use]
    pub fn with_token_source<F>(&self, first: Option<Token>, source: impl Fn(Option<Token>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Token, Error>> + Send + 'static,
    {
        self.with_credentials(Credentials::from_source(first, source))
    }

    fn with_credentials(&self, credentials: Credentials) -> Self {
        Self { credentials: Some(Arc::new(credentials)), ..self.clone() }
    }

    /// A handle that asks as nobody in particular.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self { credentials: None, ..self.clone() }
    }

    /// The token that requests are made with now, renewed if that is due; `None` for a handle without one.
    ///
    /// # Errors
    /// What the source of tokens fails with.
    pub async fn token(&self) -> Result<Option<Token>, Error> {
        match &self.credentials {
            Some(credentials) => credentials.token().await.map(Some),
            None => Ok(None),
        }
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

    /// Opens a connection to the server, with TLS if its address says so: for those who speak to it themselves.
    ///
    /// # Errors
    /// [`Error::Connect`]. There is no time limit.
    pub async fn connect(&self) -> Result<Box<dyn Duplex>, Error> {
        let connected = tls::connect(&self.base, self.tls.as_ref()).await;
        connected.map_err(|error| Error::Connect { url: self.url().into(), source: Arc::new(error) })
    }

    /// A request to the server at `path`, with the handle's token if it has one: for those who read the answer themselves.
    ///
    /// # Errors
    /// What the source of tokens fails with.
    pub async fn get(&self, path: &str) -> Result<reqwest::RequestBuilder, Error> {
        Ok(self.request(Call::get(path), self.token().await?.as_ref()))
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

    /// Makes a request whose answer may be content under any status; once more, if it was refused for a token that can be
    /// renewed.
    pub(crate) async fn exchange(&self, call: Call) -> Result<(StatusCode, HeaderMap, Vec<u8>), Error> {
        let token = if call.anonymous { None } else { self.token().await? };
        let answer = self.once(call.clone(), token.as_ref()).await?;
        match token {
            Some(refused) if answer.0 == StatusCode::UNAUTHORIZED && self.can_renew() => {
                let fresh = self.renew(Some(&refused)).await?;
                self.once(call, Some(&fresh)).await
            }
            _ => Ok(answer),
        }
    }

    pub(crate) async fn once(&self, call: Call, token: Option<&Token>) -> Result<(StatusCode, HeaderMap, Vec<u8>), Error> {
        let timeout = call.timeout;
        let sent = self.request(call, token).timeout(timeout).send().await;
        let response = sent.map_err(|error| self.failure(error, timeout))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, headers, self.read(response, timeout).await?))
    }

    /// The token to ask with, if there is one without asking for it.
    pub(crate) fn token_at_hand(&self) -> Option<Token> {
        self.credentials.as_ref().and_then(|credentials| credentials.at_hand())
    }

    /// Whether there is another token to be had than the one at hand.
    pub(crate) fn can_renew(&self) -> bool {
        self.credentials.as_ref().is_some_and(|credentials| credentials.can_renew())
    }

    /// When whoever uses `token` is to change to another.
    pub(crate) fn renewal_due(&self, token: &Token) -> tokio::time::Instant {
        self.credentials.as_ref().map_or_else(tokio::time::Instant::now, |credentials| credentials.due(token))
    }

    /// Another token than `old`.
    pub(crate) async fn renew(&self, old: Option<&Token>) -> Result<Token, Error> {
        match &self.credentials {
            Some(credentials) => credentials.renew(old).await,
            None => Err(Error::NoToken { reason: "none was given".into() }),
        }
    }

    /// Reads an answer's content and headers.
    pub(crate) fn answer<T: for<'de> Deserialize<'de>>(&self, headers: &HeaderMap, body: &[u8]) -> Result<Answer<T>, Error> {
        let unreadable = |error: serde_json::Error| self.protocol(format!("invalid JSON: {error}"));
        let json: Box<RawValue> = serde_json::from_slice(body).map_err(unreadable)?;
        let value = serde_json::from_str(json.get()).map_err(unreadable)?;
        let cursor: Option<Cursor> = match text(headers, "sambad-cursor") {
            Some(cursor) => Some(cursor.parse().map_err(|_| self.protocol(format!("invalid Sambad-Cursor header {cursor:?}")))?),
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
    pub(crate) fn request(&self, call: Call, token: Option<&Token>) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let keyed = self.idempotency_key.as_ref().filter(|_| call.method == Method::POST);
        let is_get = call.method == Method::GET;
        let mut request = self.http.request(call.method, url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        if is_get {
            // What a cache has kept is not what is stored now.
            request = request.header(CACHE_CONTROL, "no-cache");
        }
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
                return Err(self.protocol(format!("the response is longer than {ANSWER_BYTES_MAX} bytes")));
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
            Error::Connect { url, source: Arc::new(error) }
        } else if error.is_timeout() {
            Error::Timeout { url, after: timeout }
        } else {
            Error::Transport { url, source: Arc::new(error) }
        }
    }

    pub(crate) fn protocol(&self, what: String) -> Error {
        Error::Protocol { url: self.url().into(), what }
    }
}

/// Reads a server's address.
fn server_url(base_url: &str) -> Result<Url, Error> {
    let invalid = |reason: &str| Error::InvalidUrl { url: base_url.into(), reason: reason.into() };
    let base =
        Url::parse(base_url).map_err(|error| invalid(&format!("{error}; expected a URL such as http://127.0.0.1:4000")))?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err(invalid("expected http://HOST:PORT or https://HOST"));
    }
    if base.query().is_some() || base.fragment().is_some() || !base.username().is_empty() || base.password().is_some() {
        return Err(invalid("expected no user, query or fragment"));
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: an address that cannot work is refused at once, with the reason. Method: a table.
    #[test]
    fn refuses_unusable_addresses() {
        for (url, reason) in [
            ("ws://localhost:4000", "expected http://"),
            ("localhost:4000", "expected http://"),
            ("", "expected a URL such as"),
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
            let request = Client::new(base).unwrap().request(Call::get("/api/health").query("q", Some("a b")), None);
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
}
