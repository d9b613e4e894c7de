//! `run`: one load, measured and audited.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::args::{Cores, OutputArgs, RunArgs, TargetArgs};
use crate::engine::{Chaos, Outcome, Target, execute};
use crate::exit::Exit;
use crate::host::{self, Cluster, ClusterSpec, Kind, ServerProcess, Spec, disk, interrupt, limits, pin};
use crate::judgement;
use crate::live::Live;
use crate::load::dialect::Dialect;
use crate::load::plan::Plan;
use crate::report::{self, FloorComparison, LatencyKind, Ratio, Report, TargetKind, file, hgrm, html, table};
use crate::secret;
use crate::slo::Slo;

impl RunArgs {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let cores = self.target.cores();
        let cluster = self.cluster.spec(&self.target, &cores, &self.chaos)?;
        let plan = self.load.plan(&self.target, cores.generator.len())?;
        // A key is stored with each write and costs something: only where writes have to be repeated.
        let plan = Plan { retries: plan.retries || cluster.is_some() && !self.chaos.is_empty(), ..plan };
        self.output.check()?;
        require_descriptors(&plan)?;
        interrupt::watch()?;
        pin::confine(&cores.generator);
        let mut report = match cluster {
            Some(cluster) => self.with_cluster(cluster, &plan, &cores)?,
            None if self.floor => self.with_floor(&plan, &cores)?,
            None => self.once(&plan, &cores, "")?,
        };
        finish(&mut report, self.output.slo.as_ref());
        self.output.write(&report)
    }

    /// One run against a server of its own, or the one that was named.
    fn once(&self, plan: &Plan, cores: &Cores, label: &str) -> anyhow::Result<Report> {
        measure(&self.target, plan, cores, Chaos::new(&self.chaos), label)
    }

    /// One run against several servers.
    fn with_cluster(&self, cluster: ClusterSpec, plan: &Plan, cores: &Cores) -> anyhow::Result<Report> {
        interrupt::check()?;
        let cluster = Cluster::start(cluster).map_err(|error| Exit::Usage.because(format!("{error:#}")))?;
        let name = cluster.description(&description(&self.target));
        let mut target = Target::Cluster(Box::new(cluster), self.cluster.dashboards_on());
        let mut report = run_on(&mut target, &self.target, plan, cores, Chaos::new(&self.chaos), "")?;
        close(target)?;
        report.target.description = name;
        Ok(report)
    }

    /// The same deliveries by target and floor in turn; the report is that of the round in the middle.
    fn with_floor(&self, plan: &Plan, cores: &Cores) -> anyhow::Result<Report> {
        if self.target.url.is_some() && self.target.pid.is_none() {
            return Err(Exit::Usage.because("--floor compares CPU time: give the target's process with --pid"));
        }
        // The floor's events have no seq and are numbered by one thread; the target's are received likewise.
        let plan = &Plan { watcher_threads: 1, ..plan.clone() };
        let (mut reports, mut pairs) = (Vec::new(), Vec::new());
        for round in 1..=self.floor_rounds {
            let report = self.once(plan, cores, &format!("round {round}/{} target · ", self.floor_rounds))?;
            let label = format!("round {round}/{} floor · ", self.floor_rounds);
            pairs.push([figures(&report), figures(&floor(plan, cores, &label)?)]);
            reports.push(report);
        }
        let comparison = FloorComparison {
            rounds: self.floor_rounds,
            cpu_us_per_delivery: ratio(&pairs, 0).context(
                "no ratio to the floor: the target's CPU time is unknown (give its process with --pid), or nothing was delivered",
            )?,
            delivery_p50_us: ratio(&pairs, 1).context("nothing was delivered")?,
            delivery_p99_us: ratio(&pairs, 2).context("nothing was delivered")?,
        };
        reports.sort_by_key(|report| report.latency(LatencyKind::Delivery).map(|delivery| delivery.summary.p99_us));
        // A round that the audit condemns, or that is invalid, must not hide behind the others.
        let worst = reports.iter().position(|report| judgement::judge(report).exit_code >= Exit::AuditFailed as u8);
        let mut report = reports.swap_remove(worst.unwrap_or((reports.len() - 1) / 2));
        report.floor = Some(comparison);
        Ok(report)
    }
}

