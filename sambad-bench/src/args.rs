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
Exit codes: 0 fine; 1 an objective was missed; 2 the command line cannot be carried out; 3 events were lost, repeated,
reordered or unexplained; 4 the run is invalid (the generator was the limit, or the target went away).

Without --target, a server is started: a process of its own, with a temporary database, on half of the cores.";

/// Measures how long a write takes to reach every dashboard, from the instant it was planned, and audits every delivery.
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
    /// Put a server under load and report latencies, costs and the audit (what happens without a subcommand, too)
    Run(Box<RunArgs>),
    /// Find the highest rate, or the most sessions, that meets an objective
    FindMax(Box<find_max::FindMaxArgs>),
    /// Open many sessions at once: how fast, and what they cost while nothing happens
    Connect(connect::ConnectArgs),
    /// Show a kept report, or make a page of it
    Report(report::ReportArgs),
    /// Tell whether two builds or servers differ, from kept reports of runs of each
    Compare(compare::CompareArgs),
    /// Compute what it takes to serve more than one machine can, from what was measured on one
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
    /// Faults to put the servers through, while they are under load: kill9=5s (SIGKILL and restart every 5 s), pause=5s/500ms;
    /// with --servers also redis-restart=11s, redis-cut=9s/3s (one server's link to Redis) and postgres-restart=17s, and kills
    /// and pauses meet one server in turn
    #[arg(long, value_name = "FAULTS", value_delimiter = ',', conflicts_with = "url", help_heading = "Faults")]
    pub(crate) chaos: Vec<Fault>,
    /// Run the same deliveries against a bare server as well, in turn, and report ratios to it
    #[arg(long, conflicts_with_all = ["chaos", "slow_dashboards", "app_sessions", "servers"], help_heading = "Floor")]
    pub(crate) floor: bool,
    /// Rounds of target and floor
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100), requires = "floor", help_heading = "Floor")]
    pub(crate) floor_rounds: u32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Which server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArgs {
    /// Server to measure, such as http://127.0.0.1:4000; without it, one is started
    #[arg(long = "target", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Process of that server, if it runs on this machine: to report its CPU time and memory
    #[arg(long, value_name = "PID", requires = "url")]
    pub(crate) pid: Option<u32>,
    /// What the target speaks
    #[arg(long, value_enum, default_value_t = Dialect::Sambad, requires = "url")]
    pub(crate) dialect: Dialect,
    /// Token for a target that asks who calls, with the roles service and admin; it must outlive the run. Reports leave it out
    #[arg(long, env = "SAMBAD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,
    /// Others write to the target as well: count their events and do not judge them
    #[arg(long, requires = "url")]
    pub(crate) shared_target: bool,
    /// Program to start instead of the built-in server: a `sambad-server` of another build
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) server_bin: Option<PathBuf>,
    /// Flag for the server that is started, such as --server-arg=--tail-bytes-max=0; may be repeated
    #[arg(long = "server-arg", value_name = "ARG", allow_hyphen_values = true, conflicts_with = "url")]
    pub(crate) server_args: Vec<String>,
    /// Folder for the database of the server that is started: to measure another disk
    #[arg(long, value_name = "FOLDER", conflicts_with = "url")]
    pub(crate) data_folder: Option<PathBuf>,
    /// Cores for the server; the rest is the generator's [default: half of them; with --target, all are the generator's]
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
    /// Dashboards that read at a trickle, beyond those
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=SESSIONS_MAX))]
    pub(crate) slow_dashboards: u32,
    /// App sessions: each listens to its own user
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=SESSIONS_MAX))]
    pub(crate) app_sessions: u32,
    /// Operations a second, sent when their time comes whatever the server does (open loop)
    #[arg(long, value_name = "N", default_value_t = 500.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// So many writers instead, each sending when its last operation is answered (closed loop)
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "arrival"], value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub(crate) closed: Option<u32>,
    /// Gaps between operations: all equal, or random (exponential) as of independent users
    #[arg(long, value_enum, default_value_t = Arrival::Constant)]
    pub(crate) arrival: Arrival,
    /// Shares of the operations: somebody new logs in, a user adds another, a user writes to another
    #[arg(long, value_name = "SHARES", default_value = "login=1,contact=6,message=3")]
    pub(crate) mix: Mix,
    /// Measured time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Time under the same load before it, which is not measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Time over which sessions are opened
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) ramp_up: Duration,
    /// Number that the plan is drawn from: the same number is the same operations at the same instants
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Connections for writes, at most; they are opened as needed
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub(crate) connections: u32,
    /// Send writes again, under idempotency keys, until they are answered; so it is with --servers and --chaos in any case
    #[arg(long)]
    pub(crate) retry: bool,
}

/// What comes out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Objectives that decide the exit code, such as p99<20ms,response.p99<5ms,lost=0
    #[arg(long, value_name = "OBJECTIVES")]
    pub(crate) slo: Option<Slo>,
    /// Write the report, with all histograms, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the distribution of write → dashboard as HdrHistogram's text
    #[arg(long, value_name = "FILE")]
    pub(crate) hgrm: Option<PathBuf>,
    /// Write the report as one self-contained page
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
        _ => Err(format!("expected operations a second, above 0 and up to {RATE_MAX}")),
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
            "--app-sessions {} is more than --users {}: each listens to its own user",
            plan.app_sessions, plan.users
        ));
    }
    if plan.app_sessions > 0 && !plan.dialect.has_log() {
        return Err(format!("--app-sessions need a server that filters, and the {} dialect does not", plan.dialect));
    }
    if plan.slow_dashboards > 0 && !plan.dialect.has_log() {
        return Err(format!(
            "--slow-dashboards fall behind, and in the {} dialect there is no log to catch up from",
            plan.dialect
        ));
    }
    if plan.retries && !plan.dialect.has_log() {
        return Err(format!("--retry needs a server that knows idempotency keys, and the {} dialect has none", plan.dialect));
    }
    let Pace::Open { rate, .. } = plan.pace else { return Ok(()) };
    let operations = rate * (plan.warmup + plan.duration).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (users_max, contacts_max) = (INDEXES as f64, Workload::contacts_max(plan.users.into()) as f64);
    if operations + f64::from(plan.users) > users_max {
        return Err(format!("{operations:.0} operations are planned, more than can be told apart ({users_max:.0})"));
    }
    // Users take turns, so that pairs are used up at the pace of all operations, not of contacts alone.
    if plan.mix.share(OpKind::Contact) > 0.0 && operations > contacts_max {
        let enough = users_for(operations);
        return Err(format!(
            "{} users have {contacts_max:.0} pairs to become contacts, too few for {operations:.0} operations: use --users {enough} or a --mix without contacts",
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
            (&["run", "--duration", "10"], "no length of time"),
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
