//! Several servers over one PostgreSQL, with Redis and nginx: real processes, and what happens to them.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails where what it needs is missing, and says what the servers said"
)]

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "what the other tests of this crate need of it")]
mod harness;

mod backups;
mod balancers;
mod clocks;
mod cursors;
mod dashboards;
mod discovery;
mod encrypted;
mod faults;
mod figures;
mod forged;
mod instances;
mod keys;
mod lists;
mod lives;
mod logs;
mod pages;
mod poolers;
mod refreshes;
mod refusals;
mod schema;
mod world;
mod writers;
