//! `watch --transport`: how events travel, and what is said of it.

use sambad_server::testing::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{ASHA, RAVI, Watch, run, user};

/// Passes connections on to `server`, but for those that begin with a request for one of `paths`: they are answered with
/// `answer`. Gives the address.
async fn meddler(server: &str, paths: &'static [&'static str], answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let text = String::from_utf8_lossy(&head);
                if paths.iter().any(|path| text.starts_with(&format!("GET {path}"))) {
                    return client.write_all(answer.as_bytes()).await;
                }
                let mut upstream = TcpStream::connect(server).await?;
                upstream.write_all(&head).await?;
                copy_bidirectional(&mut client, &mut upstream).await.map(drop)
            });
        }
    });
    url
}

const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Goal: each transport shows every event, and is named unless it is the usual one. Method: replay and live by each.
#[tokio::test]
async fn each_transport_shows_everything() {
    let server = TestServer::start().await;
    user(server.url(), ASHA).await;
    for (index, (transport, by)) in
        [("auto", ""), ("ws", ""), ("sse", " over sse"), ("poll", " over poll")].into_iter().enumerate()
    {
        let args = ["--transport", transport, "--after", "0", "--format", "{seq}", "--verify"];
        let mut watch = Watch::spawn(server.url(), &args);
        let live = watch.says("live at").await;
        assert!(live.starts_with(&format!("live at {}{by}, after ", server.url())), "{live}");
        user(server.url(), &format!("+9190000000{index:02}")).await;
        for seq in 1..index + 3 {
            assert_eq!(watch.line().await, seq.to_string(), "{transport}");
        }
        watch.signal("-INT");
        assert_eq!(watch.end().await.code, 0, "{transport}");
    }
}

/// Goal: where upgrades, or streams as well, are denied, it says so and goes on by what is left. Method: a proxy that forbids.
#[tokio::test]
async fn falls_back_and_says_so() {
    let server = TestServer::start().await;
    for (paths, by, phone) in [(&["/ws"][..], "sse", ASHA), (&["/ws", "/api/events/stream"], "poll", RAVI)] {
        let url = meddler(server.url(), paths, FORBIDDEN).await;
        let mut watch = Watch::spawn(&url, &["--format", "{type}", "-n", "1"]);
        assert_eq!(
            watch.says("failed, trying the next transport").await,
            "ws failed, trying the next transport: forbidden (403)"
        );
        let live = watch.says("live at").await;
        assert!(live.starts_with(&format!("live at {url} over {by}, after ")), "{live}");
        user(server.url(), phone).await;
        assert_eq!(watch.line().await, "user_created");
        assert_eq!(watch.end().await.code, 0);
    }
}

/// Goal: an address where nothing is to be had is a failure, not a wait. Method: a server of something else, by each transport.
#[tokio::test]
async fn gives_up_where_nothing_gets_through() {
    const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = TestServer::start().await;
    let url = meddler(server.url(), &["/"], NOT_FOUND).await;
    for transport in ["auto", "ws", "sse", "poll"] {
        run(&url, &["watch", "--transport", transport]).await.failed(1, "error: not found (404)");
    }
    run(&url, &["watch", "--transport", "pigeon"]).await.failed(2, "[possible values: auto, ws, sse, poll]");
}
