//! Connections that are cut: sessions come back by their cursors and miss nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sambad_server::testing::TestServer;

use crate::harness::run;
use crate::proxy::{Fate, Proxy, Script};

/// Cuts of open sessions, at most; after that they stay.
const CUTS: u64 = 12;

/// Goal: a cut link costs nothing but a reconnect, and each is counted. Method: dashboards and app sessions are cut by turns
/// between and within their events, also in the first frame of an attempt to come back.
#[tokio::test(flavor = "multi_thread")]
async fn cut_sessions_resume() {
    let server = TestServer::start().await;
    let cuts = Arc::new(AtomicU64::new(0));
    let (of_script, mut refused) = (Arc::clone(&cuts), 0);
    let script = Script::frames(move |frame| {
        // Before `connected` a session is not open: no cut, but an attempt that fails.
        if frame.nth == 0 && frame.session % 3 == 2 && refused < 4 {
            refused += 1;
            return if refused % 2 == 0 { Fate::CutBefore } else { Fate::CutWithin };
        }
        if frame.nth != 7 || of_script.load(Ordering::Relaxed) == CUTS {
            return Fate::Pass;
        }
        let cuts = of_script.fetch_add(1, Ordering::Relaxed);
        if cuts % 3 == 0 { Fate::CutBefore } else { Fate::CutWithin }
    });
    let proxy = Proxy::start(server.address(), script).await;
    let options = "--users 10 --dashboards 2 --app-sessions 2 --mix message=1 --rate 100 --duration 2s";
    let ran = run(&format!("--target {} {options}", proxy.url)).await;
    ran.is_sound();
    assert_eq!(cuts.load(Ordering::Relaxed), CUTS);
    assert_eq!((ran.number("/counts/reconnects"), ran.number("/counts/sessions")), (CUTS, 4));
    assert_eq!(ran.latency("reconnect", "count"), CUTS);
    // Replays repeat nothing: as many as if nothing had happened, to both dashboards and to the apps of users 0 and 1.
    assert_eq!(ran.number("/counts/deliveries"), ran.number("/audit/checked"));
    assert!(ran.number("/counts/deliveries") >= 2 * 200);
}
