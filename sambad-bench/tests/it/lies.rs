//! Answers that say something else than what the server did.

use sambad_server::testing::TestServer;

use crate::harness::{Ran, run};
use crate::proxy::{Proxy, Script};
use crate::proxy_http::Treatment;

/// A run in which the writes of these numbers are treated so.
async fn treated(treatments: &'static [(u64, Treatment)], options: &str) -> Ran {
    let server = TestServer::start().await;
    let script = Script::posts(|post| {
        let treatment = treatments.iter().find(|(nth, _)| *nth == post);
        treatment.map_or(Treatment::Pass, |(_, treatment)| *treatment)
    });
    let proxy = Proxy::start(server.address(), script).await;
    let load = "--users 100 --dashboards 2 --mix message=1,contact=1 --rate 100 --duration 1s";
    run(&format!("--target {} {load} {options}", proxy.url)).await
}

/// Each way in which an answer may be missing.
const MISSING: &[(u64, Treatment)] = {
    use Treatment::{Answer, Close, CloseBefore, CutAnswer};
    &[
        (5, Close),
        (6, Close),
        (10, CloseBefore),
        (11, CloseBefore),
        (15, CutAnswer),
        (20, Answer(500, "internal")),
        (25, Answer(503, "unavailable")),
    ]
};

/// Goal: a write without an answer may arrive or not, and both are fine. Method: connections closed before and after the write
/// was carried out and within its answer, and answers that leave it open.
#[tokio::test(flavor = "multi_thread")]
async fn unanswered_writes_may_arrive() {
    let ran = treated(MISSING, "").await;
    ran.is_sound();
    assert_eq!((ran.number("/counts/unanswered"), ran.number("/counts/refused")), (7, 0));
    assert_eq!((ran.number("/counts/acknowledged"), ran.number("/audit/unanswered_arrived")), (93, 5));
    assert!(ran.stdout.contains("writes without a response: 7;"), "{}", ran.stdout);
}

/// Goal: a write that is sent again until it is answered is one event, whatever became of it before. Method: the same answers
/// missing; two of the writes were never carried out, five were.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_are_sent_again_are_one() {
    let ran = treated(MISSING, "--retry").await;
    ran.is_sound();
    assert_eq!((ran.number("/counts/acknowledged"), ran.number("/counts/retried")), (100, 7), "{ran:?}");
    assert_eq!((ran.number("/counts/unanswered"), ran.number("/counts/deliveries")), (0, 200), "{ran:?}");
}

/// Goal: a refusal is believed, and so is a seq: what contradicts them is a fault. Method: writes that were carried out are
/// answered as refused, or as another event.
#[tokio::test(flavor = "multi_thread")]
async fn false_answers_are_unexplained() {
    use Treatment::{Answer, OtherSeq};
    let ran = treated(
        &[
            (5, Answer(400, "invalid_field")),
            (10, Answer(404, "user_not_found")),
            (15, Answer(503, "overloaded")),
            (20, OtherSeq),
        ],
        "",
    )
    .await;
    ran.audit_is([0, 0, 0, 4]);
    assert_eq!((ran.number("/counts/refused"), ran.number("/counts/unanswered")), (3, 0));
    let findings = ran.findings();
    assert_eq!(
        findings.iter().filter(|finding| finding.contains("was rejected, but its event arrived")).count(),
        3,
        "{findings:?}"
    );
    assert!(ran.stdout.contains("3 writes were rejected"), "{}", ran.stdout);
}

/// Goal: a refusal that is one is no fault of the delivery. Method: writes that never reach the server are answered as refused.
#[tokio::test(flavor = "multi_thread")]
async fn refused_writes_are_told() {
    let ran = treated(&[(5, Treatment::Refuse), (6, Treatment::Refuse)], "").await;
    ran.is_sound();
    assert_eq!(ran.number("/counts/refused"), 2);
    assert!(ran.report["counts"]["first_refusal"].as_str().unwrap().contains("400"), "{ran:?}");
}

/// Goal: a write that is acknowledged and lost is noticed even where its seq is given away again, as by a crash that forgets a
/// commit. Method: two writes never reach the server and are acknowledged as events that others caused.
#[tokio::test(flavor = "multi_thread")]
async fn a_seq_that_was_given_away_twice_is_noticed() {
    let ran = treated(&[(10, Treatment::Pretend), (20, Treatment::Pretend)], "").await;
    // Each at both dashboards.
    ran.audit_is([4, 0, 0, 0]);
    assert!(
        ran.findings().iter().all(|finding| finding.contains("arrived as the event of another operation")),
        "{:?}",
        ran.findings()
    );
}

/// Goal: a server that fails most writes is not praised for the rest. Method: every write but one in five is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_not_measured() {
    let server = TestServer::start().await;
    let script = Script::posts(|post| if post % 5 == 0 { Treatment::Pass } else { Treatment::Refuse });
    let proxy = Proxy::start(server.address(), script).await;
    let ran = run(&format!("--target {} --users 10 --dashboards 1 --mix message=1 --rate 50 --duration 1s", proxy.url)).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("of the writes failed"), "{}", ran.stdout);
    ran.audit_is([0, 0, 0, 0]);
}
