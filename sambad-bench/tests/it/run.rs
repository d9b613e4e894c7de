//! What a run reports, and in which forms.

use std::collections::BTreeMap;
use std::fs;

use sambad_client::{Client, NewUser};
use sambad_server::config::{Role, ServerConfig};
use sambad_server::testing::{TestKeys, TestServer};
use serde_json::Value;

use crate::harness::{Bench, Log, Ran, events, histogram, run, run_words};

/// Goal: without a target, and without a subcommand, a server is started and measured. Method: exit code and table.
#[tokio::test(flavor = "multi_thread")]
async fn runs_without_being_told_how() {
    let ran = run_words(&["--users", "50", "--dashboards", "3", "--rate", "50", "--duration", "1s", "--warmup", "500ms"]).await;
    assert!([0, 4].contains(&ran.code) && ran.stderr.is_empty(), "{ran:?}");
    for words in ["all of 225 deliveries arrived once and in order", "write → dashboard", "lost 0 · duplicate 0 · reordered 0"]
    {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(ran.files().is_empty(), "{ran:?}");
}

/// Goal: a target that asks who calls is measured by one token, which no report tells. Method: without one, then with one.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_may_ask_who_calls() {
    let keys = TestKeys::new();
    let config = ServerConfig { auth: keys.config(), ..ServerConfig::default() };
    let server = TestServer::start_with(config, Default::default()).await;
    let options = format!("--target {} --users 20 --dashboards 2 --app-sessions 5 --rate 50 --duration 1s", server.url());
    let refused = run(&options).await;
    assert!(refused.code == 2 && refused.stderr.contains("401"), "{refused:?}");
    let token = keys.token(&[Role::Service, Role::Admin], "bench");
    let ran = run(&format!("{options} --token {token}")).await;
    ran.is_sound();
    let told = format!("{} {} {}", ran.report, ran.stdout, ran.stderr);
    assert!(!told.contains(&token) && told.contains("…"), "{told}");
}

/// Goal: the JSON is the report, all of it. Method: a run with everything that has latencies, whose histograms are decoded and
/// compared with their figures and the counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_json_says_it_all() {
    let options = "--users 100 --dashboards 3 --slow-dashboards 1 --app-sessions 10 --rate 100 --duration 1s --arrival poisson";
    let ran = run(options).await;
    ran.is_sound();
    assert_eq!((ran.number("/schema"), ran.number("/scenario/seed")), (1, 1));
    assert_eq!(ran.report["target"]["kind"], "self_hosted");
    assert_eq!(ran.report["scenario"]["mode"]["poisson"], true);
    let planned = ran.number("/counts/planned");
    assert!((50..200).contains(&planned), "{planned}: a hundred, by chance");
    for (kind, count) in [
        ("delivery", 3 * planned),
        ("delivery_service", 3 * planned),
        ("response", planned),
        ("service", planned),
        ("slow_delivery", planned),
        ("connect", 14),
        ("lateness", planned),
    ] {
        assert_eq!(ran.latency(kind, "count"), count, "{kind}: {ran:?}");
    }
    for latency in ran.report["latencies"].as_array().unwrap() {
        let (histogram, summary) = (histogram(latency), &latency["summary"]);
        assert_eq!(summary["count"], histogram.len(), "{latency}");
        for (figure, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
            assert_eq!(summary[figure], histogram.value_at_quantile(quantile), "{figure}: {latency}");
        }
        assert_eq!(summary["max_us"], histogram.max());
    }
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    assert_eq!(ran.number("/machine/cores"), cores, "also of a program that confines itself to half of them");
    // A write's response cannot be shorter than its service.
    assert!(ran.latency("response", "p50_us") >= ran.latency("service", "p50_us"));
    let server = ["cpu_us", "rss_before_bytes", "rss_idle_bytes", "rss_end_bytes"];
    assert!(server.iter().all(|figure| ran.number(&format!("/server/{figure}")) > 0), "{ran:?}");
}

/// Goal: a kept report says the same as the run did. Method: page and percentiles made by the run, and again from its JSON.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_report_becomes_the_same_page() {
    let ran = run("--users 100 --dashboards 2 --rate 50 --duration 1s --html FOLDER/run.html --hgrm FOLDER/run.hgrm").await;
    ran.is_sound();
    let path = |name: &str| ran.folder.path().join(name).to_str().unwrap().to_owned();
    let words = ["report", &path("report.json"), "--html", &path("again.html"), "--hgrm", &path("again.hgrm")];
    let again = run_words(&words).await;
    assert_eq!(again.code, 0, "{again:?}");
    for form in ["html", "hgrm"] {
        let read = |name: &str| fs::read_to_string(path(&format!("{name}.{form}"))).unwrap();
        assert!(read("run").len() > 500 && read("run") == read("again"), "{form}");
    }
    let table = run_words(&["report", &path("report.json")]).await;
    assert_eq!((table.code, table.stdout), (0, ran.stdout));
}

/// Goal: a report on stdout can be piped on. Method: `--json -`, read as JSON, with the table beside it on stderr.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_on_stdout_is_alone_there() {
    let words = ["run", "--users", "20", "--dashboards", "1", "--rate", "50", "--duration", "500ms", "--warmup", "0s"];
    let ran = run_words(&[&words[..], &["--mix", "message=1", "--json", "-"]].concat()).await;
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report["schema"] == 1 && ran.stderr.contains("write → dashboard"), "{ran:?}");
}

