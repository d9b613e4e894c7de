//! The load itself: what is planned, what became of it, and what was measured.

pub(crate) mod clock;
pub(crate) mod dialect;
pub(crate) mod ledger;
pub(crate) mod mix;
pub(crate) mod plan;
pub(crate) mod recorder;
pub(crate) mod schedule;
pub(crate) mod wire;
pub(crate) mod workload;
