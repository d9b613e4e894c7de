//! `simulate`: what it would take to serve more than one machine can.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::args::Arrival;
use crate::exit::Exit;
use crate::report::{Tool, file, fmt as shown};
use crate::simulate::capacity::{self, Limits, Part};
use crate::simulate::cluster::{Played, play};
use crate::simulate::costs::Costs;
use crate::simulate::measured::{CPU_TOLERANCE, MEDIAN_TOLERANCE, Row, reproduce};
use crate::simulate::{Broker, Scene, Store};
use crate::values::duration;
use crate::{host, report};

/// Servers times cores times seconds that are played; beyond it the arithmetic has to do.
const PLAYED_MAX: f64 = 20_000.0;

/// What is to be served.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct SimulateArgs {
    /// Sessions that receive every event
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=1_000_000_000))]
    dashboards: u32,
    /// Sessions that receive the events of one user each
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000_000))]
    app_sessions: u32,
    /// Writes per second; each causes one event
    #[arg(long, value_name = "N", default_value_t = 100.0, value_parser = rate)]
    rate: f64,
    /// Gaps between writes
    #[arg(long, value_enum, default_value_t = Arrival::Poisson)]
    arrival: Arrival,
    /// Simulated time
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = duration)]
    duration: Duration,
    /// Seed of the random gaps
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Number of servers [default: as many as the load needs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Cluster")]
    servers: Option<u32>,
    /// Cores of each server
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Cluster")]
    cores: u32,
    /// Database that has the log
    #[arg(long, value_enum, default_value_t = Store::Postgres, help_heading = "Cluster")]
    store: Store,
    /// Broker that notifies servers of each other's events
    #[arg(long, value_enum, default_value_t = Broker::Redis, help_heading = "Cluster")]
    broker: Broker,
    /// Cores of PostgreSQL
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Cluster")]
    postgres_cores: u32,
    /// Minimum time between two writes to a socket, to try larger writes: more events then share one write
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration, help_heading = "Cluster")]
    flush_every: Duration,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    costs: Costs,
    /// Omit the measured figures if the simulation reproduces them
    #[arg(long, help_heading = "Output")]
    brief: bool,
    /// Write all figures as JSON; `-` is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 10_000_000.0 => Ok(rate),
        _ => Err("expected writes per second, above 0 and up to 10000000".to_owned()),
    }
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Kept {
    /// Version of this form.
    schema: u32,
    tool: Tool,
    command: Vec<String>,
    costs: Costs,
    limits: Limits,
    measured: Vec<Row>,
    scene: Scene,
    parts: Vec<Part>,
    bottleneck: Option<&'static str>,
    /// What a played cluster did; `None` where it was too large to be played.
    played: Option<KeptPlay>,
}

#[derive(Debug, Serialize)]
struct KeptPlay {
    response: report::Summary,
    delivery: report::Summary,
    server_cores: f64,
    postgres_cores: f64,
    redis_cores: f64,
    head_share: f64,
    writes_per_batch: f64,
    writes_per_s: f64,
    deliveries_per_s: f64,
}

