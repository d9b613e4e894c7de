//! What the server tells a monitoring system: counters that are added to as things happen, and gauges that are set when
//! somebody asks. Every name is in `docs/reference/metrics.md`, which a test holds against what is printed.
//!
//! **Invariant:** a label has few values, all known beforehand: route patterns and not paths, names from tables and not texts
//! from clients.

mod apart;
mod delivery;
mod levels;
mod process;
mod requests;
pub(crate) mod scrape;
mod sessions;
mod shown;

use std::sync::Arc;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use sambad_core::Sambad;
use tokio::sync::Semaphore;

pub(crate) use apart::serve_metrics;
pub(crate) use delivery::{Deliveries, Tally};
use levels::Levels;
use process::Process;
pub(crate) use requests::Requests;
pub(crate) use scrape::scrape;
pub(crate) use sessions::{SESSION, SessionEnd, Sessions};
use shown::{Numbers, Seconds, Total};

use crate::telemetry;

/// Everything that one server counts, and the registry that prints it. Nothing but the log is global: a process may run several.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    levels: Levels,
    pub(crate) requests: Requests,
    pub(crate) sessions: Sessions,
    pub(crate) deliveries: Deliveries,
    /// One scrape at a time: gauges are set and printed by one.
    turn: Semaphore,
}

/// How the figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// Prometheus's own, for anybody else.
    Prometheus,
}

impl Metrics {
    pub(crate) fn new(sambad: &Sambad) -> Self {
        let mut registry = Registry::default();
        // Their names are the same for every program.
        registry.register_collector(Box::new(Process));
        let ours = registry.sub_registry_with_prefix("sambad");
        ours.register("build", "Version of the server", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let epoch = sambad.bounds().epoch.to_string();
        ours.register("log", "Epoch of the log", Info::new(vec![("epoch", epoch)]));
        register_core(ours, sambad);
        ours.register("log_lines_lost", "Log lines that could not be written", Total(telemetry::lost_lines()));
        Self {
            levels: Levels::register(ours),
            requests: Requests::register(ours),
            sessions: Sessions::register(ours),
            deliveries: Deliveries::register(ours),
            turn: Semaphore::new(1),
            registry,
        }
    }

    fn text(&self, format: Format) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        match format {
            Format::OpenMetrics => text::encode(&mut out, &self.registry)?,
            Format::Prometheus => prometheus_text::encode(&mut out, &self.registry)?,
        }
        Ok(out)
    }
}

/// What the core counts.
fn register_core(registry: &mut Registry, sambad: &Sambad) {
    let stats = sambad.stats().clone();
    registry.register("commit_seconds", "Duration of a write transaction, including fsync", Seconds(stats.commit_us));
    registry.register("batch_commands", "Commands in a write transaction", Numbers(stats.batch_commands));
    registry.register("commits_failed", "Failed batches, including those whose outcome is unknown", Total(stats.commits_failed));
    registry.register("events_committed", "Events committed", Total(stats.events));
    registry.register(
        "write_back_seconds",
        "Duration of a checkpoint of the WAL; batches wait for it",
        Seconds(stats.write_back_us),
    );
    registry.register("events_trimmed", "Events that retention has deleted", Total(stats.trimmed));
    registry.register("new_phones", "Phone numbers counted against the daily quotas of new numbers", Total(stats.new_phones));
    let broker = stats.broker;
    registry.register("broker_messages_sent", "Messages sent to other servers", Total(Arc::clone(&broker.sent)));
    registry.register("broker_messages_received", "Messages received from all servers", Total(Arc::clone(&broker.received)));
    registry.register(
        "broker_messages_foreign",
        "Messages rejected because they are not from a server of this log",
        Total(Arc::clone(&broker.foreign)),
    );
    registry.register("broker_events_dropped", "Events that were not sent to other servers", Total(Arc::clone(&broker.dropped)));
    registry.register("broker_events_filled", "Events of other servers read from the log", Total(Arc::clone(&broker.filled)));
    registry.register("broker_lag_seconds", "Time from sending to receiving events", Seconds(Arc::clone(&broker.lag_us)));
}
