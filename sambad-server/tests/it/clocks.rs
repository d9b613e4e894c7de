//! Servers whose clock is wrong: the shipped binary under libfaketime, whose wall clock a file moves.
#![cfg(target_os = "linux")]

use std::time::Duration;

use sambad_core::Timestamp;

use crate::harness::process::{Process, database, run};
use crate::harness::wrong_clock::{WrongClock, login, trusted, until};
use crate::harness::{PATIENCE, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// Goal: no step of the clock destroys data or stamps events: a retry of a write of before finds its answer, and an hour of log
/// stays. Method: the real binary, whose clock is a day and two hours ahead for some seconds, in which writes go on and the log
/// is looked at for what is to be trimmed.
#[tokio::test]
async fn a_step_of_the_clock_destroys_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (clock, database) = (WrongClock::new(directory.path(), "offset"), database(directory.path()));
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--retain-events", "1h"];
    let server = Process::start_with(&args, &clock.env("5s")).await;
    let (_, first, _) = login(&server, 0, "before").await;
    trusted(&server).await;
    for step in ["+26h", "-26h", "+20y", "-50y"] {
        clock.set(step);
        for write in 1..=5 {
            let (at, ..) = login(&server, write, &format!("{write} while {step}")).await;
            // On a machine that stood still for long enough, the step is believed: its keys and its log stay all the same.
            if server.api.get("/api/health").await.json()["clock_trusted"] == false {
                assert!(at.since(Timestamp::now()).max(Timestamp::now().since(at)) < HOUR, "{step}: {at}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(login(&server, 0, "before").await.1, first, "{step}");
        clock.set("+0");
        trusted(&server).await;
        let (_, seq, replayed) = login(&server, 0, "before").await;
        assert_eq!((seq, replayed), (first, true), "{step}");
        let health = server.api.get("/api/health").await.json();
        assert_eq!(health["first"], 1, "{step}");
    }
}

/// Goal: a clock that stays wrong ages nothing but by running; once it is right again, the log that is ahead of it is told by the
/// server, its metrics, its log and `check`, and repaired. Method: the real binary, whose clock is ahead until events are stamped
/// by it, and then back.
#[tokio::test]
async fn a_clock_that_was_wrong_for_long_is_told_and_repaired() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (clock, database) = (WrongClock::new(directory.path(), "offset"), database(directory.path()));
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--retain-events", "1h"];
    let server = Process::start_with(&args, &clock.env("500ms")).await;
    let (begun, first, _) = login(&server, 0, "before").await;
    trusted(&server).await;
    clock.set("+26h");
    let mut number = 1;
    soon("event of tomorrow", async {
        while login(&server, number, &format!("key {number}")).await.0.since(begun) < 25 * HOUR {
            number += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    trusted(&server).await;
    let (_, seq, replayed) = login(&server, 0, "before").await;
    assert_eq!((seq, replayed), (first, true));
    assert_eq!(server.api.get("/api/health").await.json()["first"], 1);
    clock.set("+0");
    until(&server, "log that is ahead", |health| health["log_ahead_s"].as_u64() > Some(25 * 3600)).await;
    let metrics = server.api.get("/metrics").await.text;
    let ahead = metrics.lines().find_map(|line| line.strip_prefix("sambad_log_ahead_seconds ")).expect("the gauge");
    assert!(ahead.parse::<f64>().expect("a number") > 25.0 * 3600.0, "{ahead}");
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));

    let log = directory.path().join("log");
    let server = Process::start_logged(&args, &log).await;
    soon("warning", async {
        while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("is ahead of the clock")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));

    let check = async |listen: &str, more: &[&str]| {
        let output = run(&[&["check", "--listen", listen, "--database", &database], more].concat(), &[]).await;
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = check("127.0.0.1:0", &[]).await;
    assert!(code == Some(1) && said.contains("FAULT no future timestamps"), "{said}");
    let (code, said) = check("127.0.0.1:0", &["--repair"]).await;
    assert!(code == Some(0) && said.contains("later events may have earlier timestamps"), "{said}");

    let server = Process::start_with(&args, &[]).await;
    let (at, ..) = login(&server, 9_999, "after").await;
    assert!(at.since(begun) < PATIENCE * 4, "{at}");
    assert_eq!(server.api.get("/api/health").await.json()["log_ahead_s"], 0);
    let analytics = server.api.get("/api/admin/analytics").await.json();
    assert!(analytics["newUsers"].as_u64() >= Some(2), "{analytics}");
    let (code, said) = check(&server.address.to_string(), &[]).await;
    assert!(code == Some(0) && said.contains("time runs forward"), "{said}");
}
