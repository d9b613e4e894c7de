//! `find-max`: the highest load that meets an objective.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::run::{command_line, finish, measure, require_descriptors};
use crate::args::{Cores, LoadArgs, SESSIONS_MAX, TargetArgs};
use crate::engine::Chaos;
use crate::exit::Exit;
use crate::host::{self, interrupt, pin};
use crate::judgement::generator_limits;
use crate::load::plan::{Pace, Plan};
use crate::report::{LatencyKind, Machine, Report, Tool, file, fmt::duration as shown_duration};
use crate::search::{Found, Range, Verdict, highest};
use crate::slo::Slo;

/// What is searched for, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct FindMaxArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Objectives that a level must meet; the audit must always be clean
    #[arg(long, value_name = "OBJECTIVES", default_value = "p99<50ms,lost=0", help_heading = "Search")]
    slo: Slo,
    /// The load to raise: operations per second, dashboards (each receives every event), or app sessions (each receives one
    /// user's events)
    #[arg(long, value_enum, default_value_t = By::Rate, help_heading = "Search")]
    by: By,
    /// First level
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Search")]
    start: u64,
    /// Last level [default: 1,000,000 operations per second, or as many sessions as the file descriptors allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Search")]
    max: Option<u64>,
    /// Measurements per level; the majority decides
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99), help_heading = "Search")]
    repeats: u32,
    /// Maximum distance between the last level met and the first level missed, in percent of the level met
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100), help_heading = "Search")]
    precision: u8,
    /// Write all steps and the result as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
}

/// One measurement, as it is printed and kept.
#[derive(Debug, Serialize)]
struct Step {
    level: u64,
    repeat: u32,
    verdict: Verdict,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    why: String,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Kept {
    /// Version of this form.
    schema: u32,
    tool: Tool,
    command: Vec<String>,
    machine: Machine,
    steps: Vec<Step>,
    found: Found,
    conclusion: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::GeneratorLimited => "unclear",
        };
        let shown = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), shown_duration);
        let (p50, p99) = (shown(self.p50_us), shown(self.p99_us));
        write!(f, "{:>12}  {:>4}  {verdict:<8}  {p50:>9}  {p99:>9}  {}", self.level, self.repeat, self.why)
    }
}

/// What is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Operations per second
    Rate,
    /// Dashboards
    Dashboards,
    /// App sessions, each with the events of one user
    Connections,
}

