//! What a load asks of each part, by arithmetic, and how many servers that makes.

use serde::Serialize;

use super::costs::Costs;
use super::{Broker, Scene, Store, ns};

/// What parts can give.
#[derive(Debug, Clone, Copy, PartialEq, clap::Args, Serialize)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Send rate of a network card (Gbit/s)
    #[arg(long, value_name = "GBIT", default_value_t = 10.0)]
    pub(crate) nic_gbit: f64,
    /// Write rate of PostgreSQL's disk (MB/s)
    #[arg(long, value_name = "MB", default_value_t = 250.0)]
    pub(crate) disk_mb: f64,
    /// Maximum number of sessions of a server, by file descriptors and memory
    #[arg(long, value_name = "N", default_value_t = 200_000.0)]
    pub(crate) sessions_max: f64,
    /// Maximum average utilisation of a part, as a share; the rest is reserved for peaks and for failed servers
    #[arg(long, value_name = "SHARE", default_value_t = 0.6)]
    pub(crate) load_max: f64,
}

/// How much of a part is in use.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) used: f64,
    pub(crate) of: f64,
    pub(crate) unit: &'static str,
    /// Whether more servers give more of it.
    pub(crate) grows_with_servers: bool,
}

impl Part {
    pub(crate) fn share(&self) -> f64 {
        self.used / self.of
    }
}

/// Batches a second of all servers together, for writes at random: those that come while one is on its way share the next.
fn batches(scene: &Scene, costs: &Costs) -> f64 {
    let servers = f64::from(scene.servers);
    let turn_us = match scene.store {
        Store::Sqlite => costs.batch_us + costs.write_us + costs.fsync_us,
        Store::Postgres => {
            let shared = &costs.shared;
            shared.pg_batch_us + shared.pg_write_us + shared.db_batch_us + shared.db_write_us + shared.head_us
        }
    };
    // At a light load each write is a batch; at a heavy one, each server begins one as its last is done.
    let writes = scene.rate / servers;
    let one = writes / (1.0 + writes * turn_us / 1e6);
    let head = match scene.store {
        Store::Sqlite => f64::INFINITY,
        // Batches queue for the head, and grow meanwhile: there are never more than it lets through.
        Store::Postgres => (1e6 - scene.rate * costs.shared.head_event_us).max(1e6 / 50.0) / costs.shared.head_us,
    };
    (one * servers).min(head)
}

/// What the scene asks of each part.
pub(crate) fn parts(scene: &Scene, costs: &Costs, limits: &Limits) -> Vec<Part> {
    let (servers, shared) = (f64::from(scene.servers), &costs.shared);
    let batches = batches(scene, costs);
    let others = servers - 1.0;
    let (batch_us, write_us) = match scene.store {
        Store::Sqlite => (costs.batch(ns(1e6 / batches * servers)), costs.write_us),
        Store::Postgres => (shared.pg_batch_us, shared.pg_write_us),
    };
    // What a core hands out at a time: a batch, or all that came in the time between two rounds.
    let rounds = if scene.flush_every_ms > 0.0 { batches.min(1000.0 / scene.flush_every_ms) } else { batches };
    let flush_us = costs.flush(ns(1e6 / rounds));
    let (dashboards, apps) = (f64::from(scene.dashboards), f64::from(scene.app_sessions.min(2)));
    let app_flush_us = costs.flush(u64::MAX) + costs.event_us;
    let writes_cpu = scene.rate * (costs.http_us + write_us) + batches * batch_us;
    let has_sessions = scene.dashboards + scene.app_sessions > 0;
    let wakes = if has_sessions { rounds * servers * f64::from(scene.cores) * costs.wake_us } else { 0.0 };
    let dashboards_cpu = dashboards * (rounds * flush_us + scene.rate * costs.event_us);
    let sessions = dashboards + f64::from(scene.app_sessions);
    let idle_cpu = sessions * costs.session_us;
    let messages_cpu = if others > 0.0 {
        batches * (shared.publish_us + others * shared.receive_us) + scene.rate * others * shared.receive_event_us
    } else {
        0.0
    };
    let cpu = (writes_cpu + wakes + dashboards_cpu + scene.rate * apps * app_flush_us + idle_cpu + messages_cpu) / servers / 1e6;
    let sent = dashboards * (scene.rate * costs.event_bytes + rounds * costs.packet_bytes)
        + scene.rate * apps * (costs.event_bytes + costs.packet_bytes);
    let gbit = |bytes: f64| bytes * 8.0 / 1e9;
    let server = |name, used, of, unit| Part { name, used, of, unit, grows_with_servers: true };
    let mut parts = vec![
        server("CPU of a server", cpu, f64::from(scene.cores), "cores"),
        server("network of a server", gbit(sent) / servers, limits.nic_gbit, "Gbit/s"),
        server("sessions of a server", sessions / servers, limits.sessions_max, "sessions"),
    ];
    if scene.store == Store::Postgres {
        parts.extend(shared_parts(scene, costs, limits, batches));
    }
    parts
}

