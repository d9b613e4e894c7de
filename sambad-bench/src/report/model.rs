//! The report's form: what `--json` writes and `report` and `compare` read.
//!
//! Field names are the JSON's and end with their unit. A change that an older reader would misread raises
//! [`Report::SCHEMA`].

use serde::{Deserialize, Serialize};

use super::latency_kind::LatencyKind;

/// Everything known about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Version of this form.
    pub(crate) schema: u32,
    /// What measured.
    pub(crate) tool: Tool,
    /// When the run began, RFC 3339 in UTC.
    pub(crate) started_at: String,
    /// The command line, program first.
    pub(crate) command: Vec<String>,
    /// Where it was measured.
    pub(crate) machine: Machine,
    /// What was measured.
    pub(crate) target: Target,
    /// What was asked for.
    pub(crate) scenario: Scenario,
    /// What was done in the measured time.
    pub(crate) counts: Counts,
    /// One entry for each kind of latency that has samples, in the order of [`LatencyKind::ALL`].
    pub(crate) latencies: Vec<Latency>,
    /// One entry a second, warm-up included.
    pub(crate) intervals: Vec<Interval>,
    /// What the load generator itself needed.
    pub(crate) generator: Generator,
    /// What the server needed, if it runs on this machine and is known.
    pub(crate) server: Option<ServerUsage>,
    /// What each process around the servers needed, as PostgreSQL and Redis; empty where none was started for the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<ServiceUsage>,
    /// Whether every event arrived, once and in order.
    pub(crate) audit: Audit,
    /// What was done to the server on purpose.
    pub(crate) chaos: Option<ChaosSummary>,
    /// The same deliveries by a bare server.
    pub(crate) floor: Option<FloorComparison>,
    /// Objectives and whether they were met; empty when none was given.
    pub(crate) objectives: Vec<Objective>,
    /// How the run is judged.
    pub(crate) judgement: Judgement,
}

impl Report {
    /// The version of the form that this program writes.
    pub(crate) const SCHEMA: u32 = 1;

    /// The latency of that kind, if it has samples.
    pub(crate) fn latency(&self, kind: LatencyKind) -> Option<&Latency> {
        self.latencies.iter().find(|latency| latency.kind == kind)
    }
}

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tool {
    /// Version of `sambad-bench`.
    pub(crate) version: String,
    /// Git commit it was built from, `-dirty` appended when files differed; `None` outside a repository.
    pub(crate) commit: Option<String>,
    /// Whether the compiler optimised; without it no figure means anything.
    pub(crate) optimised: bool,
}

/// The machine of the load generator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Processor, as it names itself.
    pub(crate) processor: String,
    /// Cores that this program was allowed to use when it started.
    pub(crate) cores: usize,
    /// Memory in bytes.
    pub(crate) memory_bytes: u64,
    /// System and kernel, such as `Linux 6.1.0`.
    pub(crate) system: String,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Who started it.
    pub(crate) kind: TargetKind,
    /// Base address.
    pub(crate) url: String,
    /// Which path, program or build: `sambad-server 0.1.0`, for a self-hosted one.
    pub(crate) description: String,
    /// Cores that a self-hosted server was confined to; empty when it was not.
    pub(crate) cores: Vec<usize>,
}

/// Who started the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TargetKind {
    /// The load generator, as a separate process with a temporary database.
    SelfHosted,
    /// Somebody else.
    Remote,
}

/// What was asked for, all defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scenario {
    /// How writes are paced.
    pub(crate) mode: Mode,
    /// Simulated app users.
    pub(crate) users: u32,
    /// Dashboards: sessions that see every event.
    pub(crate) dashboards: u32,
    /// Dashboards that read at a trickle, beyond those.
    pub(crate) slow_dashboards: u32,
    /// App sessions: each sees the events of one user.
    pub(crate) app_sessions: u32,
    /// Shares of the operations, as given: `login=1,contact=6,message=3`.
    pub(crate) mix: String,
    /// Measured time in seconds.
    pub(crate) duration_s: f64,
    /// Time under the same load before it, in seconds.
    pub(crate) warmup_s: f64,
    /// Time over which sessions are opened, in seconds.
    pub(crate) ramp_up_s: f64,
    /// What the plan of operations and instants was drawn from.
    pub(crate) seed: u64,
    /// Connections for writes, at most.
    pub(crate) connections: u32,
    /// What the target speaks: `sambad`, `broadcast` or `floor`.
    pub(crate) dialect: String,
    /// Faults, as given: `kill9=5s`; `None` for none.
    pub(crate) chaos: Option<String>,
}

