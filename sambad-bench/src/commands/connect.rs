//! `connect`: a connection storm, and what sessions cost while nothing happens.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::run::{close, command_line, description, open, require_descriptors};
use crate::args::{LoadArgs, SESSIONS_MAX, TargetArgs};
use crate::engine::{Storm, storm};
use crate::exit::Exit;
use crate::host::{self, interrupt, pin};
use crate::live::Live;
use crate::load::plan::Plan;
use crate::report::{Audit, Latency, LatencyKind, Machine, Tool, file, fmt as shown};
use crate::values::duration;

/// How many, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Sessions, each of which receives every event
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=SESSIONS_MAX))]
    sessions: u32,
    /// Time in which to open the sessions; 0s opens them as fast as possible
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    ramp_up: Duration,
    /// Idle time, to measure the cost of idle sessions; a server pings each session about every 25 s
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    idle: Duration,
    /// Skip the restart of the server, after which all sessions reconnect (always skipped with --target)
    #[arg(long)]
    no_restart: bool,
    /// Write the figures, with both histograms, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is told, and kept.
#[derive(Debug, Serialize)]
struct ConnectReport {
    /// Version of this form.
    schema: u32,
    tool: Tool,
    command: Vec<String>,
    machine: Machine,
    target: String,
    sessions: u32,
    opening_s: f64,
    sessions_per_s: f64,
    connect: Option<Latency>,
    connect_service: Option<Latency>,
    rss_before_bytes: Option<u64>,
    rss_open_bytes: Option<u64>,
    rss_bytes_per_session: Option<f64>,
    idle_s: f64,
    idle_cpu_us_per_session_and_s: Option<f64>,
    downtime_s: Option<f64>,
    returning_s: Option<f64>,
    returns_per_s: Option<f64>,
    reconnect: Option<Latency>,
    audit: Audit,
}

impl ConnectArgs {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let cores = self.target.cores();
        let plan = self.plan(cores.generator.len())?;
        require_descriptors(&plan)?;
        if let Some(path) = &self.json {
            file::check_writable(path).map_err(|error| Exit::Usage.because(format!("{error:#}")))?;
        }
        interrupt::watch()?;
        pin::confine(&cores.generator);
        let mut target = open(&self.target, &cores)?;
        let live = Live::new("", self.idle);
        let storm = storm(plan, &mut target, self.idle, !self.no_restart, &|text| live.say(text));
        drop(live);
        let storm = storm.and_then(|storm| close(target).map(|()| storm))?;
        let report = self.report(&storm, cores.allowed);
        if let Some(path) = &self.json {
            file::write(path, serde_json::to_string_pretty(&report)?)?;
        }
        let mut stdout = anstream::stdout().lock();
        write!(stdout, "{report}")?;
        stdout.flush()?;
        Ok(if report.audit.is_clean() { Exit::Fine } else { Exit::AuditFailed })
    }

    fn plan(&self, cores: usize) -> anyhow::Result<Plan> {
        let load = LoadArgs { dashboards: self.sessions, ramp_up: self.ramp_up, ..LoadArgs::none() };
        load.plan(&self.target, cores)
    }

    fn report(&self, storm: &Storm, cores: usize) -> ConnectReport {
        let [before, open, idle] = storm.usage;
        let sessions = f64::from(self.sessions);
        let latency = |kind| storm.recorder.latency(kind).map(|histogram| Latency::from_histogram(kind, histogram));
        let idle_cpu = open.zip(idle).map(|(open, idle)| idle.cpu.saturating_sub(open.cpu).as_secs_f64() * 1e6);
        let idle_s = self.idle.as_secs_f64();
        ConnectReport {
            schema: 1,
            tool: host::tool(),
            command: command_line(),
            machine: Machine { cores, ..host::machine() },
            target: description(&self.target),
            sessions: self.sessions,
            opening_s: storm.opening.as_secs_f64(),
            sessions_per_s: sessions / storm.opening.as_secs_f64(),
            connect: latency(LatencyKind::Connect),
            rss_before_bytes: before.map(|usage| usage.rss_bytes),
            rss_open_bytes: open.map(|usage| usage.rss_bytes),
            rss_bytes_per_session: before.zip(open).map(|(b, o)| to_f64(o.rss_bytes.saturating_sub(b.rss_bytes)) / sessions),
            idle_s,
            idle_cpu_us_per_session_and_s: idle_cpu.filter(|_| idle_s > 0.0).map(|us| us / sessions / idle_s),
            downtime_s: storm.downtime.map(|time| time.as_secs_f64()),
            returning_s: storm.returning.map(|time| time.as_secs_f64()),
            returns_per_s: storm.returning.map(|time| sessions / time.as_secs_f64()),
            reconnect: latency(LatencyKind::Reconnect),
            connect_service: latency(LatencyKind::ConnectService),
            audit: storm.recorder.tally.audit.clone(),
        }
    }
}

impl fmt::Display for ConnectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "target      {}", self.target)?;
        writeln!(f, "opened      {} sessions in {:.2} s: {:.0} per second", self.sessions, self.opening_s, self.sessions_per_s)?;
        if let (Some(before), Some(open), Some(each)) = (self.rss_before_bytes, self.rss_open_bytes, self.rss_bytes_per_session) {
            let (before, open) = (shown::size(before), shown::size(open));
            writeln!(f, "memory      {} per session ({before} resident before, {open} with the sessions)", shown::bytes(each))?;
        }
        if let Some(cpu) = self.idle_cpu_us_per_session_and_s {
            writeln!(f, "idle        {cpu:.3} µs CPU per session and second, over {:.0} s", self.idle_s)?;
        }
        if let (Some(down), Some(back), Some(rate)) = (self.downtime_s, self.returning_s, self.returns_per_s) {
            writeln!(
                f,
                "restart     down for {:.0} ms; all sessions reconnected within {back:.2} s: {rate:.0} per second",
                down * 1000.0
            )?;
        }
        writeln!(f, "\nlatency               p50        p90        p99      p99.9        max      count")?;
        for latency in [&self.connect, &self.connect_service, &self.reconnect].into_iter().flatten() {
            let summary = &latency.summary;
            write!(f, "{:<14}", latency.kind.label())?;
            for us in [summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us] {
                write!(f, " {:>10}", shown::duration(us))?;
            }
            writeln!(f, " {:>10}", shown::count(summary.count))?;
        }
        let Audit { lost, duplicate, reordered, unexplained, .. } = self.audit;
        writeln!(f, "\naudit       lost {lost} · duplicate {duplicate} · reordered {reordered} · unexplained {unexplained}")?;
        for finding in &self.audit.findings {
            writeln!(f, "            {finding}")?;
        }
        if !self.tool.optimised {
            writeln!(f, "\nbuilt without optimisation: the figures are not valid; use cargo run --release")?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory stay far below 2^52")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}
