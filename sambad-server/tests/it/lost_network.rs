//! Clients whose network is gone: no FIN, no RST, nothing that a server could hear.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sambad_core::{Config, Sambad};
use sambad_server::{ServerConfig, Tls, serve};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::harness::h2::{HEADERS, RawH2};
use crate::harness::tls::Certificate;
use crate::harness::{Api, Dashboard, EventSource, soon};

/// Waits as long as a server with default settings, instead of seconds: a minute.
const AS_SHIPPED: &str = "SAMBAD_TEST_LOST_NETWORK_AS_SHIPPED";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Goal: a client that lost its network is gone within 60 s by every transport, whether or not anything is sent to it. Method: the
/// test below, in a network of its own. It needs root, or a system on which everybody may make one.
#[tokio::test]
async fn who_lost_the_network_is_gone() {
    let mut command = Command::new("unshare");
    let alone = if rustix::process::getuid().is_root() { &["--net"][..] } else { &["--net", "--user", "--map-root-user"] };
    command.args(alone).arg(std::env::current_exe().expect("a test is a program")).kill_on_drop(true);
    command.args(["--exact", "lost_network::in_a_network_of_its_own", "--ignored", "--nocapture"]);
    let output = command.output().await.expect("unshare is part of util-linux");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "run as root, or allow user namespaces: {said}");
}

/// Goal: that of the test above. Method: a server and, in another network namespace, a client with an event stream by HTTP/1.1
/// and by HTTP/2, a WebSocket and a waiting poll; then whatever the client's machine sends is lost. With the settings of a test
/// patience is 3 s; the default is 30.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test above"]
async fn in_a_network_of_its_own() {
    let as_shipped = std::env::var_os(AS_SHIPPED).is_some();
    let config = if as_shipped {
        ServerConfig::default()
    } else {
        ServerConfig { heartbeat: Duration::from_secs(2), stall_timeout: Duration::from_secs(3), ..ServerConfig::default() }
    };
    let client = Elsewhere::new().await;
    let certificate = Certificate::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (cert, key) = certificate.write(directory.path());
    let tls = Some(Tls::load(&cert, &key).expect("the certificate is one"));
    let (plain, plain_files) = server(config.clone()).await;
    let (secure, secure_files) = server(ServerConfig { tls, ..config }).await;
    let plain_api = Api::new(&format!("http://{plain}"));

    let dashboard = Dashboard::over(client.connect(plain).await, "").await.expect("the server upgrades");
    let source = EventSource::over(client.connect(plain).await, "", &[]).await;
    assert_eq!(source.status, 200);
    let mut poll = client.connect(plain).await;
    poll.write_all(b"GET /api/events?wait=30&after=0 HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the server reads");
    let mut h2 = RawH2::begin(client.connect(secure).await, &certificate, 1 << 16).await;
    h2.get(1, "/api/events/stream").await;
    while soon("answer", h2.frame()).await.expect("the server answers").kind != HEADERS {}
    // Acknowledges what it is asked as long as there is a network.
    let h2 = tokio::spawn(async move { while h2.frame().await.is_some() {} });
    let secure_api = Api::trusting(&format!("https://127.0.0.1:{}", secure.port()), &certificate.pem);
    soon("three sessions", until(async || transports(&plain_api).await == ["poll", "sse", "websocket"])).await;
    assert_eq!(transports(&secure_api).await, ["sse"]);

    client.lose_network().await;
    let lost = Instant::now();
    let gone = async |api: &Api, what: &str| {
        let mut left = transports(api).await;
        while !left.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = transports(api).await;
            for transport in left.iter().filter(|transport| !now.contains(transport)) {
                println!("{what}: {transport} is gone after {:?}", lost.elapsed());
            }
            left = now;
        }
    };
    // Unnoticed, the event stream by HTTP/1.1 stays for 16 min, that by HTTP/2 for 40 s, and the poll for 30 s.
    let within = Duration::from_secs(if as_shipped { 60 } else { 20 });
    let all = async { tokio::join!(gone(&plain_api, "plain"), gone(&secure_api, "TLS")) };
    assert!(
        timeout(within, all).await.is_ok(),
        "{:?} and {:?} stay",
        transports(&plain_api).await,
        transports(&secure_api).await
    );
    drop((dashboard, source, poll, h2, plain_files, secure_files));
}

