//! `doctor`: what it says of a good way to a server, and of bad ones.

use std::time::Duration;

use sambad_client::Client;
use sambad_server::testing::TestServer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Ran, SOON, Watch, command, contact, finish, run, user};
use crate::middlebox::{Habit, middlebox};

/// Runs it on a way with a habit.
async fn through(habit: Habit, args: &[&str]) -> Ran {
    let server = TestServer::start().await;
    let url = middlebox(server.url(), habit).await;
    run(&url, &[&["doctor"], args].concat()).await
}

/// Checks that the subjects that are not fine are these, in this order, and gives their lines with the advice.
#[track_caller]
fn complaints(ran: &Ran, code: i32, expected: &[(&str, &str)]) -> String {
    let bad = |line: &&str| line.starts_with("FAULT") || line.starts_with("warn") || line.starts_with(' ');
    let lines: Vec<&str> = ran.stdout.lines().filter(bad).collect();
    let heads: Vec<&str> = lines.iter().filter(|line| !line.starts_with(' ')).copied().collect();
    assert_eq!((ran.code, heads.len()), (code, expected.len()), "{}{}", ran.stdout, ran.stderr);
    for (head, (subject, detail)) in heads.iter().zip(expected) {
        assert!(head[6..].starts_with(subject) && head.contains(detail), "expected {subject}: {detail}\n{}", ran.stdout);
    }
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    lines.join("\n")
}

/// Goal: nothing is said against a good server, also one in use and behind a good proxy. Method: both, with a short hold.
#[tokio::test]
async fn a_good_way_is_fine() {
    let server = TestServer::start().await;
    contact(server.url()).await;
    for url in [server.url().to_owned(), middlebox(server.url(), Habit::None).await] {
        let told = run(&url, &["doctor", "--hold", "1s"]).await.ok();
        let subjects: Vec<&str> =
            told.lines().filter_map(|line| line.strip_prefix("ok    ")).map(|line| line[..24].trim()).collect();
        let expected = [
            "name",
            "TCP connection",
            "server",
            "readiness",
            "access",
            "WebSocket",
            "pings",
            "protocol ping",
            "event stream",
            "long poll",
            "quiet WebSocket",
            "quiet event stream",
            "clock",
        ];
        assert_eq!(subjects, expected, "{told}");
        assert!(told.contains("head 3") && told.ends_with("\nno problems found\n"), "{told}");
    }
}

/// Goal: programs can read it, and what was left out is not there. Method: as JSON, with nothing held.
#[tokio::test]
async fn json_has_what_was_measured() {
    let server = TestServer::start().await;
    let told = run(server.url(), &["doctor", "--hold", "0s", "--json"]).await.ok();
    let findings: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |subject: &str| findings.iter().find(|finding| finding["subject"] == subject);
    assert!(findings.iter().all(|finding| finding["severity"] == "fine" && finding["advice"] == ""), "{told}");
    for (subject, fact) in [
        ("TCP connection", "connect_ms"),
        ("server", "answer_ms"),
        ("pings", "median_ms"),
        ("clock", "uncertainty_ms"),
        ("long poll", "answer_ms"),
    ] {
        assert!(find(subject).unwrap()[fact].as_f64().is_some(), "{subject} {fact}: {told}");
    }
    assert!(find("long poll").unwrap()["answer_ms"].as_f64() >= Some(1800.0), "{told}");
    assert_eq!((findings.len(), find("quiet WebSocket")), (11, None), "{told}");
}

/// Goal: where nobody is, it says so and stops. Method: the port of a server that has ended; a name that cannot exist.
#[tokio::test]
async fn nobody_is_there() {
    let server = TestServer::start().await;
    let url = server.url().to_owned();
    server.stop().await;
    let ran = run(&url, &["doctor"]).await;
    let told = complaints(&ran, 1, &[("TCP connection", "refused")]);
    assert!(told.contains("start the server") && ran.stdout.ends_with("\n1 fault\n"), "{ran:?}");
    let ran = run("http://nobody.invalid:1", &["doctor"]).await;
    complaints(&ran, 1, &[("name", "nobody.invalid")]);
}

