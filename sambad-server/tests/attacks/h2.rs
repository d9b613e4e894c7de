//! Clients of HTTP/2 that ask and do not take.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::harness::h2::{ACK, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, RawH2};
use crate::siege::{Siege, connect_from};

/// How long the server has patience with a client that takes nothing.
const STALL: Duration = Duration::from_secs(30);
const STREAMS: u32 = 100;

/// A connection whose streams let `window` bytes through.
async fn begin(siege: &Siege, window: u32) -> RawH2 {
    let stream = connect_from(7, siege.address()).await.expect("the server accepts");
    RawH2::begin(stream, siege.certificate(), window).await
}

/// Goal: answers that nobody takes cost no memory to speak of, and do not stay. Method: eight connections with a hundred streams
/// each, windows of no byte and of ten, pings answered; a file that lies packed in the binary, and a page of users; all must be
/// ended by the server, not before its time.
#[tokio::test(flavor = "multi_thread")]
async fn windows_that_stay_closed() {
    let siege = Siege::start_secure(&[]).await;
    for i in 0..100 {
        siege.login(&format!("+9198765{i:05}")).await;
    }
    siege
        .during("closed windows", async {
            let attack = |(window, path): (u32, &'static str)| {
                let siege = &siege;
                async move {
                    let mut raw = begin(siege, window).await;
                    for i in 0..STREAMS {
                        raw.get(1 + 2 * i, path).await;
                    }
                    let (begun, mut heads) = (Instant::now(), 0);
                    while let Some(frame) = raw.frame().await {
                        heads += u32::from(frame.kind == HEADERS);
                    }
                    (heads, begun.elapsed())
                }
            };
            let kinds = [(0, "/docs/swagger-ui.js"), (10, "/docs/swagger-ui.js"), (0, "/api/users"), (10, "/api/users")];
            let ended = timeout(STALL * 2, join_all(kinds.into_iter().chain(kinds).map(attack))).await;
            for (heads, after) in ended.expect("the server ends them") {
                assert!(heads == STREAMS && after > STALL / 2 && after < STALL * 3 / 2, "{heads} answers, {after:?}");
            }
        })
        .await;
    siege.end().await;
}

/// Goal: requests that are let go of as soon as they are made do not keep the server busy: whoever goes on so is sent away.
/// Method: connections that open and reset streams, a hundred at a time, until they are ended; the server must say why.
#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets() {
    let siege = Siege::start_secure(&[]).await;
    siege
        .during("rapid resets", async {
            let attack = |_| async {
                let mut raw = begin(&siege, 1 << 16).await;
                for batch in 0..200 {
                    raw.get_and_reset((0..STREAMS).map(|i| 1 + 2 * (batch * STREAMS + i)), "/api/users").await;
                }
                let mut reason = None;
                while let Some(frame) = raw.frame().await {
                    if frame.kind == GOAWAY {
                        reason = frame.payload.get(4..8).map(<[u8]>::to_vec);
                    }
                }
                reason
            };
            let reasons = timeout(STALL, join_all((0..20).map(attack))).await.expect("the server ends them");
            // Where frames cross it on the way, the word is lost in a reset.
            assert!(reasons.iter().flatten().all(|reason| *reason == ENHANCE_YOUR_CALM.to_be_bytes()), "{reasons:?}");
            println!("{} of 20 were told why", reasons.iter().flatten().count());
        })
        .await;
    siege.end().await;
}

/// Goal: nobody fills the disk by making a library complain. Method: acknowledgements of pings that were never sent, 20,000 on
/// each of four connections, each of which the h2 crate would warn of; with the default filter, and with one that lets it.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_pings_that_were_never_sent() {
    for (filter, foreign) in [(&[][..], false), (&["--log", "info"], true)] {
        let siege = Siege::start_secure(filter).await;
        siege
            .during("unsolicited acknowledgements", async {
                let attack = |_| async {
                    let mut raw = begin(&siege, 1 << 16).await;
                    for _ in 0..20_000 {
                        raw.send(PING, ACK, 0, &[7; 8]).await;
                    }
                    // Answered once the server has read what came before.
                    raw.get(1, "/livez").await;
                    while raw.frame().await.expect("the server answers").kind != HEADERS {}
                };
                join_all((0..4).map(attack)).await;
            })
            .await;
        let log = siege.log();
        println!("{} bytes logged with {filter:?}", log.len());
        assert_eq!(log.contains("h2::"), foreign, "{log}");
        assert!(log.len() < 256 << 10, "{} bytes", log.len());
        siege.end().await;
    }
}