impl SimulateArgs {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        if let Some(path) = &self.json {
            file::check_writable(path).map_err(|error| Exit::Usage.because(format!("{error:#}")))?;
        }
        let measured = reproduce(&self.costs, self.seed);
        let holds = measured.iter().all(Row::holds);
        let scene = self.scene()?;
        let parts = capacity::parts(&scene, &self.costs, &self.limits);
        let is_played = f64::from(scene.servers) * f64::from(scene.cores) * scene.duration_s <= PLAYED_MAX;
        let played = is_played.then(|| play(&scene, &self.costs));
        let mut text = if self.brief && holds { String::new() } else { table(&measured) };
        if holds {
            self.tell(&scene, &parts, played.as_ref(), &mut text);
        } else {
            text.push_str("\nThe simulation does not reproduce the measured figures: its results are not valid.\n");
        }
        if let Some(path) = &self.json {
            let kept = Kept {
                schema: 1,
                tool: host::tool(),
                command: super::run::command_line(),
                costs: self.costs,
                limits: self.limits,
                measured,
                scene,
                bottleneck: capacity::bottleneck(&parts).map(|part| part.name),
                parts,
                played: played.map(KeptPlay::from),
            };
            file::write(path, serde_json::to_string_pretty(&kept)?)?;
        }
        if self.json.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            write!(anstream::stderr().lock(), "{text}")?;
        } else {
            let mut stdout = anstream::stdout().lock();
            write!(stdout, "{text}")?;
            stdout.flush()?;
        }
        Ok(if holds { Exit::Fine } else { Exit::Invalid })
    }

    fn scene(&self) -> anyhow::Result<Scene> {
        let scene = Scene {
            servers: 1,
            cores: self.cores,
            dashboards: self.dashboards,
            app_sessions: self.app_sessions,
            rate: self.rate,
            poisson: self.arrival == Arrival::Poisson,
            store: self.store,
            broker: self.broker,
            postgres_cores: self.postgres_cores,
            flush_every_ms: self.flush_every.as_secs_f64() * 1000.0,
            duration_s: self.duration.as_secs_f64(),
            seed: self.seed,
        };
        if self.duration.is_zero() {
            return Err(Exit::Usage.because("--duration is 0: there is nothing to simulate"));
        }
        if self.store == Store::Sqlite && self.servers.is_some_and(|servers| servers > 1) {
            return Err(Exit::Usage.because("--store sqlite allows one server: use --store postgres for several"));
        }
        let servers = self.servers.or_else(|| capacity::servers(&scene, &self.costs, &self.limits));
        let servers = servers.ok_or_else(|| {
            Exit::Usage
                .because("no number of servers is enough: the other servers' events alone exceed --load-max on each server")
        })?;
        Ok(Scene { servers, ..scene })
    }

    fn tell(&self, scene: &Scene, parts: &[Part], played: Option<&Played>, text: &mut String) {
        let why = if self.servers.is_some() { "as given" } else { "as many as the load needs" };
        let servers = if scene.servers == 1 { "1 server".to_owned() } else { format!("{} servers", scene.servers) };
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{}{servers} of {} ({why}) with {}: {} dashboards and {} app sessions, {} writes/s\n",
            if self.brief { "" } else { "\n" },
            shown::many(scene.cores.into(), "core"),
            scene.store,
            shown::count(scene.dashboards.into()),
            shown::count(scene.app_sessions.into()),
            shown::rate(scene.rate)
        );
        let _ = writeln!(text, "{:<24} {:>12} {:>12}  {:<12} {:>7}", "part", "used", "of", "", "share");
        for part in parts {
            let share = format!("{:.0} %", part.share() * 100.0);
            let beyond = if part.share() > self.limits.load_max { "  above --load-max" } else { "" };
            let (used, of) = (figure(part.used), figure(part.of));
            let _ = writeln!(text, "{:<24} {used:>12} {of:>12}  {:<12} {share:>7}{beyond}", part.name, part.unit);
        }
        if let Some(part) = capacity::bottleneck(parts) {
            let cure = if part.grows_with_servers { "more servers help" } else { "more servers do not help" };
            let _ = writeln!(text, "\nfirst bottleneck: {} ({cure})", part.name);
        }
        let Some(played) = played else {
            let _ = writeln!(text, "too large to simulate in time: no latencies");
            return;
        };
        let _ = writeln!(text, "\n{:<24} {:>10} {:>10} {:>10} {:>10}", "simulated", "p50", "p90", "p99", "max");
        for (name, histogram) in [("write → response", &played.response), ("write → dashboard", &played.delivery)] {
            let _ = write!(text, "{name:<24}");
            for value in [0.5, 0.9, 0.99, 1.0].map(|quantile| histogram.value_at_quantile(quantile)) {
                let _ = write!(text, " {:>10}", shown::duration(value));
            }
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{} writes/s acknowledged, {} per batch; {} deliveries/s; CPU: servers {} cores, PostgreSQL {}, Redis {}; the row with \
             the head is locked for {:.0} % of the time",
            shown::rate(played.writes_per_s),
            figure(played.writes_per_batch),
            shown::rate(played.deliveries_per_s),
            figure(played.server_cores),
            figure(played.postgres_cores),
            figure(played.redis_cores),
            played.head_share * 100.0
        );
        if played.writes_per_s < scene.rate * 0.95 {
            let _ = writeln!(text, "writes arrive faster than they are acknowledged: latencies grow as long as this load lasts");
        }
    }
}

impl From<Played> for KeptPlay {
    fn from(played: Played) -> Self {
        Self {
            response: report::Summary::of(&played.response),
            delivery: report::Summary::of(&played.delivery),
            server_cores: played.server_cores,
            postgres_cores: played.postgres_cores,
            redis_cores: played.redis_cores,
            head_share: played.head_share,
            writes_per_batch: played.writes_per_batch,
            writes_per_s: played.writes_per_s,
            deliveries_per_s: played.deliveries_per_s,
        }
    }
}

/// Measured beside simulated.
fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "one server on one core with SQLite, measured and simulated (CPU within {:.0} %, medians within {:.0} %, tails not judged)\n\n",
        CPU_TOLERANCE * 100.0,
        MEDIAN_TOLERANCE * 100.0
    );
    let _ =
        writeln!(text, "{:<27} {:<22} {:>10} {:>10} {:>10}  measured in", "load", "figure", "measured", "simulated", "deviation");
    for row in rows {
        let deviation = format!("{:+.0} %", row.deviation * 100.0);
        let (measured, simulated) = (shown::micros(row.measured_us), shown::micros(row.simulated_us));
        let missed = if row.holds() { "" } else { " MISSED" };
        let _ = writeln!(
            text,
            "{:<27} {:<22} {measured:>10} {simulated:>10} {deviation:>10}  {}{missed}",
            row.load,
            label(row.figure),
            row.source
        );
    }
    text
}

/// The name of a figure as people read it; the JSON keeps the names that it has had.
fn label(figure: &str) -> String {
    figure.replacen(" a ", " per ", 1).replacen("answer", "response", 1)
}

/// A figure with three digits that count.
fn figure(value: f64) -> String {
    match value {
        value if value >= 1000.0 => shown::rate(value),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}
