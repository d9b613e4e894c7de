//! The binary on a disk that fails: kills, power cuts, a full disk, failing COMMITs, a slow disk.
//!
//! Apart from `it`, since these tests take the whole machine for seconds, and since they know SQLite's files.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails where what it needs is missing, and says what it tried"
)]

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "what the other tests of this crate need of it")]
mod harness;

mod crash;
mod embedded;
mod faults;
mod full;
mod layer;
mod load;
mod platter;
mod power_cut;
mod readers;
mod recording;
mod rows;
mod slow;
mod unsynced;
mod world;
