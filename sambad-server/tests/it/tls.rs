//! HTTPS: both versions of HTTP, certificates that are replaced, handshakes that do not come.

use std::path::Path;
use std::time::Duration;

use sambad_core::Limits;
use sambad_core::access::{AccessChange, Actor};
use sambad_server::config::ClientLimits;
use sambad_server::testing::TestKeys;
use sambad_server::{ServerConfig, Tls};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::process::{Process, database, run};
use crate::harness::tls::Certificate;
use crate::harness::{Api, Raw, World, soon};

/// A hash of `correct horse battery`.
const PASSWORD_HASH: &str = include_str!("../access/password_hash.txt");

/// A server with a certificate, and the certificate.
pub(crate) async fn secure(config: ServerConfig) -> (World, Certificate) {
    let (directory, certificate) = (tempfile::tempdir().expect("a temporary directory"), Certificate::new());
    let (cert, key) = certificate.write(directory.path());
    let tls = Some(Tls::load(&cert, &key).expect("the pair is a pair"));
    let world = World::secure(ServerConfig { tls, ..config }, Limits::default(), &certificate.pem).await;
    (world, certificate)
}

/// Goal: both versions of HTTP are served over TLS, and WebSockets by the older one alone. Method: a client for each, a write,
/// a read, an upgrade that HTTP/2 does not have; then a clean end with both connections open.
#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_served() {
    let (world, certificate) = secure(ServerConfig::default()).await;
    assert!(world.server.url().starts_with("https://"), "{}", world.server.url());
    // reqwest asks for HTTP/1.1 alone here, hyper for HTTP/2.
    world.api.user("+919876543210").await;
    let stream = certificate.connect(world.server.address(), "h2").await.expect("the certificate is the server's");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let executor = hyper_util::rt::TokioExecutor::new();
    let connection = hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream));
    let (mut client, connection) = connection.await.expect("the server speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let mut get = async |path: &str| {
        let request = http::Request::get(format!("{}{path}", world.server.url())).body(String::new()).expect("a request");
        let response = soon("answer", client.send_request(request)).await.expect("the server answers");
        let (head, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.expect("the body arrives").to_bytes();
        (head.status.as_u16(), String::from_utf8(body.to_vec()).expect("bodies are UTF-8"))
    };
    let (status, users) = get("/api/users").await;
    assert!(status == 200 && users.contains("+919876543210"), "{status} {users}");
    assert_eq!(get("/ws").await.0, 426);
    assert_eq!(get("/api/sync-contacts").await.0, 405);
    world.finish().await;
    soon("end of the connection", connection).await.expect("it does not panic").expect("it ends in peace");
}

