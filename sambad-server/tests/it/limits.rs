//! What one client may take: rates, sessions, connections, and whose address counts.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::config::ClientLimits;
use serde_json::json;

use crate::harness::{Answer, Dashboard, Ended, EventSource, World, soon};

const LOGIN: &str = "/api/users/login";
const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

/// A server that believes what this machine says about who the client is.
pub(crate) async fn behind_proxy(clients: ClientLimits) -> World {
    let trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    let config = ServerConfig { clients: ClientLimits { trusted_proxies, ..clients }, ..ServerConfig::default() };
    World::start_with(config, Limits::default()).await
}

/// A request for which a proxy vouches.
async fn from(world: &World, client: &str, method: Method, path: &str) -> Answer {
    let body = (method == Method::POST).then(|| json!({ "phone": "+919876543210" }).to_string());
    let headers = [("x-forwarded-for", client), ("content-type", "application/json")];
    world.api.request(method, path, &headers, body).await
}

/// Checks the refusal, and that it says when to come back.
fn refused(answer: &Answer, status: u16, code: &str) -> u64 {
    answer.refused(status, code);
    let seconds = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After is a number");
    assert!((1..=60).contains(&seconds), "{answer:?}");
    seconds
}

/// What `rate` a second allows at most since `begun`: a second's worth at once, and what the time since has added.
fn allowed(rate: usize, begun: Instant) -> usize {
    rate + rate * usize::try_from(begun.elapsed().as_secs() + 1).expect("a test is short")
}

/// Goal: an address has a rate, and what it does is nobody else's loss. Method: forty at once where one a second is allowed, by
/// two names of one address; another address; the wait that was asked for.
#[tokio::test]
async fn requests_have_a_rate_by_address() {
    let world = behind_proxy(ClientLimits { address_requests_per_s: 1, ..ClientLimits::default() }).await;
    let get = |client: &'static str| from(&world, client, Method::GET, "/api/users");
    let begun = Instant::now();
    let answers = join_all((0..40).map(|i| get(["203.0.113.1", "::ffff:203.0.113.1"][i % 2]))).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((1..=allowed(1, begun)).contains(&served), "{served} in {:?}: {answers:?}", begun.elapsed());
    let limited = answers.iter().find(|answer| answer.status != 200).expect("forty are more than one");
    let wait = refused(limited, 429, "rate_limited");
    assert_eq!(get("203.0.113.2").await.status, 200);
    assert_eq!(get("2001:db8::1").await.status, 200);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(get("203.0.113.1").await.status, 200);
    world.finish().await;
}

/// Goal: logins have a stricter rate, of users and of admins apart, and nothing else has. Method: each until it is refused, by
/// one address; the other one, a read, and another address go on.
#[tokio::test]
async fn logins_have_a_stricter_rate() {
    let limits = ClientLimits { address_logins_per_min: 2, address_admin_logins_per_min: 1, ..ClientLimits::default() };
    let world = behind_proxy(limits).await;
    let post = |client: &'static str, path: &'static str| from(&world, client, Method::POST, path);
    assert_eq!(post("203.0.113.1", LOGIN).await.status, 200);
    assert_ne!(post("203.0.113.1", "/api/users/refresh").await.status, 429);
    assert!(refused(&post("203.0.113.1", LOGIN).await, 429, "rate_limited") > 1);
    refused(&post("203.0.113.1", "/api/users/refresh").await, 429, "rate_limited");
    assert_ne!(post("203.0.113.1", "/api/admin/login").await.status, 429);
    assert!(refused(&post("203.0.113.1", "/api/admin/login").await, 429, "rate_limited") > 1);
    assert_eq!(from(&world, "203.0.113.1", Method::GET, "/api/users").await.status, 200);
    assert_eq!(post("203.0.113.2", LOGIN).await.status, 200);
    world.finish().await;
}

/// Goal: addresses of this machine have no bounds, unless somebody wants them to. Method: far more than the rate from
/// loopback, with and without; what an untrusted client says of itself changes nothing.
#[tokio::test]
async fn loopback_is_counted_only_when_asked() {
    for (limit_loopback, limited) in [(false, false), (true, true)] {
        let clients = ClientLimits { address_requests_per_s: 2, limit_loopback, ..ClientLimits::default() };
        let world = World::start_with(ServerConfig { clients, ..ServerConfig::default() }, Limits::default()).await;
        let answers = join_all((0..9).map(|i| {
            let (api, client) = (world.api.clone(), format!("203.0.113.{i}"));
            async move { api.request(Method::GET, "/livez", &[("x-forwarded-for", &client)], None).await }
        }));
        assert_eq!(answers.await.iter().any(|answer| answer.status == 429), limited);
        world.server.stop().await;
    }
}