async fn until(is: impl AsyncFn() -> bool) {
    while !is().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the sessions are connected by.
async fn transports(api: &Api) -> Vec<String> {
    let sessions = api.get("/api/admin/sessions").await.json();
    let sessions = sessions["sessions"].as_array().or(sessions.as_array()).expect("a list");
    let mut found: Vec<_> = sessions.iter().map(|session| session["transport"].as_str().expect("a name").to_owned()).collect();
    found.sort();
    found
}

/// A server that listens on all addresses of this namespace, and ends with the test.
async fn server(config: ServerConfig) -> (SocketAddr, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = format!("sqlite:{}", directory.path().join("sambad.db").display());
    let sambad = Sambad::open(Config::new(database)).await.expect("a database in a temporary directory opens");
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("there is a free port");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    tokio::spawn(async move { serve(listener, sambad, config, std::future::pending()).await.expect("the server serves") });
    ((SERVER, port).into(), directory)
}

/// Another machine, as far as the network is concerned; gone when dropped.
struct Elsewhere {
    /// Holds its namespace.
    holder: Child,
}

impl Elsewhere {
    async fn new() -> Self {
        let here = std::fs::read_link("/proc/self/ns/net").expect("Linux has namespaces");
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sleep", "300"]).stdin(Stdio::null()).kill_on_drop(true);
        let elsewhere = Self { holder: holder.spawn().expect("unshare is part of util-linux") };
        let namespace = format!("/proc/{}/ns/net", elsewhere.id());
        soon("namespace", until(async || std::fs::read_link(&namespace).is_ok_and(|there| there != here))).await;
        ip("link set lo up").await;
        ip(&format!("link add here type veth peer name there netns {}", elsewhere.id())).await;
        ip("addr add 10.77.0.1/24 dev here").await;
        ip("link set here address 02:00:00:00:00:01 up").await;
        elsewhere.within(ip("addr add 10.77.0.2/24 dev there")).await;
        elsewhere.within(ip("link set there address 02:00:00:00:00:02 up")).await;
        // As it is behind a router: that the client's machine does not answer is no error of the local network.
        ip("neigh replace 10.77.0.2 lladdr 02:00:00:00:00:02 dev here nud permanent").await;
        elsewhere
    }

    fn id(&self) -> u32 {
        self.holder.id().expect("it runs")
    }

    /// Runs `task` on a thread that is there; what it opens stays there.
    async fn within<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.id())).expect("the namespace is there");
        let thread = std::thread::spawn(move || {
            use std::os::fd::AsFd as _;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(task)
        });
        tokio::task::spawn_blocking(move || thread.join()).await.expect("it is joined").expect("it does not panic")
    }

    async fn connect(&self, address: SocketAddr) -> TcpStream {
        let connect = async move {
            let stream = TcpStream::connect(address).await.expect("the server accepts");
            stream.into_std().expect("a stream can be handed over")
        };
        TcpStream::from_std(self.within(connect).await).expect("a stream can be handed over")
    }

    /// From now on nothing that it sends arrives: neither acknowledgements nor answers to probes.
    async fn lose_network(&self) {
        self.within(ip("route add blackhole 10.77.0.1/32")).await;
    }
}

/// Changes the network of the namespace that the thread is in.
fn ip(args: &str) -> impl Future<Output = ()> + Send + use<> {
    let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
    async move {
        let output = Command::new("ip").args(&args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().await;
        let output = output.expect("ip is part of iproute2");
        assert!(output.status.success(), "ip {args:?}: {output:?}");
    }
}