/// Goal: something else than Sambad is named as such. Method: what such things say, and one that says nothing.
#[tokio::test]
async fn something_else_is_there() {
    for (answer, detail) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<p>hi</p>", "not a Sambad server: GET /api/health"),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "not a Sambad server: GET /api/health: not found (404)",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"status\":\"ok\"}",
            "not a Sambad server: its health is {\"status\":\"ok\"}",
        ),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "cannot reach the server behind it"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "no HTTP response"),
        ("", "no response within 300.0 ms"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut client, _)) = listener.accept().await {
                // The first connection only sees whether somebody is there.
                if client.read(&mut [0; 4096]).await.unwrap() > 0 {
                    client.write_all(answer.as_bytes()).await.unwrap();
                    open.push(client);
                }
            }
        });
        // Whom nobody answers waits to the end.
        let ran = run(&url, &["doctor", "--timeout", if answer.is_empty() { "300ms" } else { "10s" }]).await;
        complaints(&ran, 1, &[("server", detail)]);
        serve.abort();
    }
}

/// Goal: a server whose log lies ahead of its clock is a fault, with what to do. Method: one that says so, and nothing else.
#[tokio::test]
async fn a_log_of_the_future_is_told() {
    let health = r#"{"status":"healthy","database":"connected","head":7,"writable":true,"log_ahead_s":93600}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{health}", health.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            if client.read(&mut [0; 4096]).await.unwrap() > 0 {
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let ran = run(&url, &["doctor", "--hold", "0", "--timeout", "2s"]).await;
    let line = ran.stdout.lines().find(|line| line.starts_with("FAULT server")).unwrap_or_else(|| panic!("{ran:?}"));
    assert!(line.contains("its last event is ") && line.contains(" ahead of its clock"), "{line}");
    assert!(ran.code == 1 && ran.stdout.contains("`sambad-server check`"), "{ran:?}");
    serve.abort();
}

/// Goal: a proxy that loses the upgrade is found, and the rest is still examined. Method: one that does, and one that forbids it.
#[tokio::test]
async fn upgrades_do_not_pass() {
    let ran = through(Habit::StripsUpgrades, &["--hold", "100ms"]).await;
    let told = complaints(
        &ran,
        1,
        &[("WebSocket", "the Upgrade and Connection headers did not reach the server: lost on the path (426")],
    );
    assert!(
        told.contains("proxy_set_header Upgrade $http_upgrade") && told.contains("HAProxy") && told.contains("Caddy"),
        "{told}"
    );
    assert!(ran.stdout.contains("ok    quiet event stream") && !ran.stdout.contains("quiet WebSocket"), "{ran:?}");

    const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nServer: guard/1.0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const LOST: &str = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    let answers = |answer| through(Habit::Answers(answer), &["--hold", "0"]);
    let (forbidden, lost, cut) = tokio::join!(answers(FORBIDDEN), answers(LOST), answers(""));
    complaints(&forbidden, 1, &[("WebSocket", "the response to the upgrade from guard/1.0 is 403 Forbidden")]);
    complaints(&lost, 1, &[("WebSocket", "has lost its Upgrade or Connection header on the path")]);
    complaints(&cut, 1, &[("WebSocket", "the connection was cut without a response to the upgrade")]);
}

/// Goal: a proxy's idle timeout shows, with when it struck, also while others write. Method: 1 s, far below the heartbeat, and
/// a user who joins again and again; told to people, and as JSON.
#[tokio::test]
async fn quiet_connections_are_cut() {
    let server = TestServer::start().await;
    let url = middlebox(server.url(), Habit::CutsQuiet(Duration::from_secs(1))).await;
    let others = async {
        for number in 0.. {
            user(server.url(), &format!("+91{}", 9_000_000_000_u64 + number)).await;
        }
    };
    let both = async { tokio::join!(run(&url, &["doctor", "--hold", "15s"]), run(&url, &["doctor", "--hold", "15s", "--json"])) };
    let (told, json) = tokio::select! {
        ran = both => ran,
        () = others => unreachable!("numbers do not end"),
    };
    let expected = [
        ("long poll", "cut after "),
        ("quiet WebSocket", "cut without a close frame after "),
        ("quiet event stream", "cut in the middle of the response after "),
    ];
    let text = complaints(&told, 1, &expected);
    assert!(text.contains("HAProxy  timeout tunnel") && text.contains("resume from their cursor"), "{text}");
    assert!(text.contains(", before the first heartbeat (every 25.0 s)"), "{text}");
    assert!(text.ends_with(" see above") && told.stdout.ends_with("\n3 faults\n"), "{told:?}");
    let lasted = json.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["lasted_ms"].as_f64());
    let lasted: Vec<f64> = lasted.collect();
    // The proxy's clock starts with the last byte it passed, a little before ours.
    assert!(lasted.len() == 2 && lasted.iter().all(|ms| (700.0..10_000.0).contains(ms)), "{json:?}");
}

