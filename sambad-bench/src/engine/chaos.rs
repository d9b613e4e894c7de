//! What is done to the servers, and to what they need, on purpose while they are under load.

use std::time::Duration;

use anyhow::Context as _;

use super::fault::{Fault, list};
use super::target::Target;
use crate::host::LinkState;
use crate::load::clock::nanos;
use crate::report::ChaosSummary;

/// Faults at their times.
#[derive(Debug)]
pub(crate) struct Chaos {
    faults: Vec<Timed>,
    summary: ChaosSummary,
}

/// One fault, and when it is due.
#[derive(Debug)]
struct Timed {
    fault: Fault,
    next_ns: u64,
    /// Until when it lasts, and at which server.
    lasting: Option<(u64, usize)>,
    /// How often it was done.
    times: usize,
}

impl Chaos {
    pub(crate) fn new(faults: &[Fault]) -> Self {
        let timed = |fault: &Fault| Timed { fault: *fault, next_ns: u64::MAX, lasting: None, times: 0 };
        Self { faults: faults.iter().map(timed).collect(), summary: ChaosSummary::default() }
    }

    /// The faults, as they were asked for.
    pub(crate) fn description(&self) -> Option<String> {
        list(&self.faults.iter().map(|timed| timed.fault).collect::<Vec<_>>())
    }

    pub(super) fn begin(&mut self, begin_ns: u64) {
        for timed in &mut self.faults {
            timed.next_ns = begin_ns + nanos(timed.fault.every());
        }
    }

    /// Does what is due; nothing after `end_ns`.
    pub(super) fn step(&mut self, now_ns: u64, end_ns: u64, target: &mut Target) -> anyhow::Result<()> {
        for place in 0..self.faults.len() {
            let timed = &mut self.faults[place];
            if let Some((until_ns, server)) = timed.lasting {
                if now_ns >= until_ns {
                    timed.lasting = None;
                    heal(timed.fault, server, target)?;
                }
                continue;
            }
            if now_ns >= end_ns {
                timed.next_ns = u64::MAX;
            }
            if now_ns >= timed.next_ns {
                timed.next_ns += nanos(timed.fault.every());
                self.strike(place, now_ns, target)?;
            }
        }
        Ok(())
    }

    fn strike(&mut self, place: usize, now_ns: u64, target: &mut Target) -> anyhow::Result<()> {
        let Some(server) = self.victim(place, target) else { return Ok(()) };
        let timed = &mut self.faults[place];
        let summary = &mut self.summary;
        let is_even = timed.times.is_multiple_of(2);
        timed.times += 1;
        match (timed.fault, target) {
            (Fault::Kill9 { .. }, target) => {
                let server = &mut target.servers()[server];
                server.kill9().context("cannot kill the server")?;
                let downtime = server.restart().context("the server did not restart")?;
                summary.kills += 1;
                summary.downtimes_us.push(u64::try_from(downtime.as_micros()).unwrap_or(u64::MAX));
            }
            (Fault::Pause { length, .. }, target) => {
                target.servers()[server].pause().context("cannot pause the server")?;
                summary.pauses += 1;
                timed.lasting = Some((now_ns + nanos(length), server));
            }
            (Fault::RedisCut { length, .. }, Target::Cluster(cluster, _)) => {
                // A server that is told of the cut, and one that has to find out, differ.
                cluster.links()[server].set(if is_even { LinkState::Silent } else { LinkState::Closed });
                summary.redis_cuts += 1;
                timed.lasting = Some((now_ns + nanos(length), server));
            }
            (Fault::RedisRestart { .. }, Target::Cluster(cluster, _)) => {
                cluster.restart_redis().context("cannot restart Redis")?;
                summary.redis_restarts += 1;
            }
            (Fault::PostgresRestart { .. }, Target::Cluster(cluster, _)) => {
                cluster.restart_postgres().context("cannot restart PostgreSQL")?;
                summary.postgres_restarts += 1;
            }
            (_, Target::Remote { .. } | Target::Hosted(_)) => {}
        }
        Ok(())
    }

    /// Whose turn it is: not that of a server that another fault has in its hands. One that stands still answers to nobody, and
    /// one that is cut off could not start again before the cut ends.
    fn victim(&self, place: usize, target: &mut Target) -> Option<usize> {
        let servers = target.servers().len();
        let taken = |server: usize| self.faults.iter().any(|timed| timed.lasting.is_some_and(|(_, taken)| taken == server));
        let first = self.faults[place].times;
        (0..servers).map(|more| (first + more) % servers).find(|server| !taken(*server))
    }

    /// How long nothing is due.
    pub(super) fn next_in(&self, now_ns: u64) -> Duration {
        let next = self.faults.iter().map(|timed| timed.lasting.map_or(timed.next_ns, |(until_ns, _)| until_ns)).min();
        Duration::from_nanos(next.unwrap_or(u64::MAX).saturating_sub(now_ns))
    }

    /// Leaves no server stopped or cut off behind.
    pub(super) fn end(&mut self, target: &mut Target) -> anyhow::Result<()> {
        for timed in &mut self.faults {
            timed.next_ns = u64::MAX;
            if let Some((_, server)) = timed.lasting.take() {
                heal(timed.fault, server, target)?;
            }
        }
        Ok(())
    }

    pub(super) fn summary(&self) -> Option<ChaosSummary> {
        (!self.faults.is_empty()).then(|| self.summary.clone())
    }
}

/// Ends a fault that lasts.
fn heal(fault: Fault, server: usize, target: &mut Target) -> anyhow::Result<()> {
    match (fault, target) {
        (Fault::RedisCut { .. }, Target::Cluster(cluster, _)) => cluster.links()[server].set(LinkState::Open),
        (_, target) => target.servers()[server].resume().context("cannot resume the server")?,
    }
    Ok(())
}