/// How writes are paced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "loop")]
pub(crate) enum Mode {
    /// By plan, whatever the server does.
    Open {
        /// Operations a second.
        rate: f64,
        /// Whether the gaps are random (exponential) or all equal.
        poisson: bool,
    },
    /// By answers: each of this many writers sends its next operation when the last one is answered.
    Closed {
        /// Writers.
        writers: u32,
    },
}

/// What was done in the measured time, warm-up excluded unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Operations whose instant came.
    pub(crate) planned: u64,
    /// Operations acknowledged by a 2xx.
    pub(crate) acknowledged: u64,
    /// Acknowledged operations that caused no event (the contact was there already).
    pub(crate) without_event: u64,
    /// Operations refused by a status of 400 or above.
    pub(crate) refused: u64,
    /// Requests sent again with their idempotency key, as no answer had come; warm-up included.
    #[serde(default)]
    pub(crate) retried: u64,
    /// The first refusal's text, if there was one.
    pub(crate) first_refusal: Option<String>,
    /// Operations sent to which no answer came: outcome unknown.
    pub(crate) unanswered: u64,
    /// Events received by all sessions together, warm-up included.
    pub(crate) deliveries: u64,
    /// Events received in the window for rates and CPU: from the end of the warm-up to the last planned instant.
    pub(crate) window_deliveries: u64,
    /// Writes acknowledged in that window.
    pub(crate) window_acknowledged: u64,
    /// Length of that window in microseconds.
    pub(crate) window_us: u64,
    /// Bytes of WebSocket payload received, warm-up included.
    pub(crate) bytes_received: u64,
    /// Bytes of request bodies sent, warm-up included.
    pub(crate) bytes_sent: u64,
    /// Sessions that were opened.
    pub(crate) sessions: u64,
    /// Connections lost and made again, all sessions together.
    pub(crate) reconnects: u64,
    /// Deliveries that came too late to be timed, after their operation had left the window of memory.
    pub(crate) untimed: u64,
}

impl Counts {
    /// Deliveries a second.
    pub(crate) fn deliveries_per_s(&self) -> f64 {
        per_second(self.window_deliveries, self.window_us)
    }

    /// Acknowledged writes a second.
    pub(crate) fn publishes_per_s(&self) -> f64 {
        per_second(self.window_acknowledged, self.window_us)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per_second(count: u64, window_us: u64) -> f64 {
    if window_us == 0 { 0.0 } else { count as f64 * 1e6 / window_us as f64 }
}

/// A distribution in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// What it runs from and to.
    pub(crate) kind: LatencyKind,
    /// Its usual figures, for readers without a histogram library.
    pub(crate) summary: Summary,
    /// All of it: an HdrHistogram of microseconds with 3 significant digits, V2 encoding, in base64.
    pub(crate) histogram_v2_base64: String,
}

/// The usual figures of a distribution, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Samples.
    pub(crate) count: u64,
    /// Smallest.
    pub(crate) min_us: u64,
    /// Arithmetic mean.
    pub(crate) mean_us: f64,
    /// Median.
    pub(crate) p50_us: u64,
    /// 90th percentile.
    pub(crate) p90_us: u64,
    /// 99th percentile.
    pub(crate) p99_us: u64,
    /// 99.9th percentile.
    pub(crate) p999_us: u64,
    /// Largest.
    pub(crate) max_us: u64,
}

/// One second of a run; latencies are those of measured operations, 0 when there were none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// Begin, in seconds since the load began; the warm-up counts.
    pub(crate) at_s: u32,
    /// Operations acknowledged.
    pub(crate) acknowledged: u64,
    /// Events received.
    pub(crate) deliveries: u64,
    /// Sessions open at its end.
    pub(crate) sessions: u64,
    /// Median response time.
    pub(crate) response_p50_us: u64,
    /// 99th percentile of the response time.
    pub(crate) response_p99_us: u64,
    /// Median of write → dashboard.
    pub(crate) delivery_p50_us: u64,
    /// 99th percentile of write → dashboard.
    pub(crate) delivery_p99_us: u64,
    /// Largest of write → dashboard.
    pub(crate) delivery_max_us: u64,
}

/// What the load generator itself needed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generator {
    /// Threads that send and receive.
    pub(crate) workers: usize,
    /// CPU time in the window, as a share of the cores that it may use: 1 is all of them.
    pub(crate) cpu_share: f64,
    /// How busy its busiest thread was in the window: running, or waiting for a core; 1 is all the time.
    pub(crate) busiest_share: f64,
    /// Writes that the generator got round to more than `late_after_us` after their intended start.
    pub(crate) late_sends: u64,
    /// What counts as late.
    pub(crate) late_after_us: u64,
    /// Largest resident memory seen, in bytes.
    pub(crate) rss_max_bytes: u64,
}

