//! The load balancers of `deploy/`, each with two real servers behind it.

use std::net::SocketAddr;
use std::time::Duration;

use sambad_server::testing::{Balancer, Database, TestServer, free_port};
use serde_json::{Value, json};

use crate::harness::process::Process;
use crate::harness::{Api, Dashboard, Ended, EventSource, soon};

/// Requests that must all be answered well.
const REQUESTS: usize = 30;

/// Starts a server that pings every second, believes what a proxy on this machine says, and takes its time to end.
async fn server(address: SocketAddr, database: &Database) -> Process {
    let listen = address.to_string();
    let flags = ["--listen", &listen, "--database", database.url(), "--trusted-proxy", "127.0.0.1"];
    Process::start_with(&[&flags[..], &["--heartbeat-s", "1", "--drain-delay", "4s"]].concat(), &[]).await
}

/// How many sessions a server has, and whether it knows their clients from its proxy.
async fn sessions(server: &Process) -> u64 {
    let sessions = server.api.get("/api/admin/sessions").await.json();
    for session in sessions["sessions"].as_array().unwrap() {
        assert_eq!(session["remote"], "127.0.0.1:0", "the proxy does not say who its client is");
    }
    sessions["total"].as_u64().unwrap()
}

/// The status of a read, which may be the proxy's own; `None` where no answer came.
async fn asked(url: &str) -> Option<u16> {
    let answer = reqwest::get(format!("{url}/api/users")).await;
    answer.ok().map(|answer| answer.status().as_u16())
}

/// Goal: behind this load balancer everything works that works without, servers share sessions, and one that dies or stops is not
/// noticed by whoever asks. Method: real servers; WebSocket, event stream, poll and requests through it; SIGKILL, then SIGTERM.
async fn carries(start: impl AsyncFnOnce([SocketAddr; 2]) -> Balancer) {
    let database = Database::new().await;
    let addresses = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let (one, other) = tokio::join!(server(addresses[0], &database), server(addresses[1], &database));
    let balancer = start(addresses).await;
    let api = Api::new(&balancer.url());
    // Those with checks of their own look at the servers first.
    soon("answer", async { while asked(&balancer.url()).await != Some(200) {} }).await;

    let mut dashboards = [Dashboard::connect(balancer.address(), "").await, Dashboard::connect(balancer.address(), "").await];
    assert_eq!((sessions(&one).await, sessions(&other).await), (1, 1), "sessions are not shared");
    let mut source = EventSource::open(balancer.address(), "after=0").await;
    for (seq, phone) in ["+442071838750", "+442071838751"].iter().enumerate() {
        let written = api.post("/api/users/login", json!({ "phone": phone })).await.seq();
        assert_eq!(written, Some(seq as u64 + 1));
        for dashboard in &mut dashboards {
            assert_eq!(dashboard.seq().await, seq as u64 + 1);
        }
    }
    // Held back by nobody: `connected`, both events, `live`, and then what is said when nothing happens.
    let (mut seqs, mut is_quiet) = (Vec::new(), false);
    while !(is_quiet && seqs.len() >= 2) {
        let message = source.message().await.expect("the stream goes on");
        is_quiet = message.starts_with(": heartbeat");
        seqs.extend(crate::harness::source::seq(&message));
    }
    assert_eq!(seqs, [1, 2]);
    for dashboard in &mut dashboards {
        dashboard.pings(2).await;
    }
    let (poll, _) = tokio::join!(api.get("/api/events?after=2&wait=20"), async {
        api.post("/api/users/login", json!({ "phone": "+442071838752" })).await
    });
    assert_eq!(poll.json()["events"][0]["seq"], 3);

    drop((dashboards, source));
    goes_on(&balancer, &database, one, other, addresses).await;
}

/// One server is killed and comes back, the other is told to stop.
async fn goes_on(balancer: &Balancer, database: &Database, mut one: Process, other: Process, addresses: [SocketAddr; 2]) {
    let url = &balancer.url();
    one.child.kill().await.unwrap();
    soon("answer", async { while asked(url).await != Some(200) {} }).await;
    for _ in 0..REQUESTS {
        assert_eq!(asked(url).await, Some(200), "who asks notices a server that is gone");
    }
    let one = server(addresses[0], database).await;
    // Until it is used again.
    soon("sessions on the server that came back", async {
        loop {
            // It stays while the server is asked.
            let newest = Dashboard::try_connect(balancer.address(), "").await;
            if sessions(&one).await > 0 {
                return drop(newest);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    other.terminate().await;
    let mut stopped = Box::pin(other.end());
    let mut answers = 0;
    let status = loop {
        tokio::select! {
            status = &mut stopped => break status,
            answer = asked(url) => {
                assert_eq!(answer, Some(200), "request {answers}: who asks notices a server that stops");
                answers += 1;
            }
        }
    };
    assert_eq!(status.code(), Some(0));
    assert!(answers > REQUESTS, "hardly anybody asked meanwhile: {answers}");
    for _ in 0..REQUESTS {
        assert_eq!(asked(url).await, Some(200));
    }
}

/// Goal: `deploy/nginx.conf` does what is expected of a load balancer. Method: as `carries` says.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_carries_everything() {
    carries(async |servers| Balancer::nginx(&servers).await).await;
}

/// Goal: `deploy/haproxy.cfg` does what is expected of a load balancer. Method: as `carries` says.
#[tokio::test(flavor = "multi_thread")]
async fn haproxy_carries_everything() {
    carries(async |servers| Balancer::haproxy(&servers).await).await;
}

/// Goal: `deploy/Caddyfile` does what is expected of a load balancer. Method: as `carries` says.
#[tokio::test(flavor = "multi_thread")]
async fn caddy_carries_everything() {
    carries(async |servers| Balancer::caddy(&servers).await).await;
}

/// Goal: through every load balancer a client learns why its session ended, also while it is still sending. Method: a frame that is far
/// too long, and a session that an admin closes, twenty times each: a proxy forwards an end of the connection before what came before it.
#[tokio::test(flavor = "multi_thread")]
async fn closes_come_through() {
    let server = TestServer::start().await;
    let servers = [server.address()];
    for balancer in [Balancer::nginx(&servers).await, Balancer::haproxy(&servers).await, Balancer::caddy(&servers).await] {
        let api = Api::new(&balancer.url());
        soon("answer", async { while asked(&balancer.url()).await != Some(200) {} }).await;
        for round in 0..20 {
            let mut huge = Dashboard::connect(balancer.address(), "").await;
            huge.send("x".repeat(1 << 20)).await;
            let error = huge.text().await.unwrap_or_else(|ended| panic!("{balancer:?}, round {round}: {ended:?}"));
            assert!(error.starts_with(r#"{"type":"error","code":"frame_too_large","#), "{error}");
            assert_eq!(huge.ended().await, Ended::Closed(4500, "bad_frames".into()), "{balancer:?}, round {round}");

            let mut expelled = Dashboard::connect(balancer.address(), "").await;
            let connected: Value = serde_json::from_str(&expelled.connected).unwrap();
            let path = format!("/api/admin/sessions/{}", connected["data"]["session"].as_str().unwrap());
            assert_eq!(api.delete(&path).await.status, 200);
            assert_eq!(expelled.ended().await, Ended::Closed(4503, "forbidden".into()), "{balancer:?}, round {round}");
        }
    }
    server.stop().await;
}
