//! The cluster, event by event.
//!
//! A core is a queue: whoever needs it gets it after those who asked before. Handing events to many sessions is cut into
//! slices, so that a commit gets in between, as the kernel sees to it. A server commits what has gathered while its last
//! batch was on its way; with PostgreSQL the batches of all servers take the row with the head in turn.
//!
//! Source: a queueing network, played by next-event time advance (A. Law, Simulation Modeling and Analysis, 1.3).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use hdrhistogram::Histogram;

use super::costs::Costs;
use super::queue::{Queue, take_first};
use super::{Broker, Scene, Store, many, ns, us};
use crate::load::recorder::histogram;
use crate::load::schedule::Schedule;

/// Longest time for which a core hands out events before others get it.
const SLICE_NS: u64 = 500_000;
/// Sessions of a core that stand for all of it in the distribution of latencies, evenly spread over their order.
const PLACES: u64 = 16;
/// Share of the simulated time that is not looked at: queues and batches settle.
const WARMUP: f64 = 0.2;
/// Events of one batch, at most.
const BATCH_MAX: usize = 4096;

/// What a simulated cluster did.
#[derive(Debug)]
pub(crate) struct Played {
    /// Planned instant of a write to its answer.
    pub(crate) response: Histogram<u64>,
    /// Planned instant of a write to its event's arrival at dashboards.
    pub(crate) delivery: Histogram<u64>,
    /// Busy cores of all servers together, on average; likewise the next two.
    pub(crate) server_cores: f64,
    pub(crate) postgres_cores: f64,
    pub(crate) redis_cores: f64,
    /// Share of the time for which some batch held the row with the head.
    pub(crate) head_share: f64,
    pub(crate) writes_per_batch: f64,
    /// Writes that were answered, and events that were delivered, a second.
    pub(crate) writes_per_s: f64,
    pub(crate) deliveries_per_s: f64,
}

/// Plays the scene.
pub(crate) fn play(scene: &Scene, costs: &Costs) -> Played {
    let mut play = Play::new(scene, costs);
    play.run();
    play.played()
}

/// The intended instants of some events.
type Events = Rc<[u64]>;

/// What happens at an instant.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A write comes in.
    Write { server: usize },
    /// It has been read and waits for a batch.
    Waits { server: usize, intended_ns: u64 },
    /// A server has done its part of a batch.
    Prepared { server: usize },
    /// A batch is durable.
    Committed { server: usize },
    /// The broker's message arrives.
    Message { server: usize, events: Events },
    /// A server knows of events.
    News { server: usize, events: Events },
    /// A slice of handing out is over.
    Slice { server: usize, core: usize },
}

/// Handing out on one core.
#[derive(Debug, Default)]
struct Shard {
    pending: Vec<u64>,
    /// Events on their way, and since when.
    round: Vec<u64>,
    round_from_ns: u64,
    /// What is left of it.
    left_ns: u64,
}

#[derive(Debug, Default)]
struct Server {
    cores: Vec<Queue>,
    shards: Vec<Shard>,
    waiting: Vec<u64>,
    batch: Vec<u64>,
    batch_from_ns: u64,
}

struct Play<'a> {
    scene: &'a Scene,
    costs: &'a Costs,
    happenings: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    order: u64,
    now_ns: u64,
    from_ns: u64,
    end_ns: u64,
    schedule: Schedule,
    next_server: usize,
    servers: Vec<Server>,
    postgres: Vec<Queue>,
    head: Queue,
    redis: Queue,
    response: Histogram<u64>,
    delivery: Histogram<u64>,
    batches: u64,
    writes: u64,
    deliveries: f64,
}

impl<'a> Play<'a> {
    fn new(scene: &'a Scene, costs: &'a Costs) -> Self {
        let server = |_| Server {
            cores: vec![Queue::default(); scene.cores as usize],
            shards: (0..scene.cores).map(|_| Shard::default()).collect(),
            ..Server::default()
        };
        let schedule =
            if scene.poisson { Schedule::poisson(scene.rate, 0, 1, scene.seed) } else { Schedule::constant(scene.rate, 0, 1) };
        Self {
            scene,
            costs,
            happenings: BinaryHeap::new(),
            order: 0,
            now_ns: 0,
            from_ns: ns(scene.duration_s * WARMUP * 1e6),
            end_ns: ns(scene.duration_s * 1e6),
            schedule,
            next_server: 0,
            servers: (0..scene.servers).map(server).collect(),
            postgres: vec![Queue::default(); scene.postgres_cores as usize],
            head: Queue::default(),
            redis: Queue::default(),
            response: histogram(),
            delivery: histogram(),
            batches: 0,
            writes: 0,
            deliveries: 0.0,
        }
    }

