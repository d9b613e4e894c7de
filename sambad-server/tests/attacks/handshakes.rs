//! Handshakes of TLS, which cost the server a signature and the client nothing.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::ClientConnection;

use crate::harness::soon;
use crate::siege::{Siege, connect_from};

/// The first message of a client, which can be sent again and again.
fn hello(siege: &Siege) -> Vec<u8> {
    let client = siege.certificate().client("http/1.1");
    let mut connection = ClientConnection::new(client, siege.address().ip().into()).expect("an address is a name");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("memory takes every byte");
    hello
}

/// Begins `n` handshakes, a hundred at a time, and leaves each once the server has done its part; how many it did.
async fn flood(siege: &Siege, n: usize) -> usize {
    let (hello, address) = (&hello(siege), siege.address());
    let begin = |_| async move {
        let Ok(mut stream) = connect_from(8, address).await else { return false };
        // Closed at once, or served: both are seen by reading.
        let _ = stream.write_all(hello).await;
        let mut answer = vec![0; 4 << 10];
        soon("answer, or the end", stream.read(&mut answer)).await.is_ok_and(|read| read > 100)
    };
    stream::iter(0..n).map(begin).buffer_unordered(100).filter(|done| std::future::ready(*done)).count().await
}

/// Goal: a flood of handshakes leaves the server to those it serves, whether or not it is bounded by address; where it is, an
/// address gets its rate and no more. Method: one hello, 4,000 times, without a bound; then with one.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes() {
    const N: usize = 4_000;
    const RATE: u32 = 100;
    let siege = Siege::start_secure(&["--address-connections-per-s", "0"]).await;
    assert_eq!(siege.during("handshakes without a bound", flood(&siege, N)).await, N);
    siege.end().await;
    let siege = Siege::start_secure(&["--address-connections-per-s", "100"]).await;
    let (begun, done) = (Instant::now(), siege.during("handshakes with a bound", flood(&siege, N)).await);
    let allowed = f64::from(RATE) * (begun.elapsed().as_secs_f64() + 1.0);
    println!("{done} of {N} handshakes in {:?}", begun.elapsed());
    assert!(done >= RATE as usize && done as f64 <= allowed, "{done} done, {allowed} allowed");
    siege.end().await;
}
