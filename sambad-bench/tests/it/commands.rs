//! The subcommands beside `run`, each from its command line to its exit code.

use serde_json::Value;

use crate::harness::{run, run_words};

/// The command line of a search that is short and whose users suffice.
fn find_max(more: &str) -> Vec<String> {
    let options =
        "find-max --users 200 --dashboards 2 --duration 500ms --warmup 0s --ramp-up 0s --repeats 1 --start 50 --max 100";
    options.split(' ').chain(more.split(' ')).map(str::to_owned).collect()
}

async fn ran(words: &[String]) -> crate::harness::Ran {
    run_words(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Checks how a search ended. On a busy machine the generator may be the limit, and then no end is named.
#[track_caller]
fn ends(search: &crate::harness::Ran, code: i32, conclusion: &str) {
    let (code, conclusion) =
        if search.stdout.contains("  unclear  ") { (4, "the maximum is unknown") } else { (code, conclusion) };
    assert_eq!(search.code, code, "{search:?}");
    assert!(search.stdout.contains(conclusion), "{search:?}");
}

/// Goal: a search ends with what it found, and says when that is no maximum. Method: an objective that all levels meet, and
/// one that none does.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_tells_its_ends() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("found.json");
    let met = ran(&find_max(&format!("--slo p99<1m --json {}", kept.display()))).await;
    ends(&met, 0, "at least 100 operations per second meet p99<1m");
    let kept: Value = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(kept["schema"], 1);
    assert_eq!(kept["steps"][0]["level"], 50);
    ends(&ran(&find_max("--slo p99<1us")).await, 1, "50 operations per second already miss");
    run_words(&["find-max", "--start", "500", "--max", "100"]).await.failed(2, &["--max 100", "--start 500"]);
}

/// Goal: a storm is measured, and all come back. Method: some sessions, a restart, and the figures that are kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("storm.json");
    let storm = run_words(&["connect", "--sessions", "50", "--idle", "0s", "--json", kept.to_str().unwrap()]).await;
    assert_eq!(storm.code, 0, "{storm:?}");
    assert!(storm.stdout.contains("opened      50 sessions") && storm.stdout.contains("lost 0"), "{}", storm.stdout);
    let kept: Value = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    for kind in ["connect", "connect_service", "reconnect"] {
        assert_eq!(kept[kind]["summary"]["count"], 50, "{kind}");
    }
    assert!(kept["downtime_s"].as_f64().unwrap() > 0.0);
}

/// Goal: one run of each side proves nothing, and a gate does not pass what it cannot judge. Method: two runs compared.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_knows_noise() {
    let options = "--users 100 --dashboards 2 --mix message=1 --rate 50 --duration 500ms";
    let (one, other) = (run(options).await, run(options).await);
    let path = |ran: &crate::harness::Ran| ran.folder.path().join("report.json").to_str().unwrap().to_owned();
    let (one, other) = (path(&one), path(&other));
    let compared = run_words(&["compare", &one, &other]).await;
    assert_eq!(compared.code, 0, "{compared:?}");
    assert!(compared.stdout.contains("no difference shown"), "{}", compared.stdout);
    let gate = run_words(&["compare", &one, &other, "--fail-if", "slower"]).await;
    assert!(matches!(gate.code, 2 | 4), "{gate:?}");
    run_words(&["compare", &one]).await.failed(2, &["compare"]);
    run_words(&["compare", &one, "there-is-no.json"]).await.failed(1, &["there-is-no.json"]);
}
