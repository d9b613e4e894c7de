//! The command line: as typed, and what it comes to.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::cluster_args::ClusterArgs;
use crate::commands::{compare, connect, find_max, report, simulate};
use crate::engine::Fault;
use crate::exit::Exit;
use crate::host::{HostedArgs, pin};
use crate::load::dialect::Dialect;
use crate::load::mix::{Mix, OpKind};
use crate::load::plan::{Pace, Plan, THREADS_MAX};
use crate::load::workload::{INDEXES, Workload};
use crate::secret::Secret;
use crate::slo::Slo;
use crate::values::duration;

const AFTER_HELP: &str = "\
Exit codes:
  0  success
  1  an objective was missed
  2  the command line is invalid or cannot be executed
  3  events were lost, repeated, reordered or unexplained
  4  the run is invalid: the generator was the limit, or the target failed

Without --target, sambad-bench starts a server: a separate process, with a temporary database, on half of the cores.";

/// Load generator: measures the time from the planned start of a write to its arrival at every dashboard, and audits every delivery.
#[derive(Debug, Parser)]
#[command(name = "sambad-bench", version, max_term_width = 100, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What to do; without one, `run`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put a server under load and report latencies, costs and the audit (default without a subcommand)
    Run(Box<RunArgs>),
    /// Find the highest rate, or the most sessions, that meets an objective
    FindMax(Box<find_max::FindMaxArgs>),
    /// Open many sessions at once and measure the rate, and the cost of idle sessions
    Connect(connect::ConnectArgs),
    /// Show a saved report, or convert it to an HTML page
    Report(report::ReportArgs),
    /// Compare two builds or servers by the saved reports of their runs
    Compare(compare::CompareArgs),
    /// Estimate what a larger load needs, from the figures measured on one machine
    Simulate(Box<simulate::SimulateArgs>),
    /// A server of this program's own, in a process of its own
    #[command(hide = true)]
    Hosted(HostedArgs),
}

/// Load and output of one run.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Faults to inject under load: kill9=5s (SIGKILL and restart every 5 s), pause=5s/500ms (stop for 500 ms every 5 s). With
    /// --servers, kills and pauses hit one server after the other, and there are also redis-restart=11s, redis-cut=9s/3s (one
    /// server's link to Redis) and postgres-restart=17s
    #[arg(long, value_name = "FAULTS", value_delimiter = ',', conflicts_with = "url", help_heading = "Faults")]
    pub(crate) chaos: Vec<Fault>,
    /// Also run the same deliveries against a bare server, in turn, and report the ratios to it
    #[arg(long, conflicts_with_all = ["chaos", "slow_dashboards", "app_sessions", "servers"], help_heading = "Floor")]
    pub(crate) floor: bool,
    /// Rounds; each measures the target and the floor once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100), requires = "floor", help_heading = "Floor")]
    pub(crate) floor_rounds: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Which server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArgs {
    /// URL of the server to measure, such as http://127.0.0.1:4000 [default: start one]
    #[arg(long = "target", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Process id of that server, if it runs on this machine: to report its CPU time and memory
    #[arg(long, value_name = "PID", requires = "url")]
    pub(crate) pid: Option<u32>,
    /// Protocol of the target
    #[arg(long, value_enum, default_value_t = Dialect::Sambad, requires = "url")]
    pub(crate) dialect: Dialect,
    /// Token for a target that requires authentication. It needs the roles service and admin, and must not expire during the
    /// run. Reports do not contain it
    #[arg(long, env = "SAMBAD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,
    /// Other clients also write to the target: count their events, but do not audit them
    #[arg(long, requires = "url")]
    pub(crate) shared_target: bool,
    /// Program to start instead of the built-in server: a `sambad-server` of another build
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) server_bin: Option<PathBuf>,
    /// Argument for the server that is started, such as --server-arg=--tail-bytes-max=0; may be repeated
    #[arg(long = "server-arg", value_name = "ARG", allow_hyphen_values = true, conflicts_with = "url")]
    pub(crate) server_args: Vec<String>,
    /// Folder for the database of the server that is started, to measure another disk
    #[arg(long, value_name = "FOLDER", conflicts_with = "url")]
    pub(crate) data_folder: Option<PathBuf>,
    /// Cores for the server; the generator uses the rest [default: half of the cores; with --target, none]
    #[arg(long, value_name = "N")]
    pub(crate) server_cores: Option<usize>,
}

