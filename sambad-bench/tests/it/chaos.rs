//! Faults of the server itself, under load.

use crate::harness::run;

const LOAD: &str = "--users 20 --dashboards 2 --slow-dashboards 1 --app-sessions 5 --mix message=3,login=1 --rate 100";

/// Goal: a server that is killed loses, repeats and reorders nothing for anybody. Method: SIGKILL four times under load, with
/// sessions of every kind.
#[tokio::test(flavor = "multi_thread")]
async fn kills_cost_nothing() {
    let ran = run(&format!("{LOAD} --duration 6s --chaos kill9=1400ms")).await;
    ran.is_sound();
    let kills = ran.number("/chaos/kills");
    assert!((3..=4).contains(&kills), "{ran:?}");
    let downtimes: Vec<u64> = serde_json::from_value(ran.report["chaos"]["downtimes_us"].clone()).unwrap();
    assert!(downtimes.len() as u64 == kills && downtimes.iter().all(|downtime| *downtime > 0), "{downtimes:?}");
    // Each session comes back after each kill, but the slow one, which is told late.
    assert!(ran.number("/counts/reconnects") >= 7 * kills, "{ran:?}");
    assert_eq!(ran.number("/counts/planned"), 600);
    let answered = ran.number("/counts/acknowledged") + ran.number("/counts/unanswered");
    assert_eq!((answered, ran.number("/counts/refused")), (600, 0));
    assert!(ran.report["server"].is_null(), "no process was there throughout: {ran:?}");
}

/// Goal: a server that stands still now and then is late, and nothing else. Method: SIGSTOP for 300 ms, twice.
#[tokio::test(flavor = "multi_thread")]
async fn pauses_cost_time_alone() {
    let ran = run(&format!("{LOAD} --duration 2s --chaos pause=700ms/300ms")).await;
    ran.is_sound();
    assert_eq!((ran.number("/chaos/pauses"), ran.number("/chaos/kills")), (2, 0));
    assert_eq!((ran.number("/counts/acknowledged"), ran.number("/counts/reconnects")), (200, 0));
    assert!(ran.latency("response", "max_us") > 250_000, "{ran:?}");
}
