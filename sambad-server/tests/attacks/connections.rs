//! Connections that want nothing but to be there.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::soon;
use crate::siege::{Siege, connect_from};

/// What the server is given for a head and a body here, so that the suite is short, and all connections are let in at once.
const SHORT: Duration = Duration::from_secs(3);
const TIMES: [&str; 6] = ["--header-timeout", "3s", "--body-timeout", "3s", "--address-connections-per-s", "0"];

/// Reads to the end, which is the server's doing.
async fn ended(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = soon("end of the connection", stream.read_to_end(&mut rest)).await;
    rest
}

/// Goal: connections that begin a request and do not go on cost others nothing, and do not stay. Method: 2,000 of them, half
/// silent, half with half a head; each must be closed by the server in time, without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_half_open_connections() {
    const N: usize = 2_000;
    let siege = Siege::start(&TIMES).await;
    let address = siege.address();
    siege
        .during("half open", async {
            let open = |i: usize| async move {
                let mut stream = connect_from(2, address).await.expect("the server accepts");
                if i.is_multiple_of(2) {
                    stream.write_all(b"GET /api/users HTTP/1.1\r\nhost: x\r\nx-more: ").await.expect("the server reads");
                }
                (stream, Instant::now())
            };
            let opened: Vec<_> = stream::iter(0..N).map(open).buffer_unordered(50).collect().await;
            let closed = opened.into_iter().map(|(stream, since)| async move { (ended(stream).await, since.elapsed()) });
            for (answer, after) in join_all(closed).await {
                assert_eq!(answer, b"");
                assert!(after < SHORT * 5, "{after:?}");
            }
        })
        .await;
    siege.end().await;
}

/// Goal: bytes that drip keep nothing open. Method: 500 heads and 500 bodies, one byte a second each; heads are closed without
/// an answer, bodies get 408.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_one_a_second() {
    let siege = Siege::start(&TIMES).await;
    let address = siege.address();
    siege
        .during("dripped bytes", async {
            let drip = |i: usize| async move {
                let mut stream = connect_from(3, address).await.expect("the server accepts");
                let body = i.is_multiple_of(2);
                if body {
                    let head = "POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n";
                    stream.write_all(head.as_bytes()).await.expect("the server reads");
                }
                for byte in b"GET /api" {
                    if stream.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    let mut answer = vec![0; 1 << 10];
                    if let Ok(read) = timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
                        answer.truncate(read.unwrap_or(0));
                        return (body, String::from_utf8_lossy(&answer).into_owned());
                    }
                }
                panic!("still open");
            };
            let answers = join_all((0..1_000).map(drip)).await;
            // Where a byte crosses it on the way, the answer is lost in a reset.
            assert!(answers.iter().all(|(body, answer)| answer.is_empty() || *body && answer.starts_with("HTTP/1.1 408 ")));
            assert!(answers.iter().filter(|(_, answer)| !answer.is_empty()).count() > 250);
        })
        .await;
    siege.end().await;
}

/// Goal: an address that opens WebSockets as fast as it can gets its rate and no more. Method: 10,000 handshakes over 10
/// connections; the numbers of both answers, and that those refused are told when to come back.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_handshakes_from_one_address() {
    const N: usize = 10_000;
    const WORKERS: usize = 10;
    const RATE: u32 = 100;
    let siege = Siege::start(&["--address-handshakes-per-s", "100"]).await;
    let address = siege.address();
    let begun = Instant::now();
    let counts = siege.during("handshakes", async {
        let workers = (0..WORKERS).map(|_| async move {
            let (mut upgraded, mut refused, mut stream) = (0_usize, 0_usize, None);
            while upgraded + refused < N / WORKERS {
                let mut open = match stream.take() {
                    Some(open) => open,
                    None => connect_from(4, address).await.expect("the server accepts"),
                };
                let answer = handshake(&mut open).await;
                if answer.starts_with("HTTP/1.1 101 ") {
                    upgraded += 1;
                } else {
                    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
                    refused += 1;
                    stream = Some(open);
                }
            }
            (upgraded, refused)
        });
        join_all(workers).await
    });
    let counts = counts.await;
    let (upgraded, refused) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    println!("{upgraded} upgraded, {refused} refused in {:?}", begun.elapsed());
    let allowed = f64::from(RATE) * (begun.elapsed().as_secs_f64() + 1.0);
    assert!(upgraded + refused == N && upgraded as f64 <= allowed, "{upgraded} upgraded, {allowed} allowed");
    siege.end().await;
}

/// Asks for `/ws`; gives the head of the answer, and what of its body came with it.
async fn handshake(stream: &mut TcpStream) -> String {
    let request = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = vec![0; 4 << 10];
    let (mut read, mut length) = (0, 0);
    loop {
        let text = String::from_utf8_lossy(&answer[..read]);
        if let Some(head) = text.find("\r\n\r\n") {
            let announced = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            length = announced.and_then(|text| text.parse().ok()).unwrap_or(length);
            if read >= head + 4 + length {
                return text.into_owned();
            }
        }
        let more = soon("answer", stream.read(&mut answer[read..])).await.expect("the server answers");
        assert!(more > 0, "the server hung up");
        read += more;
    }
}

/// Goal: a flood of headers is refused for what it is. Method: 10,000 fields, and one field of a megabyte, 100 times each.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers() {
    let siege = Siege::start(&[]).await;
    let address = siege.address();
    let many: String = (0..10_000).map(|i| format!("x-{i}: y\r\n")).collect();
    let few_bytes: String = (0..150).map(|i| format!("x{i}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(1 << 20));
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(1 << 20));
    siege
        .during("header floods", async {
            for flood in [&many, &few_bytes, &long] {
                let ask = |_| flooded(address, format!("GET /livez HTTP/1.1\r\nhost: x\r\n{flood}\r\n"));
                for answer in join_all((0..100).map(ask)).await {
                    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
                }
                // Once without others, where the answer is not lost in a reset.
                sleep(Duration::from_millis(50)).await;
            }
            let answer = flooded(address, long_path).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "), "{answer}");
            let answer = flooded(address, format!("GET /livez HTTP/1.1\r\nhost: x\r\n{few_bytes}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        })
        .await;
    siege.end().await;
}

/// Sends `request` as far as the server takes it; what the server says before it hangs up.
async fn flooded(address: std::net::SocketAddr, request: String) -> String {
    let stream = connect_from(5, address).await.expect("the server accepts");
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        let _ = write.write_all(request.as_bytes()).await;
    };
    let mut answer = Vec::new();
    let reading = async {
        let _ = soon("end of the connection", read.read_to_end(&mut answer)).await;
    };
    tokio::join!(writing, reading);
    String::from_utf8_lossy(&answer).into_owned()
}