/// What load.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Simulated app users, created before the load
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) users: u32,
    /// Dashboards: WebSocket sessions that see every event
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=SESSIONS_MAX))]
    pub(crate) dashboards: u32,
    /// Additional dashboards that read slowly
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=SESSIONS_MAX))]
    pub(crate) slow_dashboards: u32,
    /// App sessions: each receives the events of its own user
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=SESSIONS_MAX))]
    pub(crate) app_sessions: u32,
    /// Operations per second, sent at their planned times even if the server is slow (open loop)
    #[arg(long, value_name = "N", default_value_t = 500.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Use N writers instead of a rate; each sends its next operation after the response to the last (closed loop)
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "arrival"], value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub(crate) closed: Option<u32>,
    /// Gaps between operations: all equal, or random (exponential), as independent users cause
    #[arg(long, value_enum, default_value_t = Arrival::Constant)]
    pub(crate) arrival: Arrival,
    /// Shares of the operations: a new user logs in, a user adds a contact, a user sends a message
    #[arg(long, value_name = "SHARES", default_value = "login=1,contact=6,message=3")]
    pub(crate) mix: Mix,
    /// Duration of the measurement
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Duration of the same load before the measurement
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Time in which to open the sessions
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) ramp_up: Duration,
    /// Seed of the plan: the same seed gives the same operations at the same times
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Maximum number of connections for writes; they are opened as needed
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub(crate) connections: u32,
    /// Retry writes, with idempotency keys, until there is a response; always on with --servers and --chaos
    #[arg(long)]
    pub(crate) retry: bool,
}

/// What comes out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Objectives for the exit code, such as p99<20ms,response.p99<5ms,lost=0
    #[arg(long, value_name = "OBJECTIVES")]
    pub(crate) slo: Option<Slo>,
    /// Write the report, with all histograms, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the distribution of write → dashboard in HdrHistogram's text format
    #[arg(long, value_name = "FILE")]
    pub(crate) hgrm: Option<PathBuf>,
    /// Write the report as one self-contained HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Gaps between operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arrival {
    /// All equal
    Constant,
    /// Random: a Poisson process
    Poisson,
}

/// Sessions of one kind, at most; what the system allows is checked apart.
pub(crate) const SESSIONS_MAX: i64 = 1_000_000;
const CONNECTIONS_MAX: i64 = 60_000;
/// Operations a second, at most: beyond what one generator sends.
const RATE_MAX: f64 = 1_000_000.0;
/// A send later than this by the generator's own fault is late: a tenth of a second is what a person notices, a hundredth
/// of that is far below what latencies of interest are made of.
const LATE_AFTER: Duration = Duration::from_millis(1);

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(rate),
        _ => Err(format!("expected operations per second, above 0 and up to {RATE_MAX}")),
    }
}

/// Which cores are whose.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    /// All that this program was allowed to use when it started.
    pub(crate) allowed: usize,
    pub(crate) server: Vec<usize>,
    pub(crate) generator: Vec<usize>,
}

impl TargetArgs {
    /// A server of our own, with nothing said about it.
    pub(crate) fn own() -> Self {
        Self {
            url: None,
            pid: None,
            dialect: Dialect::Sambad,
            token: None,
            shared_target: false,
            server_bin: None,
            server_args: Vec::new(),
            data_folder: None,
            server_cores: None,
        }
    }

    /// Shares the cores out; where a server that somebody else runs is, the caller has to say.
    pub(crate) fn cores(&self) -> Cores {
        let allowed = pin::allowed();
        if self.url.is_some() && self.server_cores.is_none() {
            return Cores { allowed: allowed.len(), server: Vec::new(), generator: allowed };
        }
        let (server, generator) = pin::split(&allowed, self.server_cores);
        Cores { allowed: allowed.len(), server, generator }
    }
}

impl LoadArgs {
    /// No load to speak of: for commands that open sessions alone.
    pub(crate) fn none() -> Self {
        Self {
            users: 2,
            dashboards: 0,
            slow_dashboards: 0,
            app_sessions: 0,
            rate: 1.0,
            closed: None,
            arrival: Arrival::Constant,
            mix: Mix::default(),
            duration: Duration::from_secs(1),
            warmup: Duration::ZERO,
            ramp_up: Duration::ZERO,
            seed: 0,
            connections: 1,
            retry: false,
        }
    }

    /// Settles everything that the load depends on.
    ///
    /// # Errors
    /// Usage, when the parts do not fit together.
    pub(crate) fn plan(&self, target: &TargetArgs, cores: usize) -> anyhow::Result<Plan> {
        let (writer_threads, watcher_threads) = threads(target.dialect, cores);
        let pace = match self.closed {
            Some(writers) => Pace::Closed { writers },
            None => Pace::Open { rate: self.rate, poisson: self.arrival == Arrival::Poisson },
        };
        let plan = Plan {
            pace,
            users: self.users,
            dashboards: self.dashboards,
            slow_dashboards: self.slow_dashboards,
            app_sessions: self.app_sessions,
            mix: self.mix.clone(),
            duration: self.duration,
            warmup: self.warmup,
            ramp_up: self.ramp_up,
            seed: self.seed,
            connections: self.closed.unwrap_or(self.connections),
            dialect: target.dialect,
            // A server of our own asks nobody.
            authorization: target.token.as_ref().filter(|_| target.url.is_some()).map(Secret::authorization).transpose()?,
            shared_target: target.shared_target,
            retries: self.retry,
            writer_threads,
            watcher_threads,
            late_after: LATE_AFTER,
        };
        check(&plan).map_err(|why| Exit::Usage.because(why))?;
        Ok(plan)
    }
}