impl FindMaxArgs {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        if self.load.closed.is_some() && self.by == By::Rate {
            return Err(Exit::Usage.because("--closed has no rate to raise: use --by dashboards, or omit --closed"));
        }
        let cores = self.target.cores();
        let base = self.load.plan(&self.target, cores.generator.len())?;
        require_descriptors(&base)?;
        if let Some(path) = &self.json {
            file::check_writable(path).map_err(|error| Exit::Usage.because(format!("{error:#}")))?;
        }
        interrupt::watch()?;
        pin::confine(&cores.generator);
        let max = self.max.unwrap_or_else(|| self.default_max(&base));
        if max < self.start {
            return Err(Exit::Usage.because(format!("--max {max} is below --start {}", self.start)));
        }
        let range = Range { start: self.start, max, precision: f64::from(self.precision) / 100.0, repeats: self.repeats };
        let mut stdout = anstream::stdout();
        writeln!(stdout, "searching for the most {} with {}\n", self.what(), self.slo)?;
        writeln!(stdout, "{:>12}  {:>4}  {:<8}  {:>9}  {:>9}  why", self.unit(), "run", "verdict", "p50", "p99")?;
        let mut steps = Vec::new();
        let found = highest(range, |level, repeat| {
            let step = self.step(&base, &cores, level, repeat)?;
            writeln!(stdout, "{step}")?;
            stdout.flush()?;
            let verdict = step.verdict;
            steps.push(step);
            Ok(verdict)
        })?;
        let (conclusion, exit) = self.conclusion(found);
        writeln!(stdout, "\n{conclusion}")?;
        if let Some(path) = &self.json {
            let command = command_line();
            let machine = Machine { cores: cores.allowed, ..host::machine() };
            let kept = Kept { schema: 1, tool: host::tool(), command, machine, steps, found, conclusion };
            file::write(path, serde_json::to_string_pretty(&kept)?)?;
        }
        Ok(exit)
    }

    fn step(&self, base: &Plan, cores: &Cores, level: u64, repeat: u32) -> anyhow::Result<Step> {
        let (verdict, latency_us, why) = match self.measure(base, cores, level) {
            Ok(report) => {
                let (verdict, why) = verdict(&report);
                (verdict, headline(&report), why)
            }
            // A server that gives up under a load does not meet it; a first level that fails is a mistake.
            Err(error) if Exit::of(&error) == Exit::Invalid && level > self.start => {
                interrupt::check()?;
                (Verdict::Missed, None, format!("{error:#}"))
            }
            Err(error) => return Err(error),
        };
        Ok(Step { level, repeat, verdict, p50_us: latency_us.map(|us| us.0), p99_us: latency_us.map(|us| us.1), why })
    }

    /// One measurement; each has a server, users and sessions of its own, so that none inherits another's backlog.
    fn measure(&self, base: &Plan, cores: &Cores, level: u64) -> anyhow::Result<Report> {
        let plan = self.at(base, level)?;
        let mut report = measure(&self.target, &plan, cores, Chaos::new(&[]), &format!("{level} {} · ", self.unit()))?;
        finish(&mut report, Some(&self.slo));
        Ok(report)
    }

    /// The plan of a level: with as many users as it needs.
    fn at(&self, base: &Plan, level: u64) -> anyhow::Result<Plan> {
        let number = u32::try_from(level).unwrap_or(u32::MAX);
        let mut load = self.load.clone();
        match self.by {
            By::Rate => load.rate = f64::from(number),
            By::Dashboards => load.dashboards = number,
            By::Connections => {
                load.app_sessions = number;
                load.users = load.users.max(number);
            }
        }
        if let Pace::Open { .. } = base.pace {
            load.users = load.users.max(load.users_needed());
        }
        let plan = load.plan(&self.target, self.target.cores().generator.len())?;
        require_descriptors(&plan)?;
        Ok(plan)
    }

    fn default_max(&self, base: &Plan) -> u64 {
        const RATE_MAX: u64 = 1_000_000;
        match self.by {
            By::Rate => RATE_MAX,
            By::Dashboards | By::Connections => {
                let allowed = crate::host::limits::sessions_max(base.connections as usize) as u64;
                let others =
                    u64::from(base.sessions() - if self.by == By::Dashboards { base.dashboards } else { base.app_sessions });
                allowed.saturating_sub(others).clamp(1, SESSIONS_MAX.unsigned_abs())
            }
        }
    }

    fn what(&self) -> &'static str {
        match self.by {
            By::Rate => "operations per second",
            By::Dashboards => "dashboards",
            By::Connections => "app sessions",
        }
    }

    fn unit(&self) -> &'static str {
        match self.by {
            By::Rate => "ops/s",
            By::Dashboards => "dashboards",
            By::Connections => "sessions",
        }
    }

    fn conclusion(&self, found: Found) -> (String, Exit) {
        let (what, slo) = (self.what(), &self.slo);
        match found {
            Found::Highest { met, missed } => (format!("{met} {what} meet {slo}; {missed} do not"), Exit::Fine),
            Found::AtMax { met } => (format!("at least {met} {what} meet {slo}: the search ended there"), Exit::Fine),
            Found::NotEven { start } => (format!("{start} {what} already miss {slo}: use a lower --start"), Exit::Missed),
            Found::GeneratorLimited { met, limited } => {
                let least = met.map_or_else(String::new, |met| format!("at least {met} {what} meet {slo}; "));
                (
                    format!("{least}the maximum is unknown: at {limited} the generator was the limit, not the server"),
                    Exit::Invalid,
                )
            }
        }
    }
}

/// What a report says about its level: a failed audit is a miss, whatever else holds.
fn verdict(report: &Report) -> (Verdict, String) {
    let why = report.judgement.reasons.first().cloned().unwrap_or_default();
    let verdict = match Exit::from_code(report.judgement.exit_code) {
        Exit::Fine => Verdict::Met,
        Exit::AuditFailed => Verdict::Missed,
        _ if !generator_limits(report).is_empty() => Verdict::GeneratorLimited,
        Exit::Missed | Exit::Usage | Exit::Invalid => Verdict::Missed,
    };
    (verdict, why)
}

/// The median and the 99th percentile of the headline, in microseconds.
fn headline(report: &Report) -> Option<(u64, u64)> {
    let kinds = [LatencyKind::Delivery, LatencyKind::AppDelivery, LatencyKind::Response];
    let summary = kinds.into_iter().find_map(|kind| report.latency(kind))?.summary;
    Some((summary.p50_us, summary.p99_us))
}
