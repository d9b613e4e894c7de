//! Bodies that are to cost the server more than the client.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::harness::soon;
use crate::siege::{Siege, connect_from};

const LOGIN: &str = "/api/users/login";
const SYNC: &str = "/api/sync-contacts";

/// Posts `body` with a connection of its own; the status, when there is an answer before the connection breaks.
async fn post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Option<u16> {
    let stream = connect_from(6, address).await.expect("the server accepts");
    let (mut read, mut write) = stream.into_split();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}\r\n");
    let writing = async {
        let _ = write.write_all(head.as_bytes()).await;
        let _ = write.write_all(body).await;
    };
    let mut answer = Vec::new();
    let reading = async {
        let _ = soon("end of the connection", read.read_to_end(&mut answer)).await;
    };
    tokio::join!(writing, reading);
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|status| status.parse().ok())
}

/// Posts the same body `n` times, three at a time: every answer that arrives must be `expected`, and one must arrive.
async fn repeat(address: SocketAddr, n: usize, path: &str, headers: &str, body: &[u8], expected: u16) {
    let answers = stream::iter(0..n).map(|_| post(address, path, headers, body)).buffer_unordered(3);
    let statuses: Vec<_> = answers.filter_map(|status| async move { status }).collect().await;
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == expected), "{path} {headers}: {statuses:?}");
}

fn length(body: &[u8]) -> String {
    format!("content-length: {}\r\n", body.len())
}

/// Goal: JSON that is huge, deep or strange is refused at the price of reading it. Method: bodies at the bound and far beyond,
/// announced and in chunks; brackets by the ten thousand, in the open and in fields that nobody reads.
#[tokio::test(flavor = "multi_thread")]
async fn huge_and_deep_json() {
    let siege = Siege::start(&[]).await;
    let address = siege.address();
    let open = "[".repeat(60_000).into_bytes();
    let closed = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)).into_bytes();
    let ignored = format!(r#"{{"phone":"+919000000001","x":{}1{}}}"#, r#"{"a":"#.repeat(8_000), "}".repeat(8_000)).into_bytes();
    let digits = format!(r#"{{"phone":{}}}"#, "9".repeat(60_000)).into_bytes();
    let text = format!(r#"{{"phone":"{}"}}"#, "\\u0000".repeat(10_000)).into_bytes();
    let keys: String = (0..5_000).map(|i| format!(r#""k{i}":1,"#)).collect();
    let keys = format!("{{{keys}\"phone\":1}}").into_bytes();
    let megabytes = vec![b' '; 8 << 20];
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let chunks = chunk.repeat(64);
    siege
        .during("JSON", async {
            for body in [&open, &closed, &ignored, &digits, &text, &keys] {
                repeat(address, 40, LOGIN, &length(body), body, 400).await;
            }
            repeat(address, 20, LOGIN, &length(&megabytes), &megabytes, 413).await;
            repeat(address, 20, LOGIN, "content-length: 999999999999\r\n", b"", 413).await;
            repeat(address, 20, LOGIN, "transfer-encoding: chunked\r\n", &chunks, 413).await;
        })
        .await;
    siege.end().await;
}

/// Goal: an address book without end costs no more than a book of the contract's size. Method: a million elements within the
/// bytes of a generous operator, as many as fit an ordinary server, and a million beyond them.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_contacts() {
    let book = |element: &str, n: usize| format!(r#"{{"contacts":[{}]}}"#, vec![element; n].join(",")).into_bytes();
    let million = book("{}", 1_000_000);
    let phones = book(r#"{"phone":"+919876543210"}"#, 1_000_000);
    for (args, status) in [(&[][..], 413), (&["--address-book-bytes-max", "8388608"], 400)] {
        let siege = Siege::start(args).await;
        let address = siege.address();
        let fitting = book("{}", 340_000);
        siege
            .during("contacts", async {
                repeat(address, 16, SYNC, &length(&million), &million, status).await;
                repeat(address, 16, SYNC, &length(&phones), &phones, 413).await;
                repeat(address, 16, SYNC, &length(&fitting), &fitting, 400).await;
            })
            .await;
        siege.end().await;
    }
}

/// Goal: nothing is unpacked. Method: a bomb in every coding there is, and in one there is not; the plain one alone is read.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_bombs() {
    let siege = Siege::start(&[]).await;
    let address = siege.address();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packer, &vec![b' '; 50 << 20]).expect("memory takes it");
    let bomb = packer.finish().expect("memory takes it");
    siege
        .during("compressed bodies", async {
            for coding in ["gzip", "br", "deflate", "zstd", "x-gzip", "identity, gzip", "none", "GZIP"] {
                let headers = format!("content-encoding: {coding}\r\n{}", length(&bomb));
                repeat(address, 20, LOGIN, &headers, &bomb, 415).await;
            }
            // In the transfer it is no better.
            let headers = "transfer-encoding: gzip, chunked\r\n";
            let chunk = b"2\r\n{}\r\n0\r\n\r\n";
            let status = post(address, LOGIN, headers, chunk).await;
            assert!(status.is_none_or(|status| (400..=501).contains(&status)), "{status:?}");
            let body = br#"{"phone":"+919000000002"}"#;
            repeat(address, 2, LOGIN, &format!("content-encoding: identity\r\n{}", length(body)), body, 200).await;
        })
        .await;
    siege.end().await;
}

/// Goal: bodies that are announced and do not come keep nobody from writing. Method: 1,000 connections that announce as much as
/// there may be, far more together than the server takes at a time, and send nothing; the client writes on.
#[tokio::test(flavor = "multi_thread")]
async fn announced_bodies() {
    let siege = Siege::start(&["--body-timeout", "3s"]).await;
    let address = siege.address();
    siege
        .during("announced bodies", async {
            let announce = |i: u64| async move {
                // Not all at once, or the kernel refuses some before the server sees them.
                sleep(Duration::from_millis(i)).await;
                let (path, bytes) = if i.is_multiple_of(2) { (SYNC, 1 << 20) } else { (LOGIN, 64 << 10) };
                post(address, path, &format!("content-length: {bytes}\r\n"), b"{").await
            };
            let statuses = join_all((0..1_000).map(announce)).await;
            let others: Vec<_> = statuses.into_iter().filter(|status| *status != Some(408)).collect();
            assert!(others.is_empty(), "{} {:?}", others.len(), others.first());
        })
        .await;
    siege.end().await;
}
