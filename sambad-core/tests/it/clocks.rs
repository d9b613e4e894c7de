//! Clocks that are wrong, as a core and an operator meet them. Processes whose clocks are faked are the server's tests.

use std::time::Duration;

use sambad_core::access::{AccessChange, Actor, AuditAction};
use sambad_core::check::Severity;
use sambad_core::{IdempotencyKey, Outcome, Receipt, Retention, Seq, Timestamp, maintenance};

use crate::database::{TestDatabase, on_every_database};
use crate::harness::{Core, PAUSE, login, seq, settling_soon};

fn key(text: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::new(text, [1; 32]).unwrap())
}

async fn faults(database: &TestDatabase) -> Vec<&'static str> {
    let findings = maintenance::check(&database.url()).await.unwrap();
    findings.iter().filter(|found| found.severity == Severity::Fault).map(|found| found.subject).collect()
}

/// Moves what a database says of time back by `hours`: as if its servers' clock had been set forward since.
async fn set_back(database: &TestDatabase, hours: i64) {
    let by = database.by_kind(format!("{hours} * 3600000000"), format!("interval '{hours} hours'"));
    database
        .tamper(&format!(
            "update log set last_at = last_at - {by}; update events set created_at = created_at - {by};
            update idempotency_keys set created_at = created_at - {by}; update clock set aged_at = aged_at - {by};
            update revocations set expires_at = expires_at - {by}"
        ))
        .await;
}

fn created_at(receipt: &Receipt) -> Timestamp {
    match &receipt.outcome {
        Outcome::LoggedIn { user, .. } => user.created_at,
        other => panic!("{other:?}"),
    }
}

on_every_database!(
    a_wrong_clock_at_the_start_deletes_nothing,
    a_week_without_a_server_blocks_nothing,
    a_log_of_the_future_is_told_and_reset,
    revocations_outlive_a_wrong_clock,
);

/// Goal: a clock that was wrong before the start, and stays so, makes nothing old but by running. Method: a database whose
/// instants lie 26 hours before the clock's, opened to keep an hour; keys and log once the clock is trusted, also by the next
/// start.
async fn a_wrong_clock_at_the_start_deletes_nothing(database: TestDatabase) {
    let core = Core::start(database, settling_soon()).await;
    let first = core.sambad.execute(login(0), key("first")).await.unwrap();
    core.trusts_its_clock().await;
    let mut database = core.stop().await;
    set_back(&database, 26).await;
    for start in 1..=3 {
        let core = Core::start_keeping(database, settling_soon(), Retention::Age(Duration::from_secs(3600))).await;
        core.trusts_its_clock().await;
        core.sambad.execute(login(start), key(&format!("start-{start}"))).await.unwrap();
        let retried = core.sambad.execute(login(0), key("first")).await.unwrap();
        assert_eq!((seq(&retried), retried.replayed), (seq(&first), true), "start {start}");
        let (now, aged) = (core.sambad.clock().now(), core.sambad.clock().aged(Duration::from_secs(3600)).unwrap());
        assert!(now.since(aged) > Duration::from_secs(25 * 3600), "age was judged up to {aged}");
        assert_eq!(core.sambad.stored_bounds().await.unwrap().first, Seq(1), "start {start}");
        database = core.stop().await;
    }
}

/// Goal: after a week without a server, events are written and trimmed as ever. Method: a database whose instants lie a week
/// back, opened to keep a second.
async fn a_week_without_a_server_blocks_nothing(database: TestDatabase) {
    let core = Core::start(database, settling_soon()).await;
    core.sambad.execute(login(0), None).await.unwrap();
    core.trusts_its_clock().await;
    let database = core.stop().await;
    set_back(&database, 7 * 24).await;
    let core = Core::start_keeping(database, settling_soon(), Retention::Age(Duration::from_secs(1))).await;
    let written = core.sambad.execute(login(1), None).await.unwrap();
    assert!(core.sambad.clock().now().since(created_at(&written)) < Duration::from_secs(3600));
    while core.sambad.bounds().first != Seq(3) {
        tokio::time::sleep(PAUSE).await;
    }
    core.stop().await;
}

