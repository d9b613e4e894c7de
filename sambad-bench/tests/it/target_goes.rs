//! A target that goes away under load: the run is given up, and says so.

use rustix::process::{Pid, Signal, kill_process};
use sambad_server::testing::TestServer;

use crate::harness::{Bench, Log, hosted};

/// Goal: a server that dies by itself ends the run at once. Method: the program's own server, killed from outside under load.
#[tokio::test(flavor = "multi_thread")]
async fn an_own_server_that_dies_is_told() {
    let bench = Bench::start("--users 20 --dashboards 2 --mix message=1 --rate 100 --duration 30s");
    let server = hosted(&bench).await;
    Log::of(&server.url).has(20).await;
    kill_process(Pid::from_raw(server.pid).unwrap(), Signal::KILL).unwrap();
    bench.end().await.failed(4, &["the server exited unexpectedly"]);
}

/// Goal: somebody's server that stops under load is waited for, and not for ever. Method: a server that drains and stops, and
/// the time after which it is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stops_is_given_up() {
    let server = TestServer::start().await;
    let options = "--users 20 --dashboards 2 --app-sessions 1 --mix message=1 --rate 20 --duration 1h";
    let bench = Bench::start(&format!("--target {} {options}", server.url()));
    let address = server.address().to_string();
    let mut log = Log::of(server.url());
    log.has(20).await;
    drop(log);
    server.stop().await;
    bench.end().await.failed(4, &["the target is gone", &address]);
}
