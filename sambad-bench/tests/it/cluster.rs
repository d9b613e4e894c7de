//! Several servers over one PostgreSQL, with everything real around them.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;

use crate::harness::{Bench, run, run_words, started};

const LOAD: &str = "--users 20 --dashboards 4 --slow-dashboards 1 --app-sessions 5 --mix message=3,login=1 --rate 100";

/// Goal: whatever is done to several servers and to what they need, nothing is lost, repeated or reordered, and every write is
/// answered in the end. Method: each fault at least once within six seconds, without a balancer, so that clients move
/// themselves.
#[tokio::test(flavor = "multi_thread")]
async fn faults_cost_nothing() {
    let faults = "kill9=1100ms,pause=1500ms/500ms,redis-restart=1700ms,redis-cut=1300ms/600ms,postgres-restart=2600ms";
    let ran = run(&format!("{LOAD} --servers 3 --balancer none --duration 6s --chaos {faults}")).await;
    ran.is_sound();
    for what in ["kills", "pauses", "redis_restarts", "redis_cuts", "postgres_restarts"] {
        assert!(ran.number(&format!("/chaos/{what}")) > 0, "{what}: {ran:?}");
    }
    assert_eq!((ran.number("/counts/planned"), ran.number("/counts/acknowledged")), (600, 600));
    assert!(ran.number("/counts/reconnects") > 0 && ran.number("/counts/retried") > 0, "{ran:?}");
    assert_eq!(ran.files(), ["report.json"], "{ran:?}");
}

/// Goal: clients behind nginx see nothing of which server is there. Method: SIGKILL in turn, sessions and writers through nginx,
/// and no Redis, so that PostgreSQL tells the servers of each other.
#[tokio::test(flavor = "multi_thread")]
async fn kills_behind_nginx_cost_nothing() {
    let ran = run(&format!("{LOAD} --servers 2 --redis none --balancer nginx --duration 3s --chaos kill9=900ms")).await;
    ran.is_sound();
    assert!(ran.number("/chaos/kills") >= 2 && ran.number("/counts/acknowledged") == 300, "{ran:?}");
    assert!(ran.report["target"]["description"].as_str().unwrap().ends_with("over PostgreSQL behind nginx"), "{ran:?}");
}

/// Goal: events reach the other server, and what each part needed is told. Method: all writes to one server, all dashboards on
/// another; CPU of PostgreSQL and Redis.
#[tokio::test(flavor = "multi_thread")]
async fn dashboards_sit_on_another_server() {
    let ran = run("--users 20 --dashboards 3 --mix message=1 --rate 50 --duration 1s --servers 2 --dashboards-on other").await;
    ran.is_sound();
    let names: Vec<&str> =
        ran.report["services"].as_array().unwrap().iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["PostgreSQL", "Redis"], "{ran:?}");
    assert!(ran.number("/services/0/cpu_us") > 0 && ran.number("/server/cpu_us") > 0, "{ran:?}");
    assert!(ran.latency("commit_to_dashboard", "p50_us") > 0 && ran.number("/counts/retried") == 0, "{ran:?}");
}

/// Goal: a run that is killed takes everything along that it started. Method: SIGKILL under load; servers, PostgreSQL, Redis and
/// nginx end.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_leaves_nothing_behind() {
    let bench = Bench::start(&format!("{LOAD} --servers 2 --balancer nginx --duration 1h"));
    // The servers, and one process each of what stands around them: PostgreSQL's others end with its first.
    let processes = started(&bench, &["postgres", "redis-server", "nginx", "sambad-bench", "sambad-bench"]).await;
    bench.signal(Signal::KILL);
    let (output, _folder) = bench.ended().await;
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    for process in processes {
        process.ends().await;
    }
}

/// Goal: what cannot be started is said in a sentence, without a password. Method: a PostgreSQL that nobody runs.
#[tokio::test(flavor = "multi_thread")]
async fn says_what_cannot_be_started() {
    let url = "postgres://someone:hidden@127.0.0.1:1/nothing";
    let ran = run_words(&["run", "--servers", "2", "--redis", "none", "--postgres", url, "--duration", "1s"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("the server exited before it listened") && !ran.stderr.contains("hidden"), "{ran:?}");
}