/// Goal: objectives decide about a sound run. Method: objectives that are met, and one of two that cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn objectives_decide() {
    for (objectives, met, code) in [("p99<60s,lost=0", [true, true], 0), ("p99<1us,lost=0", [false, true], 1)] {
        let options = "--users 20 --dashboards 1 --mix message=1 --rate 50 --duration 500ms";
        let ran = run(&format!("{options} --slo {objectives}")).await;
        let found: Vec<bool> =
            ran.report["objectives"].as_array().unwrap().iter().map(|objective| objective["met"] == true).collect();
        assert_eq!(found, met, "{ran:?}");
        // A generator that was late says nothing about objectives.
        let is_late = ran.report["judgement"]["reasons"][0].as_str().is_some_and(|reason| reason.starts_with("the generator "));
        assert_eq!(ran.code, if is_late { 4 } else { code }, "{ran:?}");
    }
}

/// Goal: slow dashboards neither spoil the others' figures nor hide among them. Method: both kinds in one run.
#[tokio::test(flavor = "multi_thread")]
async fn slow_dashboards_are_reported_apart() {
    let ran = run("--users 20 --dashboards 3 --slow-dashboards 2 --mix message=1 --rate 100 --duration 2s").await;
    ran.is_sound();
    assert_eq!((ran.latency("delivery", "count"), ran.latency("slow_delivery", "count")), (600, 400));
    // They read ten events a second of the hundred that come.
    let (healthy, slow) = (ran.latency("delivery", "p50_us"), ran.latency("slow_delivery", "p50_us"));
    assert!(slow > 500_000 && healthy * 5 < slow, "{healthy} {slow}");
}

/// Goal: a closed loop sends by answers, as many at a time as asked for. Method: its counts, and response = service.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_works() {
    let ran = run("--users 20 --dashboards 1 --closed 3 --duration 1s").await;
    ran.is_sound();
    assert_eq!(ran.report["scenario"]["mode"], serde_json::json!({ "loop": "closed", "writers": 3 }));
    let planned = ran.number("/counts/planned");
    assert!(planned > 10 && ran.number("/counts/acknowledged") == planned, "{ran:?}");
    // With three at a time, together they take at most three times the second and what the last ones took.
    let mean = ran.latency_of("response")["summary"]["mean_us"].as_f64().unwrap();
    let (longest, count) = (ran.latency("response", "max_us"), ran.latency("response", "count"));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (busy_us, longest_us) = (mean * count as f64, longest as f64);
    assert!(busy_us <= 3.0 * (1_000_000.0 + longest_us), "{busy_us} µs of work");
}

/// What each user did, in order: kinds of events, and the other's number.
fn deeds(ran: &Ran, log: &[sambad_client::Event]) -> BTreeMap<String, Vec<String>> {
    let users = usize::try_from(ran.number("/scenario/users")).unwrap();
    let mut deeds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // The users come first, in whichever order.
    for event in &log[users..] {
        let data: Value = event.decode().unwrap();
        // The last digits are the user's number, the first ones the run's.
        let number = |names: [&str; 3]| {
            let phone = names.iter().find_map(|name| data[name].as_str()).unwrap_or("nobody");
            phone[phone.len() - 6..].to_owned()
        };
        let other = number(["contact_user_username", "to_username", "username"]);
        let deed = format!("{} {other}", event.event_type);
        deeds.entry(number(["user_username", "from_username", "username"])).or_default().push(deed);
    }
    deeds
}

/// Goal: a seed is a plan: the same one does the same, another one something else. Method: three runs on three servers, each
/// with a connection for each writer, and what each user did according to their logs.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_plans_the_same() {
    let mut all = Vec::new();
    for seed in [7, 7, 8] {
        let server = TestServer::start().await;
        let options = "--users 30 --dashboards 0 --connections 1 --rate 100 --duration 500ms";
        let ran = run(&format!("--target {} {options} --seed {seed}", server.url())).await;
        assert_eq!(ran.number("/counts/acknowledged"), 50, "{ran:?}");
        let log = events(server.url()).await;
        assert_eq!(log.len(), 80);
        all.push(deeds(&ran, &log));
    }
    assert_eq!(all[0], all[1]);
    assert_ne!(all[0], all[2]);
}

/// Goal: an event by somebody else is a finding, unless others were announced. Method: a user who logs in by hand during a run
/// without and with `--shared-target`.
#[tokio::test(flavor = "multi_thread")]
async fn others_are_borne_where_they_are_announced() {
    for (flag, foreign) in [("", 0), ("--shared-target", 1)] {
        let server = TestServer::start().await;
        let options = "--users 20 --dashboards 2 --app-sessions 2 --mix message=1 --rate 50 --duration 3s";
        let bench = Bench::start(&format!("--target {} {options} {flag}", server.url()));
        Log::of(server.url()).has(10).await;
        Client::new(server.url()).unwrap().login(&NewUser::new("+919876543210")).await.unwrap();
        let ran = bench.end().await;
        assert_eq!(ran.number("/audit/foreign"), foreign);
        // Either way each dashboard got it.
        assert_eq!(ran.number("/audit/checked"), ran.number("/counts/deliveries"));
        if foreign == 1 {
            ran.is_sound();
            assert!(ran.stdout.contains("1 events of other clients"), "{}", ran.stdout);
        } else {
            ran.audit_is([0, 0, 0, 1]);
            assert!(ran.findings()[0].contains("a user_created, belongs to no operation of this run"), "{:?}", ran.findings());
        }
    }
}
