//! Latencies count from the plan: what a stalled server keeps waiting is not left out.

use crate::harness::run;

/// Goal: a stall shows in full in the response time, and the service time shows what it would have hidden. Method: the server
/// is stopped for a second, while 300 operations become due that four connections cannot carry.
#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_not_hidden() {
    let options = "--users 20 --dashboards 2 --mix message=1 --connections 4 --rate 300 --duration 3s --chaos pause=1600ms/1s";
    let ran = run(options).await;
    ran.is_sound();
    assert_eq!((ran.number("/chaos/pauses"), ran.number("/chaos/kills")), (1, 0));
    for (corrected, uncorrected) in [("response", "service"), ("delivery", "delivery_service")] {
        let (response, service) = (ran.latency(corrected, "p99_us"), ran.latency(uncorrected, "p99_us"));
        assert!(response > 500_000, "{corrected}: {response} µs");
        assert!(service * 3 < response, "{uncorrected}: {service} µs, and {corrected}: {response} µs");
        // The few that were on their way when it happened.
        let (response, service) = (ran.latency(corrected, "max_us"), ran.latency(uncorrected, "max_us"));
        assert!(response > 900_000 && service > 900_000, "{corrected}: {response} µs, {uncorrected}: {service} µs");
    }
    // A third of the time it stood still: so every tenth operation waited for longer than a tenth of a second at the least.
    assert!(ran.latency("response", "p90_us") > 100_000, "{ran:?}");
    // And the second in which they were answered shows it.
    let intervals = ran.report["intervals"].as_array().unwrap();
    assert!(intervals.iter().any(|interval| interval["response_p50_us"].as_u64() > Some(100_000)), "{ran:?}");
}