/// Goal: whoever does not speak TLS is told nothing and harms nobody. Method: plain HTTP and garbage; then a proper client.
#[tokio::test]
async fn plain_talk_is_not_answered() {
    let (world, _) = secure(ServerConfig::default()).await;
    for talk in ["GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", "\u{16}\u{3}\u{1}garbage garbage garbage", "\r\n"] {
        let mut raw = world.raw().await;
        raw.write(talk).await;
        let answer = if talk == "\r\n" { Vec::new() } else { raw.end().await };
        // An alert of TLS at most.
        assert!(answer.len() <= 7 && !answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert_eq!(world.api.get("/livez").await.status, 200);
    world.finish().await;
}

/// Goal: a handshake that does not come, or does not go on, is let go of in time, as is a head after one. Method: times of
/// 300 ms; a silent client, one that stops after the first bytes, one that stops after the handshake.
#[tokio::test]
async fn a_handshake_has_its_time() {
    let short = Duration::from_millis(300);
    let clients = ClientLimits { handshake_timeout: short, header_timeout: short, ..ClientLimits::default() };
    let (world, certificate) = secure(ServerConfig { clients, ..ServerConfig::default() }).await;
    let (silent, mut begun) = (world.raw().await, world.raw().await);
    begun.write([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    assert_eq!(silent.end().await, b"");
    assert_eq!(begun.end().await, b"");
    let mut quiet = certificate.connect(world.server.address(), "http/1.1").await.expect("a handshake in time");
    quiet.write_all(b"GET /").await.expect("the server reads");
    let mut rest = Vec::new();
    let _ = soon("end of the connection", quiet.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
    world.finish().await;
}

/// Waits until the log says for the `nth` time that a certificate was not taken.
async fn kept(log: &Path, nth: usize) {
    let told = async {
        while std::fs::read_to_string(log).expect("the log can be read").matches("the old one stays").count() < nth {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("word that the certificate stays", told).await;
}

/// Goal: a certificate is replaced without a restart, and a broken one does not replace it. Method: the binary; SIGHUP after
/// another pair, after garbage, after a key that is another's; sessions of before go on.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_certificate_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (old, new) = (Certificate::new(), Certificate::new());
    let (cert, key) = old.write(directory.path());
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let database = database(directory.path());
    let log = directory.path().join("log");
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--tls-cert", &cert, "--tls-key", &key];
    let server = Process::start_logged(&args, &log).await;
    assert_eq!(server.printed[1], format!("Sambad unified backend listening on https://{}", server.address));
    assert_eq!(server.printed[2], format!("✅ Unified backend listening on port {}", server.address.port()));
    let mut dashboard = old.dashboard(server.address, "", false).await;
    assert_eq!(dashboard.frame().await.expect("a session")["type"], "connected");
    new.write(directory.path());
    assert!(old.connect(server.address, "http/1.1").await.is_ok(), "nothing changes without a signal");
    server.signal("HUP").await;
    soon("new certificate", async { while new.connect(server.address, "http/1.1").await.is_err() {} }).await;
    assert!(old.connect(server.address, "http/1.1").await.is_err());
    std::fs::write(&cert, "garbage").expect("the file can be written");
    server.signal("HUP").await;
    kept(&log, 1).await;
    std::fs::write(&cert, &old.pem).expect("the file can be written");
    server.signal("HUP").await;
    kept(&log, 2).await;
    let api = Api::trusting(&format!("https://{}", server.address), &new.pem);
    assert_eq!(api.post("/api/users/login", json!({ "phone": "+919876543210" })).await.status, 200);
    assert_eq!(dashboard.seqs(1).await, [1]);
    server.terminate().await;
    assert_eq!(dashboard.frame().await, Err(Some(4000)));
    assert_eq!(server.end().await.code(), Some(0));
}

/// Goal: a pair that cannot be used is refused at start, with the reason. Method: a table.
#[tokio::test]
async fn a_bad_pair_is_refused_at_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (cert, key) = Certificate::new().write(directory.path());
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let other = tempfile::tempdir().expect("a temporary directory");
    let other = Certificate::new().write(other.path()).1.display().to_string();
    for (args, code, told) in [
        (&["--tls-cert", &cert][..], 2, "--tls-key"),
        (&["--tls-key", &key], 2, "--tls-cert"),
        (&["--tls-cert", "/nonexistent.pem", "--tls-key", &key], 1, "/nonexistent.pem"),
        (&["--tls-cert", &key, "--tls-key", &key], 1, "has no certificate"),
        (&["--tls-cert", &cert, "--tls-key", &cert], 1, "cannot read"),
        (&["--tls-cert", &cert, "--tls-key", &other], 1, "cannot"),
    ] {
        let output = run(&[&["--listen", "127.0.0.1:0", "--database", "sqlite:/nonexistent/x"], args].concat(), &[]).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && stderr.contains(told), "{args:?}: {stderr}");
        assert!(!stderr.contains("PRIVATE KEY"), "{stderr}");
    }
}

/// Goal: a client of HTTP/2 that has nothing more to ask is let go of. Method: an idle time of 300 ms; a request, then silence.
#[tokio::test]
async fn an_idle_connection_of_http2_is_closed() {
    let clients = ClientLimits { idle_timeout: Duration::from_millis(300), ..ClientLimits::default() };
    let (world, certificate) = secure(ServerConfig { clients, ..ServerConfig::default() }).await;
    let stream = certificate.connect(world.server.address(), "h2").await.expect("a handshake");
    let executor = hyper_util::rt::TokioExecutor::new();
    let connection = hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream));
    let (mut client, connection) = connection.await.expect("the server speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("{}/livez", world.server.url())).body(String::new()).expect("a request");
    assert_eq!(client.send_request(request).await.expect("the server answers").status(), 200);
    soon("end of the connection", connection).await.expect("it does not panic").expect("it ends in peace");
    let raw: Raw = world.raw().await;
    drop(raw);
    world.finish().await;
}

/// Goal: over TLS browsers are told to insist on it, unless the name is this machine's or an address, or the operator said no;
/// only https is the server's own origin, and the admin's cookie has the name that no neighbour can plant. Method: heads with
/// several names, by both versions of HTTP; a login whose cookie is sent under each name, and from pages of both schemes.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_insisted_on() {
    let keys = TestKeys::new();
    for hsts in [true, false] {
        let (world, certificate) = secure(ServerConfig { auth: keys.config(), hsts, ..ServerConfig::default() }).await;
        let ask = async |request: String| {
            let mut stream = certificate.connect(world.server.address(), "http/1.1").await.expect("a handshake");
            stream.write_all(request.as_bytes()).await.expect("the server reads");
            let mut answer = Vec::new();
            let _ = soon("end of the connection", stream.read_to_end(&mut answer)).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        for (host, insisted) in [
            ("sambad.example", true),
            ("sambad.example:8443", true),
            ("localhost", false),
            ("app.localhost:4000", false),
            ("127.0.0.1", false),
            ("[::1]:4000", false),
        ] {
            for path in ["/livez", "/nothing", "/api/users", "/dashboard"] {
                let answer = ask(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
                let found = answer.contains("\r\nstrict-transport-security: max-age=31536000\r\n");
                assert_eq!(found, hsts && insisted, "{host}{path}: {answer}");
            }
        }
        let add = AccessChange::AddAdmin { email: "root@example.com".into(), password_hash: PASSWORD_HASH.into() };
        let actor = Actor { name: "test".into(), remote: String::new() };
        world.server.sambad().change_access(add, actor).await.expect("the store takes it");
        let body = r#"{"email":"root@example.com","password":"correct horse battery"}"#;
        let login = ask(format!(
            "POST /api/admin/login HTTP/1.1\r\nhost: sambad.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             origin: https://sambad.example\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let cookie = login.split("set-cookie: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a cookie");
        assert!(
            cookie.starts_with("__Host-sambad_session=") && cookie.contains("; Path=/;") && cookie.ends_with("; Secure"),
            "{cookie}"
        );
        assert!(!cookie.contains("Domain"), "{cookie}");
        let secret = cookie.split([';', '=']).nth(1).expect("a value");
        for (method, name, origin, expected) in [
            ("GET /api/admin/users", "__Host-sambad_session", None, "200"),
            ("GET /api/admin/users", "sambad_session", None, "401"),
            ("GET /api/admin/users", "__host-sambad_session", None, "401"),
            ("POST /api/admin/logout", "__Host-sambad_session", Some("http://sambad.example"), "403"),
            ("POST /api/admin/logout", "__Host-sambad_session", Some("https://sambad.example:80"), "403"),
            ("POST /api/admin/logout", "__Host-sambad_session", Some("https://sambad.example"), "200"),
            ("GET /api/admin/users", "__Host-sambad_session", None, "401"),
        ] {
            let origin = origin.map(|origin| format!("origin: {origin}\r\n")).unwrap_or_default();
            let head = format!("{method} HTTP/1.1\r\nhost: sambad.example\r\ncookie: {name}={secret}\r\n{origin}");
            // What somebody who is no proxy says of the scheme counts for nothing.
            let answer = ask(format!("{head}x-forwarded-proto: http\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{method} {name} {origin}: {answer}");
        }
        world.server.stop().await;
    }
}
