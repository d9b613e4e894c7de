//! A load generator that cannot keep its plan says so.

use std::time::Duration;

use rustix::process::Signal;
use sambad_server::testing::TestServer;

use crate::harness::{Bench, Log};

/// Goal: figures of a generator that was held back are not passed off as the server's. Method: the program is stopped and
/// continued three times under load.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_back_generator_is_invalid() {
    let server = TestServer::start().await;
    let bench = Bench::start(&format!("--target {} --users 100 --dashboards 2 --rate 100 --duration 2s", server.url()));
    let mut log = Log::of(server.url());
    for _ in 0..3 {
        log.has(20).await;
        bench.signal(Signal::STOP);
        // So long it is held back: 20 operations become due.
        tokio::time::sleep(Duration::from_millis(200)).await;
        bench.signal(Signal::CONT);
    }
    let ran = bench.end().await;
    assert_eq!((ran.code, ran.number("/judgement/exit_code")), (4, 4), "{ran:?}");
    ran.audit_is([0, 0, 0, 0]);
    assert!(ran.number("/generator/late_sends") >= 40, "{ran:?}");
    assert!(ran.latency("lateness", "max_us") > 100_000, "{ran:?}");
    let reason = ran.report["judgement"]["reasons"][0].as_str().unwrap();
    assert!(reason.contains("the generator fell behind"), "{reason}");
    assert!(ran.stdout.contains("the generator fell behind"), "{}", ran.stdout);
    // What it kept waiting counts all the same.
    assert!(ran.latency("response", "max_us") > 100_000, "{ran:?}");
}
