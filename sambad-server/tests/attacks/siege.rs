//! A server under attack, and the client whom nothing of it may concern.

use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::harness::process::{Process, database};
use crate::harness::tls::Certificate;
use crate::harness::{Api, audit};

/// What a client's 99th percentile may grow by in any case: the attackers run on the same cores, and a debug build, theirs and
/// the server's, takes ten times as long for everything.
const SLACK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 250 } else { 20 });
/// What the server's memory may grow by: a thousand requests in progress take some 45 MiB in a debug build, and a password that
/// is being compared 19 MiB.
const GROWTH_BYTES_MAX: u64 = if cfg!(debug_assertions) { 96 << 20 } else { 64 << 20 };
/// How long the client is watched in peace.
const PEACE: Duration = Duration::from_secs(1);
/// How long the client waits after an answer.
const PAUSE: Duration = Duration::from_millis(2);

/// The binary with the bounds that strangers meet, addresses of this machine included.
pub(crate) struct Siege {
    pub(crate) server: Process,
    user: String,
    /// The header by which the client says who it is; empty where nobody asks.
    authorization: String,
    /// Where the server speaks HTTPS.
    certificate: Option<Certificate>,
    directory: TempDir,
}

/// What a client met.
#[derive(Debug)]
struct Met {
    p99: Duration,
    requests: usize,
    resident_bytes: u64,
}

impl Siege {
    pub(crate) async fn start(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = database(directory.path());
        let all = [&["--listen", "127.0.0.1:0", "--database", &database, "--limit-loopback"], args].concat();
        let server = Process::start_with(&all, &[]).await;
        let user = server.api.user("+919876543210").await;
        Self { server, user, authorization: String::new(), certificate: None, directory }
    }

    /// As `start`, on a server that speaks HTTPS.
    pub(crate) async fn start_secure(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("log");
        let (database, certificate) = (database(directory.path()), Certificate::new());
        let (cert, key) = certificate.write(directory.path());
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let with =
            ["--listen", "127.0.0.1:0", "--database", &database, "--tls-cert", &cert, "--tls-key", &key, "--limit-loopback"];
        let mut server = Process::start_logged(&[&with, args].concat(), &log).await;
        server.api = Api::trusting(&format!("https://{}", server.address), &certificate.pem);
        let user = server.api.user("+919876543210").await;
        Self { server, user, authorization: String::new(), certificate: Some(certificate), directory }
    }