fn shared_parts(scene: &Scene, costs: &Costs, limits: &Limits, batches: f64) -> Vec<Part> {
    let shared = &costs.shared;
    let others = f64::from(scene.servers) - 1.0;
    let part = |name, used, of, unit| Part { name, used, of, unit, grows_with_servers: false };
    let messages =
        if others > 0.0 { batches * (shared.broker_us + f64::from(scene.servers) * shared.broker_server_us) } else { 0.0 };
    let mut database = scene.rate * shared.db_write_us + batches * shared.db_batch_us;
    if scene.broker == Broker::Postgres {
        database += messages + batches * others * shared.read_us;
    }
    let mut parts = vec![
        part("CPU of PostgreSQL", database / 1e6, f64::from(scene.postgres_cores), "cores"),
        // Batches grow while they queue for the row, so that they are no limit; what each event needs of it is.
        part("row with the head", scene.rate * shared.head_event_us / 1e6, 1.0, "of the time"),
        part("disk of PostgreSQL", scene.rate * shared.db_bytes / 1e6, limits.disk_mb, "MB/s"),
    ];
    if scene.broker == Broker::Redis && others > 0.0 {
        let out = scene.rate * costs.event_bytes * f64::from(scene.servers);
        parts.push(part("CPU of Redis", messages / 1e6, 1.0, "core"));
        parts.push(part("network of Redis", out * 8.0 / 1e9, limits.nic_gbit, "Gbit/s"));
    }
    parts
}

/// The part that is used most, by its share.
pub(crate) fn bottleneck(parts: &[Part]) -> Option<&Part> {
    parts.iter().max_by(|a, b| a.share().total_cmp(&b.share()))
}

/// Servers enough for what more servers help with; `None` where no number is.
pub(crate) fn servers(scene: &Scene, costs: &Costs, limits: &Limits) -> Option<u32> {
    const SERVERS_MAX: u32 = 1 << 16;
    let most = if scene.store == Store::Sqlite { 1 } else { SERVERS_MAX };
    let fits = |servers: u32| {
        let parts = parts(&Scene { servers, ..*scene }, costs, limits);
        parts.iter().filter(|part| part.grows_with_servers).all(|part| part.share() <= limits.load_max)
    };
    // More servers hear more of each other: beyond some number they do not get lighter, and so each is looked at.
    (1..=most).find(|servers| fits(*servers))
}

#[cfg(test)]
mod tests {
    use super::super::cluster::play;
    use super::*;

    const LIMITS: Limits = Limits { nic_gbit: 10.0, disk_mb: 250.0, sessions_max: 200_000.0, load_max: 0.6 };

    fn part(scene: &Scene, name: &str) -> f64 {
        parts(scene, &Costs::as_given(), &LIMITS).iter().find(|part| part.name == name).unwrap().used
    }

    /// Goal: arithmetic and play tell of the same cluster. Method: CPU of servers, of PostgreSQL and of Redis, of scenes that
    /// are far from their limits.
    #[test]
    fn agrees_with_the_play() {
        let one = Scene { poisson: true, ..Scene::default() };
        let many = Scene { servers: 4, cores: 2, store: Store::Postgres, ..one };
        for (scene, tolerance) in [
            (Scene { dashboards: 500, rate: 100.0, ..one }, 0.1),
            (Scene { rate: 5000.0, ..one }, 0.15),
            (Scene { dashboards: 2000, rate: 100.0, ..many }, 0.15),
            (Scene { dashboards: 400, app_sessions: 2000, rate: 500.0, ..many }, 0.15),
            (Scene { dashboards: 400, rate: 100.0, broker: Broker::Postgres, ..many }, 0.15),
        ] {
            let played = play(&scene, &Costs::as_given());
            let servers = f64::from(scene.servers);
            let mut pairs = vec![("CPU of a server", played.server_cores / servers)];
            if scene.store == Store::Postgres {
                pairs.push(("CPU of PostgreSQL", played.postgres_cores));
            }
            for (name, played) in pairs {
                let computed = part(&scene, name);
                assert!((computed / played - 1.0).abs() < tolerance, "{name}: {computed} and {played}: {scene:?}");
            }
        }
    }

    /// Goal: a number of servers is the least that is enough, and what more servers do not help with is named. Method: a
    /// million dashboards; one server less; a write load that fills a disk.
    #[test]
    fn servers_are_as_many_as_it_takes() {
        let costs = Costs::as_given();
        let scene =
            Scene { cores: 32, dashboards: 1_000_000, rate: 100.0, poisson: true, store: Store::Postgres, ..Scene::default() };
        let enough = servers(&scene, &costs, &LIMITS).unwrap();
        let share = |servers| {
            let parts = parts(&Scene { servers, ..scene }, &costs, &LIMITS);
            parts.iter().filter(|part| part.grows_with_servers).map(Part::share).fold(0.0, f64::max)
        };
        assert!(enough > 30 && share(enough) <= LIMITS.load_max && share(enough - 1) > LIMITS.load_max, "{enough}");
        let writes = Scene { dashboards: 0, rate: 90_000.0, postgres_cores: 64, servers: 20, ..scene };
        let parts = parts(&writes, &costs, &LIMITS);
        let worst = bottleneck(&parts).unwrap();
        assert!(!worst.grows_with_servers && worst.share() > 0.85, "{worst:?}");
    }
}
