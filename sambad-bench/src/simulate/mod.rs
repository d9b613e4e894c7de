//! A cluster in numbers: what it would cost to serve so many, from what it costs to serve few.
//!
//! [`cluster`] plays a cluster event by event, for latencies and for what happens near the limits; [`capacity`] is the
//! arithmetic of the same costs, for the number of servers. Both are first held against [`measured`].

pub(crate) mod capacity;
pub(crate) mod cluster;
pub(crate) mod costs;
pub(crate) mod measured;
mod queue;

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// What is to be served, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Scene {
    pub(crate) servers: u32,
    /// Cores of each.
    pub(crate) cores: u32,
    /// Sessions that see every event, all servers together.
    pub(crate) dashboards: u32,
    /// Sessions that see the events of one user each, all servers together.
    pub(crate) app_sessions: u32,
    /// Writes a second; each is an event.
    pub(crate) rate: f64,
    /// Whether writes come at random, or at equal gaps.
    pub(crate) poisson: bool,
    pub(crate) store: Store,
    pub(crate) broker: Broker,
    /// Cores of PostgreSQL.
    pub(crate) postgres_cores: u32,
    /// Time that a server lets pass between two writes to a socket, so that more events share one.
    pub(crate) flush_every_ms: f64,
    /// Simulated seconds.
    pub(crate) duration_s: f64,
    pub(crate) seed: u64,
}

/// Where the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    /// In the server, on the server's cores and disk
    Sqlite,
    /// In PostgreSQL, for all servers
    Postgres,
}

/// What tells servers of each other's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Broker {
    /// Redis, with the events in its messages
    Redis,
    /// PostgreSQL's NOTIFY, after which each server reads the events
    Postgres,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Sqlite { "SQLite" } else { "PostgreSQL" })
    }
}

impl Default for Scene {
    /// One server on one core with SQLite: what is measured.
    fn default() -> Self {
        Self {
            servers: 1,
            cores: 1,
            dashboards: 0,
            app_sessions: 0,
            rate: 1000.0,
            poisson: false,
            store: Store::Sqlite,
            broker: Broker::Redis,
            postgres_cores: 4,
            flush_every_ms: 0.0,
            duration_s: 4.0,
            seed: 1,
        }
    }
}

/// Microseconds as nanoseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "costs are positive and below an hour")]
fn ns(us: f64) -> u64 {
    (us * 1000.0).round() as u64
}

/// Nanoseconds as microseconds.
#[expect(clippy::cast_precision_loss, reason = "simulated time is below an hour")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

/// A number of things as a factor.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn many(count: usize) -> f64 {
    count as f64
}