/// Goal: how many sessions open at once and how many stay is bounded by address, and a session that ends makes room. Method:
/// streams of one address up to each bound, a WebSocket from another one.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_have_bounds_by_address() {
    let one: &[(&str, &str)] = &[("x-forwarded-for", "203.0.113.1")];
    let world = behind_proxy(ClientLimits { address_sessions_max: 2, ..ClientLimits::default() }).await;
    let open = || EventSource::open_with(world.server.address(), "", one);
    let (first, second) = (open().await, open().await);
    assert_eq!((first.status, second.status, open().await.status), (200, 200, 503));
    let refusal = from(&world, "203.0.113.1", Method::GET, "/api/events/stream").await;
    assert_eq!(refused(&refusal, 503, "overloaded"), 1);
    refused(&from(&world, "203.0.113.1", Method::GET, "/api/events?wait=1&after=0").await, 503, "overloaded");
    let dashboard = world.dashboard("").await;
    drop(first);
    world.sessions(2).await;
    assert_eq!(open().await.status, 200);
    let listed = world.api.get("/api/admin/sessions").await.text;
    assert!(listed.contains(r#""remote":"203.0.113.1:0""#) && listed.contains(r#""remote":"127.0.0.1:"#), "{listed}");
    drop((second, dashboard));
    world.finish().await;

    let world = behind_proxy(ClientLimits { address_handshakes_per_s: 1, ..ClientLimits::default() }).await;
    let begun = Instant::now();
    let answers = join_all((0..20).map(|_| EventSource::open_with(world.server.address(), "", one))).await;
    let served = answers.iter().filter(|stream| stream.status == 200).count();
    assert!((1..=allowed(1, begun)).contains(&served), "{served} in {:?}", begun.elapsed());
    let refusal = answers.iter().find(|stream| stream.status != 200).expect("twenty are more than one");
    assert_eq!((refusal.status, refusal.headers["retry-after"].as_bytes()), (503, b"1".as_slice()));
    assert_eq!(from(&world, "203.0.113.1", Method::GET, "/api/users").await.status, 200);
    drop(answers);
    world.finish().await;
}

/// Goal: a session that floods is told so, and a lively one is not. Method: frames within a second's worth, then beyond it.
#[tokio::test]
async fn frames_have_a_rate_by_session() {
    let clients = ClientLimits { session_frames_per_s: 20, ..ClientLimits::default() };
    let world = World::start_with(ServerConfig { clients, ..ServerConfig::default() }, Limits::default()).await;
    let mut dashboard = world.dashboard("").await;
    for _ in 0..20 {
        dashboard.send(r#"{"type":"ping"}"#.to_owned()).await;
        dashboard.expect("pong").await;
    }
    for _ in 0..40 {
        dashboard.send(r#"{"type":"ping"}"#.to_owned()).await;
    }
    assert_eq!(dashboard.ended().await, Ended::Closed(4029, "rate_limited".into()));
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: nothing follows a close frame, not even the pong of the ping that was one too many. Method: protocol pings beyond the
/// rate in one segment with the client's close frame, and every byte that arrives.
#[tokio::test]
async fn no_pong_follows_the_close_frame() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let clients = ClientLimits { session_frames_per_s: 20, ..ClientLimits::default() };
    let world = World::start_with(ServerConfig { clients, ..ServerConfig::default() }, Limits::default()).await;
    let mut dashboard = world.dashboard("").await;
    let mut frames = [0x89, 0x80, 0, 0, 0, 0].repeat(40);
    frames.extend([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    dashboard.stream().write_all(&frames).await.unwrap();
    let mut said = Vec::new();
    soon("end of the connection", dashboard.stream().read_to_end(&mut said)).await.unwrap();
    let (mut rest, mut opcodes) = (said.as_slice(), Vec::new());
    while let [first, length, ..] = rest {
        opcodes.push(first & 0x0f);
        rest = &rest[2 + usize::from(*length)..];
    }
    assert!(opcodes.iter().filter(|opcode| **opcode == 0xa).count() >= 20, "{opcodes:?}");
    assert_eq!(opcodes.iter().position(|opcode| *opcode == 0x8), Some(opcodes.len() - 1), "{opcodes:?}");
    world.finish().await;
}

/// Goal: a message that never ends is read no longer than a message may be long. Method: empty fragments without end, by hand.
#[tokio::test]
async fn fragments_without_end_are_cut() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::start().await;
    let mut dashboard = world.dashboard("").await;
    // A text frame that goes on, then continuations of no bytes; the mask is zero.
    let mut fragments = vec![0x01, 0x80, 0, 0, 0, 0];
    fragments.extend([0x00, 0x80, 0, 0, 0, 0].repeat(1_000));
    let flood = async {
        while dashboard.stream().write_all(&fragments).await.is_ok() {
            fragments.splice(..6, []);
            fragments.extend([0x00, 0x80, 0, 0, 0, 0]);
        }
    };
    soon("end of the connection", flood).await;
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: connections are bounded in all and by address; those that are there go on, and one that ends makes room. Method:
/// connections beyond each bound, which are closed without a word.
#[tokio::test]
async fn connections_have_bounds() {
    let by_address = ClientLimits { address_connections_max: 2, limit_loopback: true, ..ClientLimits::default() };
    let in_all = ClientLimits { connections_max: 2, ..ClientLimits::default() };
    for clients in [by_address, in_all] {
        let world = World::start_with(ServerConfig { clients, ..ServerConfig::default() }, Limits::default()).await;
        let (first, mut second) = (world.dashboard("").await, world.raw().await);
        assert_eq!(second.ask(LIVEZ).await.status, 200);
        assert_eq!(world.raw().await.end().await, b"");
        assert!(Dashboard::try_connect(world.server.address(), "").await.is_err());
        assert_eq!(second.ask(LIVEZ).await.status, 200);
        drop(first);
        soon("room", async {
            loop {
                let mut third = world.raw().await;
                third.write(LIVEZ).await;
                if !third.end_or_answer().await.is_empty() {
                    break;
                }
            }
        })
        .await;
        drop(second);
        world.server.stop().await;
    }
}

/// Goal: a handshake by HEAD is none, and an event stream asked for by HEAD counts like one. Method: a WebSocket's handshake by
/// HEAD; then two streams by HEAD, of which the second is beyond the rate.
#[tokio::test]
async fn head_opens_nothing_and_counts() {
    let world = behind_proxy(ClientLimits { address_handshakes_per_s: 1, ..ClientLimits::default() }).await;
    let upgrade = "HEAD /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let head = async |client: &str| from(&world, client, Method::HEAD, "/api/events/stream").await.status;
    // A pair that a busy machine took longer than a second for says nothing: another address tries again.
    let mut clients = (1..=100).map(|host| format!("203.0.113.{host}"));
    loop {
        let (client, begun) = (clients.next().expect("a pair within a second"), Instant::now());
        let mut raw = world.raw().await;
        raw.write(format!("{upgrade}x-forwarded-for: {client}\r\nconnection: close\r\n\r\n")).await;
        let answer = String::from_utf8_lossy(&raw.end().await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        let status = head(&client).await;
        if begun.elapsed() < SECOND {
            assert_eq!(status, 503);
            break;
        }
    }
    loop {
        let (client, begun) = (clients.next().expect("a pair within a second"), Instant::now());
        let statuses = (head(&client).await, head(&client).await);
        if begun.elapsed() < SECOND {
            assert_eq!(statuses, (200, 503));
            break;
        }
    }
    world.sessions(0).await;
    world.finish().await;
}

/// Goal: connections have a rate by address, and its time makes room. Method: twenty at once where two are a second's worth; those
/// beyond are closed without a word; then one after the other, until one is served.
#[tokio::test]
async fn connections_have_a_rate() {
    let clients = ClientLimits { address_connections_per_s: 2, limit_loopback: true, ..ClientLimits::default() };
    let world = World::start_with(ServerConfig { clients, ..ServerConfig::default() }, Limits::default()).await;
    let begun = Instant::now();
    let mut connections = join_all((0..20).map(|_| world.raw())).await;
    let answers = join_all(connections.iter_mut().map(|raw| async {
        raw.write(LIVEZ).await;
        raw.end_or_answer().await
    }));
    let served = answers.await.iter().filter(|answer| !answer.is_empty()).count();
    assert!((1..=allowed(2, begun)).contains(&served), "{served} in {:?}", begun.elapsed());
    soon("room", async {
        loop {
            let mut raw = world.raw().await;
            raw.write(LIVEZ).await;
            if !raw.end_or_answer().await.is_empty() {
                break;
            }
        }
    })
    .await;
    drop(connections);
    world.server.stop().await;
}
