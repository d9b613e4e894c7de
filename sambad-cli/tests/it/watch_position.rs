//! `watch`: where it stands, whatever little of the log it shows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sambad_client::{Client, NewMessage, UserRef};
use sambad_core::{Limits, Retention};
use sambad_server::{config::ServerConfig, testing::TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{ASHA, SOON, Watch, run, user};

async fn message(url: &str) {
    let asha: UserRef = ASHA.parse().unwrap();
    Client::new(url).unwrap().send_message(&NewMessage::text(asha.clone(), asha, "hi")).await.unwrap();
}

async fn users(url: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        user(url, &format!("+91{}", 9_000_000_000 + number)).await;
    }
}

/// Waits until the file holds a position at `seq`.
async fn holds(file: &Path, seq: u64) {
    let end = format!("-{seq}\n");
    let moved = async {
        while !std::fs::read_to_string(file).is_ok_and(|text| text.ends_with(&end)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, moved).await.expect("the position is kept");
}

/// Goal: a watch of few events remembers where the log is, so that one that goes on much later has lost nothing. Method: a log of
/// 20 events, one message and 60 other events; the watch is killed once its file has moved, the server is restarted, more events.
#[tokio::test]
async fn a_filtered_watch_remembers_where_the_log_is() {
    let start = |directory| {
        let config = ServerConfig { heartbeat: Duration::from_millis(200), ..ServerConfig::default() };
        TestServer::start_retaining(directory, config, Limits::default(), Retention::Events(20))
    };
    for transport in ["ws", "sse"] {
        let server = start(tempfile::tempdir().unwrap()).await;
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("cursor");
        user(server.url(), ASHA).await;
        let resume = ["--resume", file.to_str().unwrap(), "--verify", "--format", "{seq}"];
        let args = [&["--type", "message_sent", "--transport", transport][..], &resume].concat();
        let mut watch = Watch::start(server.url(), &args).await;
        message(server.url()).await;
        assert_eq!(watch.line().await, "2");
        users(server.url(), 0..60).await;
        holds(&file, 62).await;
        watch.kill().await;
        let server = start(server.stop().await).await;
        users(server.url(), 60..70).await;
        message(server.url()).await;
        let ran = run(server.url(), &[&["watch", "-n", "1"], &args[..]].concat()).await;
        assert!(!ran.stderr.contains("resync"), "{transport}: {ran:?}");
        assert_eq!(ran.ok(), "73\n", "{transport}");
    }
}

/// A server that gives one page for ever, whatever it is asked; and how often it was asked.
async fn stale(page: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, asked) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<AtomicU32>::default());
    let count = Arc::clone(&asked);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}", page.len());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            client.write_all(answer.as_bytes()).await?;
        }
        std::io::Result::Ok(())
    });
    (url, asked)
}

/// Goal: a cache that gives one page for ever is asked ever less, and its event is shown once; `--verify` says what is wrong.
/// Method: such a page, until the watch has complained five times.
#[tokio::test]
async fn a_stale_page_is_shown_once() {
    const PAGE: &str = r#"{"events":[{"type":"user_created","data":{"username":"+91"},"timestamp":"2025-01-15T12:00:00Z","seq":6}],"cursor":"0000000a-6","head":6,"first":1}"#;
    let (url, asked) = stale(PAGE).await;
    let args = ["--transport", "poll", "--after", "0000000a-5", "--format", "{seq}"];
    let mut watch = Watch::spawn(&url, &args);
    for _ in 0..5 {
        assert!(watch.says("disconnected").await.contains("repeat: seq 6 arrived again, after seq 6; reconnecting in"));
    }
    watch.signal("-INT");
    assert_eq!(watch.end().await.ok(), "6\n");
    assert!(asked.load(Ordering::Relaxed) <= 2 * 6, "{asked:?}");
    let ran = run(&url, &[&["watch", "--verify"], &args[..]].concat()).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "6\n"), "{ran:?}");
    assert!(ran.stderr.contains("verification failed: repeat: seq 6 arrived again, after seq 6"), "{ran:?}");
}