    /// What a server that speaks HTTPS has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).expect("the log can be read")
    }

    /// What the server shows.
    pub(crate) fn certificate(&self) -> &Certificate {
        self.certificate.as_ref().expect("the server speaks HTTPS")
    }

    /// As `start`, on a server that asks callers who they are, with an admin's account.
    pub(crate) async fn start_closed(admin: &str, password: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (database, keys) = (database(directory.path()), directory.path().join("keys.json"));
        let keys = keys.to_str().expect("a path in UTF-8");
        command(&["key", "generate", keys], "").await;
        let with =
            ["--listen", "127.0.0.1:0", "--database", &database, "--auth", "token", "--auth-key", keys, "--limit-loopback"];
        let server = Process::start_with(&with, &[]).await;
        command(&["admin", "add", admin, "--database", &database], password).await;
        let create = ["token", "create", "--role", "service", "--role", "admin", "--auth-key", keys, "--database", &database];
        let printed = command(&create, "").await;
        let authorization = format!("Bearer {}", printed.lines().last().expect("a token"));
        let headers = [("authorization", authorization.as_str())];
        let login = server.api.post_with("/api/users/login", &headers, r#"{"phone":"+919876543210"}"#).await;
        let user = login.text_at("id");
        Self { server, user, authorization: format!("authorization: {authorization}\r\n"), certificate: None, directory }
    }

    /// Logs a user in, who may be another than the client; the whole answer.
    pub(crate) async fn login(&self, phone: &str) -> serde_json::Value {
        let token = self.authorization.trim_start_matches("authorization: ").trim();
        let body = format!(r#"{{"phone":"{phone}"}}"#);
        self.server.api.post_with("/api/users/login", &[("authorization", token)], body).await.json()
    }

    /// What `sambad-server check` finds in its database.
    pub(crate) async fn check(&self) -> String {
        command(&["check", "--listen", "127.0.0.1:0", "--database", &database(self.directory.path())], "").await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Watches a client in peace, during `attack`, and in peace again: the attack must change nothing for it. Gives what the
    /// attack came to.
    ///
    /// A machine may get busy with something else meanwhile, so the slower peace is what the attack is compared with.
    pub(crate) async fn during<T>(&self, name: &str, attack: impl Future<Output = T>) -> T {
        let before = self.watch(tokio::time::sleep(PEACE)).await.0;
        let (during, outcome) = self.watch(attack).await;
        let mut peace = before.p99;
        if during.p99 > allowed(peace) {
            peace = peace.max(self.watch(tokio::time::sleep(PEACE)).await.0.p99);
        }
        println!("{name}: before {before:?}, during {during:?}, peace {peace:?}");
        assert!(during.p99 <= allowed(peace), "{name}: p99 {:?} after {peace:?}", during.p99);
        let growth = during.resident_bytes.saturating_sub(before.resident_bytes);
        assert!(growth <= GROWTH_BYTES_MAX, "{name}: {} MiB more", growth >> 20);
        assert!(during.requests > 0, "{name}: nothing was measured");
        outcome
    }

    /// Ends the server, whose log must be whole.
    pub(crate) async fn end(self) {
        audit(&self.server.api).await;
        self.server.terminate().await;
        assert_eq!(self.server.end().await.code(), Some(0));
    }

    /// Serves a client for as long as `meanwhile` takes, on a thread of its own: it shares nothing with the attackers.
    async fn watch<T>(&self, meanwhile: impl Future<Output = T>) -> (Met, T) {
        let stop = Arc::new(AtomicBool::new(false));
        let client = {
            let (stop, address, user) = (Arc::clone(&stop), self.server.address, self.user.clone());
            let authorization = self.authorization.clone();
            let tls = self.certificate.as_ref().map(|certificate| certificate.client("http/1.1"));
            thread::spawn(move || serve(address, tls, &user, &authorization, &stop).expect("a client is served"))
        };
        let mut meanwhile = std::pin::pin!(meanwhile);
        let mut most = resident_bytes(&self.server);
        let outcome = loop {
            tokio::select! {
                outcome = &mut meanwhile => break outcome,
                () = tokio::time::sleep(Duration::from_millis(50)) => most = most.max(resident_bytes(&self.server)),
            }
        };
        stop.store(true, Ordering::Relaxed);
        let mut times =
            tokio::task::spawn_blocking(move || client.join()).await.expect("it is joined").expect("a client is served");
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        (Met { p99, requests: times.len(), resident_bytes: most }, outcome)
    }
}

/// The p99 that an attack may cause where it is `peace` otherwise.
fn allowed(peace: Duration) -> Duration {
    (peace * 2).max(peace + SLACK)
}

/// Bytes of memory that a process takes.
fn resident_bytes(server: &Process) -> u64 {
    let id = server.child.id().expect("the process runs");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") << 10
}

/// A stream, encrypted or not.
trait Duplex: io::Read + io::Write {}

impl<S: io::Read + io::Write> Duplex for S {}

/// Reads and writes by turns until it is stopped; how long each answer took.
fn serve(
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    user: &str,
    authorization: &str,
    stop: &AtomicBool,
) -> io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(stream),
        Some(tls) => {
            let connection = ClientConnection::new(tls, address.ip().into()).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, stream))
        }
    };
    let mut stream = BufReader::new(stream);
    let body = format!(r#"{{"fromUserId":"{user}","toUserId":"{user}","content":"hello"}}"#);
    let write = format!(
        "POST /api/messages HTTP/1.1\r\nhost: x\r\n{authorization}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let read = format!("GET /api/users?limit=5 HTTP/1.1\r\nhost: x\r\n{authorization}\r\n");
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) || times.len() < 100 {
        for (request, status) in [(&read, "200"), (&write, "201")] {
            let begun = Instant::now();
            stream.get_mut().write_all(request.as_bytes())?;
            let head = answer(&mut stream)?;
            times.push(begun.elapsed());
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            thread::sleep(PAUSE);
        }
    }
    Ok(times)
}

fn answer(stream: &mut impl io::BufRead) -> io::Result<String> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    Ok(head)
}

/// Runs a command of the binary, which must do well; what it printed.
async fn command(args: &[&str], stdin: &str) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"));
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("stdin is a pipe").write_all(stdin.as_bytes()).await.expect("the binary reads");
    let output = child.wait_with_output().await.expect("the binary ends");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A connection from another address of this machine: 127.0.0.`host`.
pub(crate) async fn connect_from(host: u8, address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    socket.connect(address).await
}