    fn run(&mut self) {
        self.plan_write();
        while let Some(Reverse((at_ns, _, happening))) = self.happenings.pop() {
            if at_ns >= self.end_ns {
                return;
            }
            self.now_ns = at_ns;
            match happening {
                Happening::Write { server } => {
                    self.plan_write();
                    let intended_ns = self.now_ns;
                    let read_ns = self.on_server(server, self.costs.http_us / 2.0);
                    self.at(read_ns, Happening::Waits { server, intended_ns });
                }
                Happening::Waits { server, intended_ns } => {
                    self.servers[server].waiting.push(intended_ns);
                    self.begin_batch(server);
                }
                Happening::Prepared { server } => self.prepared(server),
                Happening::Committed { server } => self.committed(server),
                Happening::Message { server, events } => {
                    let shared = &self.costs.shared;
                    let cost = shared.receive_us + shared.receive_event_us * many(events.len());
                    let known_ns = self.on_server(server, cost);
                    self.at(known_ns, Happening::News { server, events });
                }
                Happening::News { server, events } => self.news(server, &events),
                Happening::Slice { server, core } => self.slice(server, core),
            }
        }
    }

    fn at(&mut self, at_ns: u64, happening: Happening) {
        self.order += 1;
        self.happenings.push(Reverse((at_ns, self.order, happening)));
    }

    fn plan_write(&mut self) {
        let server = self.next_server;
        self.next_server = (server + 1) % self.servers.len();
        if let Some(at_ns) = self.schedule.next() {
            self.at(at_ns, Happening::Write { server });
        }
    }

    /// Has a server compute; on the core that is free first.
    fn on_server(&mut self, server: usize, cost_us: f64) -> u64 {
        take_first(&mut self.servers[server].cores, self.now_ns, ns(cost_us), self.from_ns)
    }

    fn begin_batch(&mut self, server: usize) {
        let this = &mut self.servers[server];
        if !this.batch.is_empty() || this.waiting.is_empty() {
            return;
        }
        let length = this.waiting.len().min(BATCH_MAX);
        this.batch = this.waiting.drain(..length).collect();
        let gap_ns = self.now_ns - this.batch_from_ns;
        this.batch_from_ns = self.now_ns;
        let cost = match self.scene.store {
            Store::Sqlite => self.costs.batch(gap_ns) + self.costs.write_us * many(length),
            Store::Postgres => self.costs.shared.pg_batch_us + self.costs.shared.pg_write_us * many(length),
        };
        let prepared_ns = self.on_server(server, cost);
        self.at(prepared_ns, Happening::Prepared { server });
    }

    fn prepared(&mut self, server: usize) {
        let committed_ns = match self.scene.store {
            Store::Sqlite => self.now_ns + ns(self.costs.fsync_us),
            Store::Postgres => {
                let shared = &self.costs.shared;
                let length = many(self.servers[server].batch.len());
                let cost = ns(shared.db_batch_us + shared.db_write_us * length);
                let written_ns = take_first(&mut self.postgres, self.now_ns, cost, self.from_ns);
                self.head.take(written_ns, ns(shared.head_us + shared.head_event_us * length), self.from_ns)
            }
        };
        self.at(committed_ns, Happening::Committed { server });
    }

    fn committed(&mut self, server: usize) {
        let batch = std::mem::take(&mut self.servers[server].batch);
        let length = many(batch.len());
        let answered_ns = self.on_server(server, self.costs.http_us / 2.0 * length);
        if self.now_ns >= self.from_ns {
            self.batches += 1;
            self.writes += batch.len() as u64;
            for intended_ns in &batch {
                self.response.saturating_record((answered_ns - intended_ns) / 1000);
            }
        }
        let events: Events = batch.into();
        self.at(self.now_ns, Happening::News { server, events: Rc::clone(&events) });
        if self.servers.len() > 1 {
            self.publish(server, &events);
        }
        self.begin_batch(server);
    }

    fn publish(&mut self, from: usize, events: &Events) {
        let shared = self.costs.shared;
        let servers = self.servers.len();
        let sent_ns = self.on_server(from, shared.publish_us);
        let cost = ns(shared.broker_us + shared.broker_server_us * many(servers));
        let out_ns = match self.scene.broker {
            Broker::Redis => self.redis.take(sent_ns, cost, self.from_ns),
            Broker::Postgres => take_first(&mut self.postgres, sent_ns, cost, self.from_ns),
        };
        for server in (0..servers).filter(|server| *server != from) {
            let mut there_ns = out_ns + ns(shared.hop_us);
            if self.scene.broker == Broker::Postgres {
                // The message tells of the head alone: each server asks, and waits for the answer.
                there_ns = take_first(&mut self.postgres, there_ns, ns(shared.read_us), self.from_ns) + ns(shared.hop_us);
            }
            self.at(there_ns, Happening::Message { server, events: Rc::clone(events) });
        }
    }

