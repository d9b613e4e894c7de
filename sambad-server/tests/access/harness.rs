//! A server that asks callers who they are, and callers of every kind.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, Method};
use sambad_core::Limits;
use sambad_core::access::{AccessChange, Actor};
use sambad_server::ServerConfig;
use sambad_server::config::Role;
use sambad_server::testing::{TestKeys, TestServer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const ADMIN: &str = "root@example.com";
/// Longest wait for anything: only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The cookie that it sets, as a request sends it back.
    pub(crate) fn cookie(&self) -> String {
        let cookie = self.headers["set-cookie"].to_str().expect("cookies are ASCII");
        cookie.split(';').next().expect("a cookie has a value").to_owned()
    }
}

/// A server in token mode, its keys, and a client.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) keys: TestKeys,
    client: Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let keys = TestKeys::new();
        let mut config = ServerConfig { auth: keys.config(), ..ServerConfig::default() };
        change(&mut config);
        let server = TestServer::start_with(config, Limits::default()).await;
        let client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
        Self { server, keys, client: client.expect("a plain client can be built") }
    }

    /// Stops the server and starts another on its database and keys.
    pub(crate) async fn restart(self) -> Self {
        let Self { server, keys, client } = self;
        let config = ServerConfig { auth: keys.config(), ..ServerConfig::default() };
        let server = TestServer::start_in(server.stop().await, config, Limits::default()).await;
        Self { server, keys, client }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Sends a request with these headers; reads no more than the head of an answer that has no end.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let method = method.parse::<Method>().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.server.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let endless = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") || status == 101;
        let text = if endless { String::new() } else { response.text().await.expect("a body") };
        Answer { status, headers, text }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send("GET", path, &[("authorization", &format!("Bearer {token}"))], None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("authorization", &format!("Bearer {token}"))], Some(body)).await
    }

    pub(crate) async fn post_as_nobody(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    pub(crate) fn service(&self) -> String {
        self.keys.token(&[Role::Service], "backend")
    }

    pub(crate) fn admin(&self) -> String {
        self.keys.token(&[Role::Admin], "operator")
    }

    /// Logs a user in; the whole answer.
    pub(crate) async fn login(&self, phone: &str) -> Value {
        let answer = self.post("/api/users/login", &self.service(), &json!({ "phone": phone })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Makes the admin's account, as the command line does.
    pub(crate) async fn add_admin(&self, password_hash: &str) {
        let add = AccessChange::AddAdmin { email: ADMIN.into(), password_hash: password_hash.into() };
        self.change(add).await;
    }

    pub(crate) async fn change(&self, change: AccessChange) {
        let actor = Actor { name: "test".into(), remote: String::new() };
        self.server.sambad().change_access(change, actor).await.expect("the store takes it");
    }

    pub(crate) async fn log_in_as_admin(&self, password: &str) -> Answer {
        self.post_as_nobody("/api/admin/login", &json!({ "email": ADMIN, "password": password })).await
    }

    /// Opens `/ws` with these headers; `Err` with the status if it is refused.
    pub(crate) async fn socket(&self, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        let address = self.address();
        let mut request = format!("ws://{address}/ws?{query}").into_client_request().expect("an address");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        match soon("upgrade", client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Socket { socket }),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

/// A hash of [`PASSWORD`].
pub(crate) const PASSWORD_HASH: &str = include_str!("password_hash.txt");

/// An open `/ws`.
pub(crate) struct Socket {
    socket: WebSocketStream<TcpStream>,
}

impl Socket {
    /// The next frame, or the code with which the server closed.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        soon("frame", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("frames are JSON")),
                    Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(0),
                }
            }
        })
        .await
    }

    /// The next frame of this type; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.expect("the session goes on");
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The code with which the server closes; frames before that are passed over.
    pub(crate) async fn end(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    pub(crate) async fn say(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.expect("the session is open");
    }
}

/// A token of these claims, signed by `key` in the way of `algorithm` under `kid`.
pub(crate) fn sign(algorithm: Algorithm, kid: &str, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).expect("claims can be signed")
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    sambad_core::Timestamp::now().as_micros() / 1_000_000
}

/// A token of this header and these claims, as they are written, signed by an Ed25519 key in PKCS #8: for what no library signs.
pub(crate) fn sign_text(header: &str, claims: &str, pkcs8: &[u8]) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(header), part(claims));
    let key = Ed25519KeyPair::from_pkcs8(pkcs8).expect("an Ed25519 key");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())))
}