/// Runs a plan against the target of the command line, started if need be, and makes a report of it.
pub(super) fn measure(args: &TargetArgs, plan: &Plan, cores: &Cores, chaos: Chaos, label: &str) -> anyhow::Result<Report> {
    interrupt::check()?;
    let mut target = open(args, cores)?;
    run_on(&mut target, args, plan, cores, chaos, label).and_then(|report| close(target).map(|()| report))
}

fn run_on(
    target: &mut Target,
    args: &TargetArgs,
    plan: &Plan,
    cores: &Cores,
    chaos: Chaos,
    label: &str,
) -> anyhow::Result<Report> {
    let started_at = Timestamp::now();
    let live = Live::new(label, plan.warmup + plan.duration);
    live.say(format!("{label}creating {} users and opening {} sessions", plan.users, plan.sessions()));
    let fault = chaos.description();
    let outcome = execute(plan.clone(), target, chaos, &mut |snapshot| live.show(snapshot))?;
    drop(live);
    let described = report::Target {
        kind: if args.url.is_some() { TargetKind::Remote } else { TargetKind::SelfHosted },
        url: target.url(),
        description: description(args),
        cores: cores.server.clone(),
    };
    Ok(to_report(&outcome, described, started_at, cores, fault))
}

fn to_report(outcome: &Outcome, target: report::Target, started_at: Timestamp, cores: &Cores, fault: Option<String>) -> Report {
    Report {
        schema: Report::SCHEMA,
        tool: host::tool(),
        started_at: format!("{started_at:.0}"),
        command: command_line(),
        machine: report::Machine { cores: cores.allowed, ..host::machine() },
        target,
        scenario: outcome.scenario(fault),
        counts: outcome.counts(),
        latencies: outcome.latencies(),
        intervals: outcome.intervals.clone(),
        generator: outcome.generator(cores.generator.len()),
        server: outcome.server(),
        services: outcome.services(),
        audit: outcome.total.tally.audit.clone(),
        chaos: outcome.chaos.clone(),
        floor: None,
        objectives: Vec::new(),
        judgement: report::Judgement::default(),
    }
}

/// Adds what follows from the rest.
pub(super) fn finish(report: &mut Report, slo: Option<&Slo>) {
    report.objectives = slo.map_or_else(Vec::new, |slo| slo.judge(report));
    report.judgement = judgement::judge(report);
}

/// The same plan against the floor, on the same cores.
fn floor(plan: &Plan, cores: &Cores, label: &str) -> anyhow::Result<Report> {
    let spec = Spec { kind: Kind::Floor, cores: cores.server.clone(), args: Vec::new(), folder: None, shared: None };
    let mut target = Target::Hosted(Box::new(ServerProcess::start(spec)?));
    let plan = Plan { dialect: Dialect::Floor, authorization: None, ..plan.clone() };
    let report = run_on(&mut target, &TargetArgs::own(), &plan, cores, Chaos::new(&[]), label)?;
    let judgement = judgement::judge(&report);
    match judgement.reasons.first() {
        Some(why) => Err(Exit::Invalid.because(format!("the floor cannot be measured with this load: {why}"))),
        None => Ok(report),
    }
}

/// CPU per delivery, and the median and 99th percentile of write → dashboard.
fn figures(report: &Report) -> [Option<f64>; 3] {
    #[expect(clippy::cast_precision_loss, reason = "latencies are below an hour")]
    let micros = |us: u64| us as f64;
    let delivery = report.latency(LatencyKind::Delivery).map(|delivery| delivery.summary);
    [
        report.server.as_ref().and_then(|server| server.cpu_us_per_delivery),
        delivery.map(|delivery| micros(delivery.p50_us)),
        delivery.map(|delivery| micros(delivery.p99_us)),
    ]
}

fn ratio(pairs: &[[[Option<f64>; 3]; 2]], figure: usize) -> Option<Ratio> {
    let pairs: Option<Vec<(f64, f64)>> = pairs.iter().map(|[target, floor]| Some((target[figure]?, floor[figure]?))).collect();
    let pairs = pairs.filter(|pairs| pairs.iter().all(|(_, floor)| *floor > 0.0))?;
    let ratios = pairs.iter().map(|(target, floor)| target / floor);
    let of = |values: &mut dyn Iterator<Item = f64>| median(values.collect());
    Some(Ratio {
        target: of(&mut pairs.iter().map(|pair| pair.0)),
        floor: of(&mut pairs.iter().map(|pair| pair.1)),
        ratio: of(&mut ratios.clone()),
        ratio_min: ratios.clone().fold(f64::INFINITY, f64::min),
        ratio_max: ratios.fold(0.0, f64::max),
    })
}

