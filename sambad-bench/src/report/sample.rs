//! Reports for tests: one of a run with everything in it, and one of a run in which nothing happened.

use hdrhistogram::Histogram;

use super::{
    Audit, ChaosSummary, Counts, FloorComparison, Generator, Interval, Judgement, Latency, LatencyKind, Machine, Mode, Objective,
    Ratio, Report, Scenario, ServerUsage, Target, TargetKind, Tool,
};

/// Half a minute of 150 writes a second to 1,000 dashboards, with one stall, two kills and an objective missed.
pub(crate) fn report() -> Report {
    let mut random = fastrand::Rng::with_seed(7);
    Report {
        latencies: latencies(&mut random),
        intervals: intervals(&mut random),
        counts: counts(),
        server: Some(ServerUsage {
            cpu_us: 22_110_000,
            cpu_us_per_delivery: Some(5.94),
            cpu_us_per_write: Some(891.2),
            rss_before_bytes: 9_100_000,
            rss_idle_bytes: 12_900_000,
            rss_end_bytes: 24_400_000,
            rss_bytes_per_session: Some(3585.0),
        }),
        audit: Audit { checked: 5_250_000, unanswered_arrived: 2, ..Audit::default() },
        chaos: Some(ChaosSummary { kills: 2, pauses: 1, downtimes_us: vec![312_000, 287_400], ..ChaosSummary::default() }),
        floor: Some(FloorComparison {
            rounds: 5,
            cpu_us_per_delivery: ratio(5.94, 5.48, [1.06, 0.99, 1.19]),
            delivery_p50_us: ratio(2310.0, 2180.0, [1.05, 0.97, 1.12]),
            delivery_p99_us: ratio(17_300.0, 21_000.0, [0.82, 0.61, 1.4]),
        }),
        objectives: vec![objective("p99<20ms", "17.3 ms", true), objective("delivery.p999<100ms", "1.21 s", false)],
        judgement: Judgement {
            exit_code: 1,
            reasons: vec!["objective missed: delivery.p999<100ms, measured 1.21 s".into()],
            remarks: vec![
                "the load generator shares its cores with other programs: a fifth of the time of core 1 was taken by somebody \
                 else, which makes latencies look longer than they are"
                    .into(),
                "2 writes had no response when the server was killed; their events arrived, once".into(),
            ],
        },
        ..empty()
    }
}

/// A run without writes, sessions and samples, that knows nothing of the server.
pub(crate) fn empty() -> Report {
    Report {
        schema: Report::SCHEMA,
        tool: Tool { version: "0.1.0".into(), commit: Some("1988042d0c5e".into()), optimised: true },
        started_at: "2026-07-01T12:00:00.123456Z".into(),
        command: ["sambad-bench", "run", "--dashboards", "1000", "--rate", "150", "--mix", "login=1,contact=6,message=3"]
            .map(String::from)
            .into(),
        machine: Machine {
            processor: "AMD EPYC 7B13".into(),
            cores: 2,
            memory_bytes: 25_200_000_000,
            system: "Linux 6.18.5".into(),
        },
        target: Target {
            kind: TargetKind::SelfHosted,
            url: "http://127.0.0.1:38123".into(),
            description: "sambad-server 0.1.0".into(),
            cores: vec![0],
        },
        scenario: Scenario {
            mode: Mode::Open { rate: 150.0, poisson: true },
            users: 200,
            dashboards: 1000,
            slow_dashboards: 10,
            app_sessions: 50,
            mix: "login=1,contact=6,message=3".into(),
            duration_s: 30.0,
            warmup_s: 5.0,
            ramp_up_s: 2.0,
            seed: 42,
            connections: 64,
            dialect: "sambad".into(),
            chaos: None,
        },
        counts: Counts::default(),
        latencies: Vec::new(),
        intervals: Vec::new(),
        generator: Generator {
            workers: 1,
            cpu_share: 0.43,
            busiest_share: 0.61,
            late_sends: 0,
            late_after_us: 1000,
            rss_max_bytes: 85_000_000,
        },
        server: None,
        services: Vec::new(),
        audit: Audit::default(),
        chaos: None,
        floor: None,
        objectives: Vec::new(),
        judgement: Judgement::default(),
    }
}

/// A distribution of these values, in microseconds.
pub(crate) fn latency(kind: LatencyKind, values: impl IntoIterator<Item = u64>) -> Latency {
    let mut histogram = Histogram::new(3).unwrap();
    for value in values {
        histogram.record(value).unwrap();
    }
    Latency::from_histogram(kind, &histogram)
}

fn counts() -> Counts {
    Counts {
        planned: 4500,
        acknowledged: 4498,
        without_event: 12,
        unanswered: 2,
        deliveries: 5_250_000,
        window_deliveries: 4_486_000,
        window_acknowledged: 4498,
        window_us: 30_000_000,
        bytes_received: 1_260_000_000,
        bytes_sent: 612_000,
        sessions: 1060,
        reconnects: 2120,
        ..Counts::default()
    }
}

fn latencies(random: &mut fastrand::Rng) -> Vec<Latency> {
    let mut normal = || (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos();
    // One in a hundred waits for the stall, which began up to 1.2 s before.
    let mut draw = |kind, median: f64, spread: f64, stall: f64| {
        latency(
            kind,
            (0..200_000).map(|i| {
                let waited = if i % 400 == 0 { stall * f64::from(i) / 200_000.0 } else { 0.0 };
                (median * (spread * normal()).exp() + waited) as u64
            }),
        )
    };
    vec![
        draw(LatencyKind::Delivery, 2300.0, 0.55, 1.25e6),
        draw(LatencyKind::DeliveryService, 2150.0, 0.5, 4e4),
        draw(LatencyKind::Response, 960.0, 0.4, 1.2e6),
        draw(LatencyKind::Service, 900.0, 0.35, 2e4),
        draw(LatencyKind::AckToDashboard, 1400.0, 0.6, 0.0),
        draw(LatencyKind::AppDelivery, 1900.0, 0.5, 1.2e6),
        draw(LatencyKind::Connect, 12_000.0, 0.7, 0.0),
        draw(LatencyKind::Lateness, 60.0, 0.4, 0.0),
    ]
}

fn intervals(random: &mut fastrand::Rng) -> Vec<Interval> {
    let second = |at_s| {
        let stalled = at_s == 21;
        let writes = if stalled { 60 } else { random.u64(138..163) };
        let slow = if stalled { 1200 } else { random.u64(9..16) };
        let measured = u64::from(at_s >= 5);
        Interval {
            at_s,
            acknowledged: writes,
            deliveries: writes * 1000,
            sessions: 1060,
            response_p50_us: measured * random.u64(900..1020),
            response_p99_us: measured * slow * random.u64(300..400),
            delivery_p50_us: measured * random.u64(2200..2600) * if stalled { 40 } else { 1 },
            delivery_p99_us: measured * slow * random.u64(850..1000),
            delivery_max_us: measured * slow * random.u64(1040..2800),
        }
    };
    (0..35).map(second).collect()
}

fn ratio(target: f64, floor: f64, [ratio, ratio_min, ratio_max]: [f64; 3]) -> Ratio {
    Ratio { target, floor, ratio, ratio_min, ratio_max }
}

fn objective(text: &str, measured: &str, met: bool) -> Objective {
    Objective { text: text.into(), measured: measured.into(), met }
}
