//! Behaviour of the core through its public face, on a real database; on a simulated one where a disk has to fail.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]
#![cfg(feature = "store")]

mod access;
mod clocks;
#[path = "../../src/store/tests/database.rs"]
mod database;
mod harness;
mod maintenance;
mod overload;
mod replay;
mod restart;
mod retention;
mod tampering;
#[cfg(feature = "simulation")]
mod unknown_outcome;
mod wal;