/// The value in the middle; of an even number, the mean of the two there.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Starts a server, or names the one that runs.
pub(super) fn open(args: &TargetArgs, cores: &Cores) -> anyhow::Result<Target> {
    if let Some(url) = &args.url {
        return Ok(Target::Remote { url: url.clone(), pid: args.pid });
    }
    let kind = args.server_bin.clone().map_or(Kind::Sambad, Kind::Program);
    let spec = Spec {
        kind,
        cores: cores.server.clone(),
        args: args.server_args.iter().map(Into::into).collect(),
        folder: args.data_folder.clone(),
        shared: None,
    };
    let process = ServerProcess::start(spec).map_err(|error| Exit::Usage.because(format!("{error:#}")))?;
    Ok(Target::Hosted(Box::new(process)))
}

/// Ends a server that was started here; one that cannot end properly is a finding, too.
pub(super) fn close(target: Target) -> anyhow::Result<()> {
    match target {
        Target::Remote { .. } => Ok(()),
        Target::Hosted(process) => process.stop(),
        Target::Cluster(cluster, _) => cluster.stop(),
    }
}

/// Raises the limit of descriptors and checks that it suffices, before anything is started.
pub(super) fn require_descriptors(plan: &Plan) -> anyhow::Result<()> {
    limits::raise();
    limits::require(plan.sessions() as usize, plan.connections as usize).map_err(|error| Exit::Usage.because(error.to_string()))
}

pub(super) fn description(args: &TargetArgs) -> String {
    let program = match (&args.url, &args.server_bin) {
        (Some(_), _) => return format!("a server that speaks {}", args.dialect),
        (None, Some(program)) => program.display().to_string(),
        (None, None) => format!("sambad-server {}", env!("CARGO_PKG_VERSION")),
    };
    let folder = args.data_folder.clone().unwrap_or_else(std::env::temp_dir);
    if disk::is_memory(&folder) { format!("{program} with its database in memory, where fsync costs nothing") } else { program }
}

/// The command line as typed, with the program's name alone: where it lies says nothing elsewhere.
pub(super) fn command_line() -> Vec<String> {
    let mut words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        "sambad-bench".clone_into(program);
    }
    secret::hide(&mut words);
    words
}

impl OutputArgs {
    /// Finds out before the load whether the files can be written.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for path in [&self.json, &self.hgrm, &self.html].into_iter().flatten() {
            file::check_writable(path).map_err(|error| Exit::Usage.because(format!("{error:#}")))?;
        }
        Ok(())
    }

    /// Writes the files and prints the table.
    pub(super) fn write(&self, report: &Report) -> anyhow::Result<Exit> {
        if let Some(path) = &self.json {
            file::write(path, serde_json::to_string_pretty(report)?)?;
        }
        if let Some(path) = &self.hgrm {
            file::write(path, hgrm::render(report)?)?;
        }
        if let Some(path) = &self.html {
            file::write(path, html::render(report))?;
        }
        // Whoever has a file written to stdout wants that there and nothing else.
        if [&self.json, &self.hgrm, &self.html].into_iter().flatten().any(|path| path == Path::new("-")) {
            write!(anstream::stderr().lock(), "{}", table::render(report, std::io::stderr().is_terminal()))?;
        } else {
            let mut stdout = anstream::stdout().lock();
            write!(stdout, "{}", table::render(report, std::io::stdout().is_terminal()))?;
            stdout.flush()?;
        }
        Ok(Exit::from_code(report.judgement.exit_code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: ratios are those of the rounds, not of the medians. Method: three rounds with known figures.
    #[test]
    fn ratios_are_of_pairs() {
        let pairs: Vec<_> =
            [(2.0, 1.0), (9.0, 3.0), (4.0, 4.0)].map(|(t, f)| [[Some(t), None, None], [Some(f), None, None]]).into();
        let ratio = ratio(&pairs, 0).unwrap();
        assert_eq!((ratio.target, ratio.floor, ratio.ratio), (4.0, 3.0, 2.0));
        assert_eq!((ratio.ratio_min, ratio.ratio_max), (1.0, 3.0));
        assert!(super::ratio(&pairs, 1).is_none());
        assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), 2.5);
    }
}