/// Goal: a log whose last event lies ahead of the clock is found by the core and by `check`; a reset lets time go on, and
/// afterwards nothing is wrong: neither the order of events, nor counters, nor what is old, nor a trimmed log. Method: a database
/// whose instants lie ten years ahead.
async fn a_log_of_the_future_is_told_and_reset(database: TestDatabase) {
    let core = Core::start(database, settling_soon()).await;
    core.sambad.execute(login(0), key("first")).await.unwrap();
    let begun = core.sambad.clock().now();
    let database = core.stop().await;
    assert_eq!(maintenance::reset_clock(&database.url()).await.unwrap(), None, "nothing to reset");
    let years = database.by_kind("315360000000000", "interval '3650 days'");
    let ahead =
        format!("update log set last_at = last_at + {years}; update idempotency_keys set created_at = created_at + {years}");
    database.tamper(&ahead).await;
    assert_eq!(faults(&database).await, ["no future timestamps"]);

    let core = Core::start(database, settling_soon()).await;
    assert!(core.sambad.clock().log_ahead() > Duration::from_secs(3600 * 24 * 3649));
    core.sambad.execute(login(1), None).await.unwrap();
    let refused = maintenance::reset_clock(&core.database.url()).await.unwrap_err();
    assert!(refused.to_string().contains("in use by"), "{refused}");
    let database = core.stop().await;

    let was_at = maintenance::reset_clock(&database.url()).await.unwrap().unwrap();
    assert!(was_at.since(begun) > Duration::from_secs(3600 * 24 * 3649), "{was_at}");
    maintenance::repair_counters(&database.url()).await.unwrap();
    assert_eq!(faults(&database).await, [""; 0]);

    let core = Core::start_keeping(database, settling_soon(), Retention::Events(1)).await;
    assert_eq!(core.sambad.clock().log_ahead(), Duration::ZERO);
    let known = core.sambad.execute(login(0), None).await.unwrap();
    assert_eq!(seq(&known), None);
    let new = core.sambad.execute(login(2), None).await.unwrap();
    assert!(created_at(&new).since(begun) < Duration::from_secs(3600), "{}", created_at(&new));
    let analytics = core.sambad.analytics().await.unwrap().value;
    assert!(analytics.new_users >= 1 && analytics.active_users == 3, "{analytics:?}");
    while core.sambad.bounds().first != Seq(3) {
        tokio::time::sleep(PAUSE).await;
    }
    let database = core.stop().await;
    assert_eq!(faults(&database).await, [""; 0], "of a log that was trimmed behind the reset as well");
}

/// Goal: a revocation that ended by a wrong clock only is still in force once the clock is right. Method: one that ends in an
/// hour; changes of access by a core whose clock is 26 hours ahead of the database.
async fn revocations_outlive_a_wrong_clock(database: TestDatabase) {
    let actor = || Actor { name: "test".into(), remote: String::new() };
    let core = Core::start(database, settling_soon()).await;
    core.sambad.execute(login(0), None).await.unwrap();
    let expires_at = core.sambad.clock().now().plus(Duration::from_secs(3600));
    core.sambad.change_access(AccessChange::Revoke { id: "a stolen token".into(), expires_at }, actor()).await.unwrap();
    core.trusts_its_clock().await;
    let database = core.stop().await;
    set_back(&database, 26).await;
    let core = Core::start(database, settling_soon()).await;
    core.trusts_its_clock().await;
    for _ in 0..3 {
        let note = AccessChange::Note { action: AuditAction::TokenCreated, subject: "another".into() };
        core.sambad.change_access(note, actor()).await.unwrap();
    }
    let revocations = core.sambad.revocations(0, 10).await.unwrap();
    assert_eq!(revocations.iter().map(|found| &*found.id).collect::<Vec<_>>(), ["a stolen token"]);
    core.stop().await;
}
