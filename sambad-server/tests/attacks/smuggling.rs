//! Requests that a proxy in front might read as another number of requests than the server does.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::soon;
use crate::siege::{Siege, connect_from};

/// A whole request in the place of a body, which must never be taken for one.
fn smuggled(phone: &str) -> String {
    let body = format!(r#"{{"phone":"{phone}"}}"#);
    format!(
        "POST /api/users/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Heads of requests whose end is disputed.
const SHAPES: &[(&str, &str)] = &[
    ("length and coding", "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("coding and length", "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
    ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
    ("lengths in a list", "content-length: 5, 6\r\n\r\nhello"),
    ("a length with a sign", "content-length: +5\r\n\r\nhello"),
    ("a length in hex", "content-length: 0x5\r\n\r\nhello"),
    ("a negative length", "content-length: -5\r\n\r\nhello"),
    ("an empty length", "content-length:\r\n\r\nhello"),
    ("a length beyond numbers", "content-length: 99999999999999999999999\r\n\r\nhello"),
    ("an unknown coding", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("a coding that is not last", "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("a coding with a blank before the colon", "transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a coding with a tab inside", "transfer-encoding: \tchu\tnked\r\n\r\n0\r\n\r\n"),
    ("a folded line", "x-a: b\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a folded coding", "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("a bare carriage return", "x-a: b\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a NUL in a name", "x\0a: b\r\n\r\n"),
    ("a NUL in a value", "x-a: b\0c\r\n\r\n"),
    ("a name without a colon", "nonsense\r\n\r\n"),
    ("a chunk with a sign", "transfer-encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n"),
    ("a chunk in words", "transfer-encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n"),
    ("a chunk beyond numbers", "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n"),
    ("a chunk without its line end", "transfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n"),
    ("a chunk ended by a line feed", "transfer-encoding: chunked\r\n\r\n1\nx\n0\n\n"),
    ("a chunk with a negative size", "transfer-encoding: chunked\r\n\r\n-1\r\n\r\n"),
];

/// Goal: of a request whose end is disputed there is one answer at most, then the connection ends: what follows is never taken
/// for a request. Method: each shape with a whole request behind it, which would make a user if it were served.
#[tokio::test(flavor = "multi_thread")]
async fn disputed_ends_close_the_connection() {
    let siege = Siege::start(&[]).await;
    let address = siege.address();
    let mut served = Vec::new();
    siege
        .during("smuggling", async {
            for (i, (shape, rest)) in SHAPES.iter().enumerate() {
                let phone = format!("+91900010{i:04}");
                let mut stream = connect_from(7, address).await.expect("the server accepts");
                let request = format!(
                    "POST /api/sync-contacts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{rest}{}",
                    smuggled(&phone)
                );
                let _ = stream.write_all(request.as_bytes()).await;
                let mut answers = Vec::new();
                let _ = soon("end of the connection", stream.read_to_end(&mut answers)).await;
                let answers = String::from_utf8_lossy(&answers).into_owned();
                let count = answers.matches("HTTP/1.1 ").count();
                if count > 1 || answers.starts_with("HTTP/1.1 2") {
                    served.push(format!("{shape}: {answers}"));
                }
            }
        })
        .await;
    assert!(served.is_empty(), "{served:#?}");
    let users = siege.server.api.get("/api/users?q=%2B91900010").await;
    assert_eq!(users.text, "[]");
    siege.end().await;
}

/// Goal: lines that end in a line feed alone are read as lines, and as one request. Method: a whole request so written, and one
/// behind it on the same connection: two requests, by anybody's rules, and two answers.
#[tokio::test(flavor = "multi_thread")]
async fn line_feeds_make_no_third_request() {
    let siege = Siege::start(&[]).await;
    let mut stream = connect_from(7, siege.address()).await.expect("the server accepts");
    let request = "GET /livez HTTP/1.1\nhost: x\n\nGET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answers = Vec::new();
    let _ = soon("end of the connection", stream.read_to_end(&mut answers)).await;
    let count = String::from_utf8_lossy(&answers).matches("HTTP/1.1 ").count();
    assert!(count <= 2, "{count}");
    siege.end().await;
}