/// Threads that send and that receive. Without a log, events are numbered as they are seen: by one thread alone.
fn threads(dialect: Dialect, cores: usize) -> (u32, u32) {
    let cores = u32::try_from(cores).unwrap_or(THREADS_MAX).clamp(1, THREADS_MAX);
    let writers = (cores / 4).max(1);
    let watchers = if dialect.has_log() { (cores - writers).max(1) } else { 1 };
    (writers, watchers)
}

impl LoadArgs {
    /// Users enough for the contacts of an open loop.
    pub(crate) fn users_needed(&self) -> u32 {
        let operations = self.rate * (self.warmup + self.duration).as_secs_f64();
        users_for(if self.mix.share(OpKind::Contact) > 0.0 { operations } else { 0.0 })
    }
}

/// Users who have pairs enough: about the square of their number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and what is too large is bounded")]
fn users_for(operations: f64) -> u32 {
    (operations.sqrt().ceil() + 2.0) as u32
}

fn check(plan: &Plan) -> Result<(), String> {
    if plan.duration.is_zero() {
        return Err("--duration is 0: there is nothing to measure".to_owned());
    }
    if plan.app_sessions > plan.users {
        return Err(format!(
            "--app-sessions {} is more than --users {}: each app session needs its own user",
            plan.app_sessions, plan.users
        ));
    }
    if plan.app_sessions > 0 && !plan.dialect.has_log() {
        return Err(format!(
            "--app-sessions needs a server that filters events, and the {} dialect does not filter",
            plan.dialect
        ));
    }
    if plan.slow_dashboards > 0 && !plan.dialect.has_log() {
        return Err(format!("--slow-dashboards needs an event log to catch up from, and the {} dialect has none", plan.dialect));
    }
    if plan.retries && !plan.dialect.has_log() {
        return Err(format!("--retry needs a server with idempotency keys, and the {} dialect has none", plan.dialect));
    }
    let Pace::Open { rate, .. } = plan.pace else { return Ok(()) };
    let operations = rate * (plan.warmup + plan.duration).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (users_max, contacts_max) = (INDEXES as f64, Workload::contacts_max(plan.users.into()) as f64);
    if operations + f64::from(plan.users) > users_max {
        return Err(format!("{operations:.0} operations are planned, more than the maximum of {users_max:.0}"));
    }
    // Users take turns, so that pairs are used up at the pace of all operations, not of contacts alone.
    if plan.mix.share(OpKind::Contact) > 0.0 && operations > contacts_max {
        let enough = users_for(operations);
        return Err(format!(
            "{} users have {contacts_max:.0} pairs for contacts, too few for {operations:.0} operations: use --users {enough} or a --mix without contacts",
            plan.users
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn plan(args: &[&str]) -> Result<Plan, String> {
        let cli = Cli::try_parse_from([&["sambad-bench"], args].concat()).map_err(|error| error.to_string())?;
        let Some(Command::Run(run)) = cli.command else { return Err("no run".to_owned()) };
        run.load.plan(&run.target, 2).map_err(|error| error.to_string())
    }

    /// Goal: the command line has no contradiction. Method: clap's own check of the whole tree.
    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Goal: what cannot be done is said, with what to change. Method: command lines and a word of each answer.
    #[test]
    fn bad_input_is_explained() {
        for (args, word) in [
            (&["run", "--rate", "0"][..], "above 0"),
            (&["run", "--rate=-5"], "above 0"),
            (&["run", "--rate", "nan"], "above 0"),
            (&["run", "--rate", "1e9"], "1000000"),
            (&["run", "--mix", "contact=0"], "sum to 0"),
            (&["run", "--duration", "0s"], "nothing to measure"),
            (&["run", "--duration", "10"], "is not a time"),
            (&["run", "--users", "1"], "2..=1000000"),
            (&["run", "--users", "10", "--app-sessions", "11"], "its own user"),
            (&["run", "--users", "10", "--rate", "100"], "--users"),
            (&["run", "--slo", "p99"], "p99"),
            (&["run", "--chaos", "kill9=5s", "--target", "http://127.0.0.1:1"], "cannot be used with"),
            (&["run", "--retry", "--dialect", "broadcast", "--target", "http://127.0.0.1:1"], "idempotency keys"),
            (&["run", "--servers", "2", "--target", "http://127.0.0.1:1"], "cannot be used with"),
            (&["run", "--balancer", "none"], "--servers"),
            (&["run", "--closed", "5", "--rate", "7"], "cannot be used with"),
            (&["run", "--floor-rounds", "0", "--floor"], "1..=100"),
        ] {
            let error = plan(args).unwrap_err();
            assert!(error.contains(word), "{args:?}: {error}");
        }
    }

    /// Goal: the number of users that is advised is enough. Method: the advice, taken.
    #[test]
    fn the_advised_number_of_users_is_enough() {
        for rate in ["50", "1234", "20000"] {
            let error = plan(&["run", "--users", "4", "--rate", rate]).unwrap_err();
            let advised = error.split("--users ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
            assert!(plan(&["run", "--users", advised, "--rate", rate]).is_ok(), "{error}");
        }
    }
}
