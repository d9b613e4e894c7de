//! What a run left, and how it becomes a report.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::load::clock::nanos;
use crate::load::plan::{Pace, Plan, Shared};
use crate::load::recorder::Recorder;
use crate::report::{ChaosSummary, Counts, Generator, Interval, Latency, Mode, Scenario, ServerUsage, ServiceUsage};

use super::target::Target;
use crate::host::usage;

/// Usage at the ends of the measured time, and between.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    from: Option<Mark>,
    to: Option<Mark>,
    pub(super) rss_before: Option<u64>,
    pub(super) rss_idle: Option<u64>,
    pub(super) rss_end: Option<u64>,
    pub(super) own_rss_max: u64,
}

/// What the counters said at one instant.
#[derive(Debug, Clone)]
struct Mark {
    at_ns: u64,
    deliveries: u64,
    acknowledged: u64,
    server_cpu: Option<Duration>,
    services: Vec<(&'static str, Duration)>,
    own_cpu: Option<Duration>,
    busy_threads: BTreeMap<u32, Duration>,
}

impl Window {
    /// Reads the counters when the measured time begins, and when it ends.
    pub(super) fn observe(&mut self, now_ns: u64, from_ns: u64, to_ns: u64, shared: &Shared, target: &Target) {
        if now_ns >= from_ns && self.from.is_none() {
            self.from = Some(Mark::now(shared, target));
        }
        if now_ns >= to_ns && self.to.is_none() {
            self.to = Some(Mark::now(shared, target));
        }
    }
}

impl Window {
    /// The largest share of the measured time that a thread was busy.
    fn busiest_share(&self) -> Option<f64> {
        let (from, to) = (self.from.as_ref()?, self.to.as_ref()?);
        let elapsed = Duration::from_nanos(to.at_ns - from.at_ns).as_secs_f64();
        let busy = to.busy_threads.iter().filter_map(|(thread, now)| Some(now.saturating_sub(*from.busy_threads.get(thread)?)));
        busy.max().map(|busy| busy.as_secs_f64() / elapsed)
    }
}

impl Mark {
    fn now(shared: &Shared, target: &Target) -> Self {
        let (deliveries, acknowledged) = shared.progress_sum();
        Self {
            at_ns: shared.clock.now_ns(),
            deliveries,
            acknowledged,
            server_cpu: target.usage().map(|usage| usage.cpu),
            services: target.services(),
            own_cpu: usage::own().map(|usage| usage.cpu),
            busy_threads: usage::busy_threads(),
        }
    }
}

/// Everything known about a run that went through.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    pub(crate) total: Recorder,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) window: Window,
    pub(crate) chaos: Option<ChaosSummary>,
}

impl Outcome {
    pub(crate) fn latencies(&self) -> Vec<Latency> {
        self.total.latencies().map(|(kind, histogram)| Latency::from_histogram(kind, histogram)).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        let tally = &self.total.tally;
        let mut counts = Counts {
            planned: tally.planned,
            acknowledged: tally.acknowledged,
            without_event: tally.without_event,
            refused: tally.refused,
            retried: tally.retried,
            first_refusal: tally.first_refusal.clone(),
            unanswered: tally.unanswered,
            deliveries: tally.deliveries,
            bytes_received: tally.bytes_received,
            bytes_sent: tally.bytes_sent,
            sessions: tally.opened,
            reconnects: tally.reconnects,
            untimed: tally.untimed,
            ..Counts::default()
        };
        if let (Some(from), Some(to)) = (&self.window.from, &self.window.to) {
            counts.window_deliveries = to.deliveries - from.deliveries;
            counts.window_acknowledged = to.acknowledged - from.acknowledged;
            counts.window_us = (to.at_ns - from.at_ns) / 1000;
        }
        counts
    }

    /// `cores`: how many the generator may use.
    pub(crate) fn generator(&self, cores: usize) -> Generator {
        let plan = &self.plan;
        let cpu_share = match (&self.window.from, &self.window.to) {
            (Some(Mark { own_cpu: Some(from), at_ns: begin, .. }), Some(Mark { own_cpu: Some(to), at_ns: end, .. })) => {
                let cores = u32::try_from(cores).map_or(f64::MAX, f64::from);
                to.saturating_sub(*from).as_secs_f64() / Duration::from_nanos(end - begin).as_secs_f64() / cores
            }
            _ => 0.0,
        };
        Generator {
            workers: (plan.writer_threads + plan.watcher_threads) as usize,
            cpu_share,
            busiest_share: self.window.busiest_share().unwrap_or_default(),
            late_sends: self.total.tally.late,
            late_after_us: nanos(plan.late_after) / 1000,
            rss_max_bytes: self.window.own_rss_max,
        }
    }

    /// What the server used, if its process is known and was the same throughout.
    pub(crate) fn server(&self) -> Option<ServerUsage> {
        let window = &self.window;
        let (from, to) = (window.from.as_ref()?, window.to.as_ref()?);
        // A server that was killed meanwhile began to count anew, and may be beyond where the other was by now.
        if self.chaos.as_ref().is_some_and(|chaos| chaos.kills > 0) {
            return None;
        }
        let cpu = to.server_cpu?.checked_sub(from.server_cpu?)?;
        let counts = self.counts();
        let per = |count: u64| (count > 0).then(|| cpu.as_secs_f64() * 1e6 / to_f64(count));
        let (before, idle) = (window.rss_before?, window.rss_idle?);
        Some(ServerUsage {
            cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
            cpu_us_per_delivery: per(counts.window_deliveries),
            cpu_us_per_write: per(counts.window_acknowledged),
            rss_before_bytes: before,
            rss_idle_bytes: idle,
            rss_end_bytes: window.rss_end.unwrap_or_default(),
            rss_bytes_per_session: (counts.sessions > 0).then(|| to_f64(idle.saturating_sub(before)) / to_f64(counts.sessions)),
        })
    }

    /// What the processes around the servers used, but for those that were not there throughout.
    pub(crate) fn services(&self) -> Vec<ServiceUsage> {
        let (Some(from), Some(to)) = (&self.window.from, &self.window.to) else { return Vec::new() };
        if self.chaos.as_ref().is_some_and(|chaos| chaos.redis_restarts + chaos.postgres_restarts > 0) {
            return Vec::new();
        }
        let writes = self.counts().window_acknowledged;
        let used = to.services.iter().filter_map(|(name, now)| {
            let (_, before) = from.services.iter().find(|(before, _)| before == name)?;
            let cpu = now.checked_sub(*before)?;
            Some(ServiceUsage {
                name: (*name).to_owned(),
                cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
                cpu_us_per_write: (writes > 0).then(|| cpu.as_secs_f64() * 1e6 / to_f64(writes)),
            })
        });
        used.collect()
    }

    pub(crate) fn scenario(&self, chaos: Option<String>) -> Scenario {
        let plan = &self.plan;
        Scenario {
            mode: match plan.pace {
                Pace::Open { rate, poisson } => Mode::Open { rate, poisson },
                Pace::Closed { writers } => Mode::Closed { writers },
            },
            users: plan.users,
            dashboards: plan.dashboards,
            slow_dashboards: plan.slow_dashboards,
            app_sessions: plan.app_sessions,
            mix: plan.mix.to_string(),
            duration_s: plan.duration.as_secs_f64(),
            warmup_s: plan.warmup.as_secs_f64(),
            ramp_up_s: plan.ramp_up.as_secs_f64(),
            seed: plan.seed,
            connections: plan.connections,
            dialect: plan.dialect.to_string(),
            chaos,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes stay far below 2^52")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