/// Goal: a connection that something forgot is no good one, though nobody ended it. Method: a proxy that forgets after 1 s.
#[tokio::test]
async fn quiet_connections_are_forgotten() {
    let habit = Habit::ForgetsQuiet(Duration::from_secs(1));
    let ran = through(habit, &["--hold", "2s", "--timeout", "2s"]).await;
    let told =
        complaints(&ran, 1, &[("long poll", "no response within 4.0 s"), ("quiet WebSocket", "no pong for a ping after ")]);
    assert!(told.contains("notified neither end"), "{told}");
}

/// Goal: buffering is told from blocking, also where it only delays. Method: proxies that hold back an event stream, its
/// messages, or both for a while.
#[tokio::test]
async fn streams_are_held_back() {
    let short = ["--hold", "100ms", "--timeout", "1s"];
    let (whole, messages, late) = tokio::join!(
        through(Habit::HoldsStreamsBack, &short),
        through(Habit::HoldsMessagesBack, &short),
        through(Habit::DelaysStreams(Duration::from_millis(1500)), &["--hold", "0"]),
    );
    let told = complaints(&whole, 1, &[("event stream", "no response within 1.0 s, although other responses arrive")]);
    assert!(told.contains("proxy_buffering off") && told.contains("X-Accel-Buffering"), "{told}");
    assert!(whole.stdout.contains("ok    quiet WebSocket") && !whole.stdout.contains("quiet event stream"), "{whole:?}");
    complaints(&messages, 1, &[("event stream", "but no first message within 1.0 s: buffered")]);
    let told = complaints(&late, 0, &[("event stream", "buffered on the path")]);
    assert!(told.contains("first message after ") && told.contains("flush_interval -1"), "{told}");
}

/// Goal: frames that do not reach the server are noticed although the upgrade passed. Method: a proxy that swallows them.
#[tokio::test]
async fn frames_are_swallowed() {
    let ran = through(Habit::SwallowsFrames, &["--hold", "100ms", "--timeout", "2s"]).await;
    complaints(&ran, 1, &[("pings", "ping 1 of 10: silent for ")]);
    assert!(ran.stdout.contains("ok    quiet event stream") && !ran.stdout.contains("quiet WebSocket"), "{ran:?}");
}

/// Goal: requests that go another way than WebSockets are told. Method: a proxy in the environment, which is used.
#[tokio::test]
async fn a_proxy_of_the_environment_is_told() {
    let server = TestServer::start().await;
    let proxy = middlebox(server.url(), Habit::None).await;
    let mut doctor = command(server.url(), &["doctor", "--hold", "0"]);
    doctor.env("http_proxy", proxy);
    complaints(&finish(doctor).await, 0, &[("HTTP proxy", "http_proxy is set")]);
}

/// Goal: a clock that differs is a warning, not a failure. Method: a proxy that puts the server's times a century ahead.
#[tokio::test]
async fn clocks_differ() {
    let ran = through(Habit::ChangesTimes, &["--hold", "0"]).await;
    let told = complaints(&ran, 0, &[("clock", " ahead of this machine's, ± ")]);
    assert!(told.contains("watch --latency") && ran.stdout.ends_with("\nno faults, 1 warning\n"), "{ran:?}");
}

/// Goal: a server that goes during the hold is no fault of the way. Method: stop it once both connections are held.
#[tokio::test]
async fn the_server_goes_meanwhile() {
    let server = TestServer::start().await;
    let mut doctor = Watch::command(server.url(), &["doctor", "--hold", "15s"]);
    while !doctor.line().await.contains("long poll") {}
    let client = Client::new(server.url()).unwrap();
    let both = async {
        loop {
            let health: Value = serde_json::from_str(client.health().await.unwrap().json.get()).unwrap();
            if health["sessions"] == 2 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, both).await.expect("it holds two connections");
    server.stop().await;
    let ran = doctor.end().await;
    complaints(&ran, 0, &[("quiet WebSocket", "closed with 4000 drain"), ("quiet event stream", "drained by the server")]);
}
