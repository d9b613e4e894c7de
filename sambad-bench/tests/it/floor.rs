//! The floor, and servers without a log.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::harness::{command, run};
use crate::proxy::{Fate, Proxy, Script};

/// A floor server of its own, which ends with this value.
struct Floor {
    address: SocketAddr,
    _process: Child,
    _folder: tempfile::TempDir,
}

async fn floor() -> Floor {
    let folder = tempfile::tempdir().unwrap();
    let parent = std::process::id().to_string();
    let mut process = command(folder.path(), &["hosted", "--parent", &parent, "floor"]).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.rsplit_once("http://").unwrap().1.parse().unwrap();
    Floor { address, _process: process, _folder: folder }
}

/// Goal: where events have no seq, they are counted one by one all the same. Method: the floor, straight and through a proxy
/// that drops two deliveries, the last one among them, and repeats one.
#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_seq_are_audited() {
    let floor = floor().await;
    let options = "--dialect floor --users 20 --dashboards 3 --rate 50 --duration 1s --connections 1";
    let ran = run(&format!("--target http://{} {options}", floor.address)).await;
    ran.is_sound();
    assert_eq!((ran.number("/counts/acknowledged"), ran.number("/audit/checked")), (50, 150));
    let script = Script::frames(|frame| match (frame.session, frame.seq()) {
        (0, 10 | 50) => Fate::Drop,
        (1, 20) => Fate::Twice,
        _ => Fate::Pass,
    });
    let proxy = Proxy::start(floor.address, script).await;
    let ran = run(&format!("--target {} {options}", proxy.url)).await;
    ran.audit_is([2, 1, 0, 0]);
}

/// Goal: `--floor` gives ratios of one run. Method: one short round, and what the report says of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_floor_is_compared_with() {
    let ran = run("--floor --floor-rounds 1 --users 200 --dashboards 10 --rate 50 --duration 1s").await;
    // On a busy machine the generator may be late: then there is no comparison, and that is said.
    if ran.report.is_null() {
        return ran.failed(4, &["the floor cannot be measured", "the generator "]);
    }
    ran.is_sound();
    assert_eq!(ran.number("/floor/rounds"), 1);
    for figure in ["cpu_us_per_delivery", "delivery_p50_us", "delivery_p99_us"] {
        let of = |part: &str| ran.report["floor"][figure][part].as_f64().unwrap();
        assert!(of("floor") > 0.0 && (of("ratio") - of("target") / of("floor")).abs() < 0.01, "{figure}: {ran:?}");
    }
    assert!(ran.stdout.contains("floor "), "{}", ran.stdout);
    // A server that stores every event cannot be cheaper than one that does nothing, with so few sessions.
    assert!(ran.report["floor"]["cpu_us_per_delivery"]["ratio"].as_f64().unwrap() > 1.0, "{ran:?}");
}