/// What the server needed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerUsage {
    /// CPU time in the window, in microseconds.
    pub(crate) cpu_us: u64,
    /// Of it, for each event delivered; `None` without deliveries.
    pub(crate) cpu_us_per_delivery: Option<f64>,
    /// Of it, for each acknowledged write; `None` without writes.
    pub(crate) cpu_us_per_write: Option<f64>,
    /// Resident memory before the first session, in bytes.
    pub(crate) rss_before_bytes: u64,
    /// Resident memory when all sessions were open and nothing had been sent, in bytes.
    pub(crate) rss_idle_bytes: u64,
    /// Resident memory at the end, in bytes.
    pub(crate) rss_end_bytes: u64,
    /// Growth of resident memory by the sessions, for each of them; `None` without sessions.
    pub(crate) rss_bytes_per_session: Option<f64>,
}

/// What a process needed that was started around the servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceUsage {
    /// PostgreSQL, Redis or nginx.
    pub(crate) name: String,
    /// CPU time in the window, in microseconds, of all its processes.
    pub(crate) cpu_us: u64,
    /// Of it, for each acknowledged write; `None` without writes.
    pub(crate) cpu_us_per_write: Option<f64>,
}

/// Whether every event arrived, once and in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audit {
    /// Deliveries that were checked.
    pub(crate) checked: u64,
    /// Deliveries that never came: an event that one session should have seen and did not.
    pub(crate) lost: u64,
    /// Deliveries that came again.
    pub(crate) duplicate: u64,
    /// Deliveries that came after a later one.
    pub(crate) reordered: u64,
    /// Events that nothing explains: nobody asked for them, or they differ from what was asked or seen elsewhere.
    pub(crate) unexplained: u64,
    /// Events by others that were counted and not judged, where that was asked for.
    pub(crate) foreign: u64,
    /// Writes without an answer whose event arrived all the same, as it may, once.
    pub(crate) unanswered_arrived: u64,
    /// The first ten faults, in words, each with its seq.
    pub(crate) findings: Vec<String>,
}

impl Audit {
    /// Whether nothing was found.
    pub(crate) const fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicate == 0 && self.reordered == 0 && self.unexplained == 0
    }
}

/// What was done to the server on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChaosSummary {
    /// Times it was killed with SIGKILL and started again.
    pub(crate) kills: u64,
    /// Times it was stopped with SIGSTOP and continued.
    pub(crate) pauses: u64,
    /// From each kill until it accepted connections again, in microseconds.
    pub(crate) downtimes_us: Vec<u64>,
    /// Times Redis was ended and started again.
    #[serde(default)]
    pub(crate) redis_restarts: u64,
    /// Times a server was cut off from Redis.
    #[serde(default)]
    pub(crate) redis_cuts: u64,
    /// Times PostgreSQL was ended and started again.
    #[serde(default)]
    pub(crate) postgres_restarts: u64,
}

impl ChaosSummary {
    /// Faults of all kinds.
    pub(crate) const fn faults(&self) -> u64 {
        self.kills + self.pauses + self.redis_restarts + self.redis_cuts + self.postgres_restarts
    }
}

/// The same deliveries by a bare server, in turn with the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FloorComparison {
    /// Rounds, each of target and floor.
    pub(crate) rounds: u32,
    /// Server CPU microseconds for each delivery.
    pub(crate) cpu_us_per_delivery: Ratio,
    /// Median of write → dashboard in microseconds.
    pub(crate) delivery_p50_us: Ratio,
    /// 99th percentile of write → dashboard in microseconds.
    pub(crate) delivery_p99_us: Ratio,
}

/// A figure of the target against that of the floor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// Median over the rounds, target.
    pub(crate) target: f64,
    /// Median over the rounds, floor.
    pub(crate) floor: f64,
    /// Median of the rounds' ratios, target / floor.
    pub(crate) ratio: f64,
    /// Smallest of the rounds' ratios.
    pub(crate) ratio_min: f64,
    /// Largest of the rounds' ratios.
    pub(crate) ratio_max: f64,
}

/// An objective and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Objective {
    /// As given: `p99<20ms`.
    pub(crate) text: String,
    /// What was measured, in words: `17.3 ms`.
    pub(crate) measured: String,
    /// Whether it was met.
    pub(crate) met: bool,
}

/// How the run is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    /// The exit code of the run.
    pub(crate) exit_code: u8,
    /// Why it is not 0, most important first; empty when it is.
    pub(crate) reasons: Vec<String>,
    /// What a reader should know and what does not change the verdict.
    pub(crate) remarks: Vec<String>,
}
