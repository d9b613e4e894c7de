//! The audit against a link that breaks the promises on purpose: it counts exactly what was done.

use std::sync::mpsc;

use sambad_server::testing::TestServer;

use crate::harness::{Ran, run};
use crate::proxy::{Fate, Frame, Proxy, Script};

/// A fault that a script decided on: what the audit should say of it, up to the session's name.
type Told = mpsc::Receiver<String>;

/// A script that does to some frames what `faults` says, and tells.
fn script(faults: impl Fn(&Frame<'_>) -> Option<(Fate, &'static str)> + Send + 'static) -> (Script, Told) {
    let (sender, told) = mpsc::channel();
    let script = Script::frames(move |frame| {
        let Some((fate, finding)) = faults(frame) else { return Fate::Pass };
        sender.send(format!("{finding}: seq {} ", frame.seq())).unwrap();
        fate
    });
    (script, told)
}

/// Checks that each fault is a finding, and nothing else is.
#[track_caller]
fn all_found(ran: &Ran, told: &Told) {
    let mut told: Vec<String> = told.try_iter().collect();
    let mut found = ran.findings();
    told.sort();
    found.sort_unstable();
    let same = told.len() == found.len() && told.iter().zip(&found).all(|(told, found)| found.starts_with(told));
    assert!(same, "done {told:#?}, found {found:#?}");
}

/// Goal: a sound server has a clean audit, and no delivery is left unchecked. Method: a proxy that passes everything on, and
/// counts of a load whose every operation causes an event.
#[tokio::test(flavor = "multi_thread")]
async fn a_sound_link_is_clean() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Script::honest()).await;
    let options = "--users 10 --dashboards 3 --app-sessions 10 --mix message=1 --rate 100 --duration 1s";
    let ran = run(&format!("--target {} {options}", proxy.url)).await;
    ran.is_sound();
    assert!(ran.findings().is_empty());
    for (pointer, expected) in [
        ("/counts/planned", 100),
        ("/counts/acknowledged", 100),
        ("/counts/sessions", 13),
        ("/counts/reconnects", 0),
        // Each goes to three dashboards, and to the app sessions of two users.
        ("/counts/deliveries", 500),
        ("/audit/checked", 500),
    ] {
        assert_eq!(ran.number(pointer), expected, "{pointer}");
    }
}

/// Goal: what dashboards miss, get twice or get late is counted one by one. Method: a proxy that drops 3 events, repeats 2 and
/// swaps 2 neighbours.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_dashboards_is_counted() {
    let server = TestServer::start().await;
    let (script, told) = script(|frame| match (frame.session, frame.nth) {
        (0, 20 | 21) | (1, 50) => Some((Fate::Drop, "lost")),
        (1, 30) | (2, 60) => Some((Fate::Twice, "duplicate")),
        (2, 40) => Some((Fate::AfterNext, "reordered")),
        _ => None,
    });
    let proxy = Proxy::start(server.address(), script).await;
    let ran = run(&format!("--target {} --users 100 --dashboards 3 --rate 100 --duration 1s", proxy.url)).await;
    ran.audit_is([3, 2, 1, 0]);
    all_found(&ran, &told);
    assert!(ran.findings().iter().all(|finding| finding.contains(" dashboard ")), "{:?}", ran.findings());
    assert!(ran.stdout.contains("3 lost, 2 duplicate, 1 reordered"), "{}", ran.stdout);
}

/// Goal: the same on filtered streams, whose seqs have holes of their own. Method: as above, on app sessions.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_app_sessions_is_counted() {
    let server = TestServer::start().await;
    let (script, told) = script(|frame| match (frame.is_app, frame.session, frame.nth) {
        (true, 0, 5 | 6) | (true, 2, 9) => Some((Fate::Drop, "lost")),
        (true, 1, 3) | (true, 2, 4) => Some((Fate::Twice, "duplicate")),
        (true, 3, 7) => Some((Fate::AfterNext, "reordered")),
        _ => None,
    });
    let proxy = Proxy::start(server.address(), script).await;
    let options = "--users 10 --dashboards 1 --app-sessions 4 --mix message=1 --rate 100 --duration 1s";
    let ran = run(&format!("--target {} {options}", proxy.url)).await;
    ran.audit_is([3, 2, 1, 0]);
    all_found(&ran, &told);
    assert!(ran.findings().iter().all(|finding| finding.contains(" app session ")), "{:?}", ran.findings());
}

/// Goal: an event that nobody asked for is noticed, although its seq is right. Method: a single dashboard, for which two events
/// name other phones.
#[tokio::test(flavor = "multi_thread")]
async fn an_altered_phone_is_unexplained() {
    let server = TestServer::start().await;
    let (script, told) = script(|frame| {
        let altered = || Fate::As(frame.text.replacen("\"+99", "\"+98", 1));
        [10, 30].contains(&frame.nth).then(|| (altered(), "unexplained"))
    });
    let proxy = Proxy::start(server.address(), script).await;
    let ran = run(&format!("--target {} --users 100 --dashboards 1 --rate 50 --duration 1s", proxy.url)).await;
    ran.audit_is([0, 0, 0, 2]);
    assert_eq!(told.try_iter().count(), ran.findings().len());
}

/// Goal: a byte that differs between dashboards is noticed, wherever it stands. Method: one digit of one event's id, at one of
/// so many dashboards that no thread has only one.
#[tokio::test(flavor = "multi_thread")]
async fn an_altered_byte_is_unexplained() {
    let server = TestServer::start().await;
    let (script, told) = script(|frame| {
        let altered = || {
            let at = frame.text.find("\"id\":\"").unwrap() + 6;
            let digit = if frame.text.as_bytes()[at] == b'0' { "1" } else { "0" };
            Fate::As([&frame.text[..at], digit, &frame.text[at + 1..]].concat())
        };
        (frame.session == 0 && frame.nth == 10).then(|| (altered(), "unexplained"))
    });
    let proxy = Proxy::start(server.address(), script).await;
    let dashboards = 2 * std::thread::available_parallelism().unwrap().get();
    let ran = run(&format!("--target {} --users 100 --dashboards {dashboards} --rate 50 --duration 1s", proxy.url)).await;
    // Where it came first, all others on that thread differ from it.
    let unexplained = ran.number("/audit/unexplained");
    assert!((1..dashboards as u64).contains(&unexplained), "{ran:?}");
    ran.audit_is([0, 0, 0, unexplained]);
    let told = told.recv().unwrap();
    assert!(
        ran.findings().iter().all(|finding| finding.starts_with(&told) && finding.contains("differs")),
        "{:?}",
        ran.findings()
    );
}
