//! What a cluster would do, computed.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Ran, run_words};

async fn simulate(options: &str) -> (Ran, Value) {
    let words: Vec<&str> = ["simulate", "--json", "-"].into_iter().chain(options.split_whitespace()).collect();
    let ran = run_words(&words).await;
    let kept = serde_json::from_str(&ran.stdout).unwrap_or(Value::Null);
    (ran, kept)
}

/// Goal: the measured figures come out, and then a cluster follows from them, the same each time. Method: a million dashboards,
/// twice.
#[tokio::test(flavor = "multi_thread")]
async fn extrapolates_from_what_was_measured() {
    let options = "--dashboards 1000000 --rate 100 --cores 32 --duration 200ms --seed 7";
    let (ran, kept) = simulate(options).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = kept["measured"].as_array().unwrap();
    let held = rows.iter().filter_map(|row| Some(row["deviation"].as_f64()?.abs() <= row["tolerance"].as_f64()?));
    assert!(held.clone().count() > 12 && held.clone().all(|held| held), "{rows:?}");
    assert!(kept["scene"]["servers"].as_u64().unwrap() > 20, "{kept}");
    assert_eq!(kept["bottleneck"], "network of a server");
    assert!(kept["played"]["delivery"]["p99_us"].as_u64().unwrap() > 1000, "{kept}");
    assert!(ran.stderr.contains("first bottleneck: network of a server (more servers help)"), "{ran:?}");
    assert_eq!(ran.stdout, simulate(options).await.0.stdout);
}

/// Goal: nothing follows from costs that do not come to what was measured. Method: sockets that cost twice as much.
#[tokio::test(flavor = "multi_thread")]
async fn says_when_it_is_wrong() {
    let (ran, kept) = simulate("--flush-us 8 --servers 2").await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("MISSED") && ran.stderr.contains("not valid") && !ran.stderr.contains("bottleneck"));
    assert!(kept["measured"].is_array(), "{kept}");
}

/// Goal: what cannot be is said. Method: bad command lines, and a word of each answer.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_explained() {
    for (options, word) in [
        ("--rate 0", "above 0"),
        ("--duration 0s", "nothing to simulate"),
        ("--store sqlite --servers 2", "--store postgres"),
        ("--store sqlite --dashboards 100000000", "no number of servers"),
    ] {
        let (ran, _) = simulate(options).await;
        assert!(ran.code == 2 && ran.stderr.contains(word), "{options}: {ran:?}");
    }
}

/// Goal: what the documentation shows is what comes out. Method: each command of docs/explanation/scaling.md, run, and its output there.
/// `SAMBAD_UPDATE_SNAPSHOTS=1` writes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_is_true() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/explanation/scaling.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut parts = text.split("```console\n$ sambad-bench ");
    let mut now = parts.next().unwrap().to_owned();
    let mut commands = 0;
    for part in parts {
        let (command, rest) = part.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("```").unwrap();
        let ran = run_words(&command.split_whitespace().collect::<Vec<_>>()).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let shown: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
        now.push_str(&format!("```console\n$ sambad-bench {command}\n{}\n```{rest}", shown.join("\n")));
        commands += 1;
    }
    assert!(commands > 3, "{commands}");
    if std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &now).unwrap();
    }
    assert!(now == std::fs::read_to_string(&path).unwrap(), "docs/explanation/scaling.md does not say what the commands print");
}
