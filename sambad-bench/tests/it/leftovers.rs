//! However a run ends, no server of it stays behind.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Bench, Log, hosted};

const LOAD: &str = "--users 20 --dashboards 2 --app-sessions 2 --mix message=1 --rate 50";

/// Goal: after a run there is neither its server nor its database. Method: the process that it started, and its folder for
/// temporary files.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_cleans_up() {
    let bench = Bench::start(&format!("{LOAD} --duration 1s"));
    let server = hosted(&bench).await;
    let ran = bench.end().await;
    ran.is_sound();
    assert!(!Path::new(&format!("/proc/{}", server.pid)).exists());
    assert_eq!(ran.files(), ["report.json"], "{ran:?}");
}

/// Goal: a run that is ended from outside takes its server along, and what it can clean up it does. Method: each signal under
/// load, the server's end, and the folder for temporary files.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_takes_its_server_along() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let bench = Bench::start(&format!("{LOAD} --duration 1h"));
        let server = hosted(&bench).await;
        Log::of(&server.url).has(5).await;
        bench.signal(signal);
        if signal == Signal::KILL {
            let (output, folder) = bench.ended().await;
            assert_eq!(output.status.signal(), Some(9), "{output:?}");
            assert!(!folder.path().join("report.json").exists());
        } else {
            bench.end().await.failed(4, &["interrupted"]);
        }
        server.ends().await;
    }
}