    fn news(&mut self, server: usize, events: &[u64]) {
        for core in 0..self.scene.cores as usize {
            self.servers[server].shards[core].pending.extend_from_slice(events);
            self.begin_round(server, core);
        }
    }

    /// Sessions of one core: dashboards, and the app sessions that an event is for.
    fn sessions(&self) -> (f64, f64) {
        let shards = f64::from(self.scene.servers) * f64::from(self.scene.cores);
        let concerned = f64::from(self.scene.app_sessions.min(2));
        (f64::from(self.scene.dashboards) / shards, concerned / shards)
    }

    fn begin_round(&mut self, server: usize, core: usize) {
        let (dashboards, apps) = self.sessions();
        let shard = &mut self.servers[server].shards[core];
        if dashboards + apps == 0.0 {
            shard.pending.clear();
        }
        if !shard.round.is_empty() || shard.pending.is_empty() {
            return;
        }
        let earliest_ns = shard.round_from_ns + ns(self.scene.flush_every_ms * 1000.0);
        if self.now_ns < earliest_ns && shard.round_from_ns > 0 {
            if shard.left_ns == 0 {
                shard.left_ns = 1;
                self.at(earliest_ns, Happening::Slice { server, core });
            }
            return;
        }
        let gap_ns = self.now_ns - shard.round_from_ns;
        shard.round = std::mem::take(&mut shard.pending);
        shard.round_from_ns = self.now_ns;
        let events = many(shard.round.len());
        let to_dashboards = dashboards * (self.costs.flush(gap_ns) + self.costs.event_us * events);
        let to_apps = apps * events * (self.costs.flush(u64::MAX) + self.costs.event_us);
        shard.left_ns = ns(self.costs.wake_us + to_dashboards + to_apps).max(1);
        self.slice(server, core);
    }

    /// Takes the next slice, or ends the round.
    fn slice(&mut self, server: usize, core: usize) {
        let this = &mut self.servers[server];
        let shard = &mut this.shards[core];
        if shard.round.is_empty() {
            // The time between two rounds is over.
            shard.left_ns = 0;
            self.begin_round(server, core);
            return;
        }
        if shard.left_ns > 0 {
            let slice_ns = shard.left_ns.min(SLICE_NS);
            shard.left_ns -= slice_ns;
            let done_ns = this.cores[core].take(self.now_ns, slice_ns, self.from_ns);
            self.at(done_ns, Happening::Slice { server, core });
            return;
        }
        let round = std::mem::take(&mut shard.round);
        let (from_ns, length_ns) = (shard.round_from_ns, self.now_ns - shard.round_from_ns);
        if from_ns >= self.from_ns {
            let (dashboards, apps) = self.sessions();
            self.deliveries += many(round.len()) * (dashboards + apps);
            for intended_ns in &round {
                for place in 0..PLACES {
                    let there_ns = from_ns + length_ns * (2 * place + 1) / (2 * PLACES);
                    self.delivery.saturating_record((there_ns - intended_ns) / 1000);
                }
            }
        }
        self.begin_round(server, core);
    }

    fn played(self) -> Played {
        let looked_ns = us(self.end_ns - self.from_ns);
        let busy = |queues: &[Queue]| queues.iter().map(|queue| us(queue.busy_ns)).sum::<f64>() / looked_ns;
        let seconds = looked_ns / 1e6;
        let sessions = f64::from(self.scene.dashboards) + f64::from(self.scene.app_sessions);
        let idle = sessions * self.costs.session_us / 1e6;
        #[expect(clippy::cast_precision_loss, reason = "counts of a few simulated seconds")]
        let (writes, batches) = (self.writes as f64, self.batches as f64);
        Played {
            server_cores: self.servers.iter().map(|server| busy(&server.cores)).sum::<f64>() + idle,
            postgres_cores: busy(&self.postgres),
            redis_cores: busy(&[self.redis]),
            head_share: busy(&[self.head]),
            writes_per_batch: if batches > 0.0 { writes / batches } else { 0.0 },
            writes_per_s: writes / seconds,
            deliveries_per_s: self.deliveries / seconds,
            response: self.response,
            delivery: self.delivery,
        }
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
