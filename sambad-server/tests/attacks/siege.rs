//! A server under attack, and the client whom nothing of it may concern.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::harness::audit;
use crate::harness::process::{Process, database};

/// What a client's 99th percentile may grow by in any case: the attackers run on the same cores, and a debug build, theirs and
/// the server's, takes ten times as long for everything.
const SLACK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 250 } else { 20 });
/// What the server's memory may grow by.
const GROWTH_BYTES_MAX: u64 = 64 << 20;
/// How long the client is watched in peace.
const PEACE: Duration = Duration::from_secs(1);
/// How long the client waits after an answer.
const PAUSE: Duration = Duration::from_millis(2);

/// The binary with the bounds that strangers meet, addresses of this machine included.
pub(crate) struct Siege {
    pub(crate) server: Process,
    user: String,
    _directory: TempDir,
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
        Self { server, user, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Watches a client in peace, then during `attack`, which must change nothing for it. Gives what the attack came to.
    pub(crate) async fn during<T>(&self, name: &str, attack: impl Future<Output = T>) -> T {
        let before = self.watch(tokio::time::sleep(PEACE)).await.0;
        let (during, outcome) = self.watch(attack).await;
        println!("{name}: before {before:?}, during {during:?}");
        let allowed = (before.p99 * 2).max(before.p99 + SLACK);
        assert!(during.p99 <= allowed, "{name}: p99 {:?} after {:?}", during.p99, before.p99);
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
            thread::spawn(move || serve(address, &user, &stop).expect("a client is served"))
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

/// Bytes of memory that a process takes.
fn resident_bytes(server: &Process) -> u64 {
    let id = server.child.id().expect("the process runs");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") << 10
}

/// Reads and writes by turns until it is stopped; how long each answer took.
fn serve(address: SocketAddr, user: &str, stop: &AtomicBool) -> io::Result<Vec<Duration>> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    stream.get_ref().set_nodelay(true)?;
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(20)))?;
    let body = format!(r#"{{"fromUserId":"{user}","toUserId":"{user}","content":"hello"}}"#);
    let write = format!(
        "POST /api/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let read = "GET /api/users?limit=5 HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) || times.len() < 100 {
        for (request, status) in [(read, "200"), (&write, "201")] {
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

fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
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

/// A connection from another address of this machine: 127.0.0.`host`.
pub(crate) async fn connect_from(host: u8, address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    socket.connect(address).await
}
