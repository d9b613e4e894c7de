//! Several cores on one PostgreSQL database, as several servers are.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]
#![cfg(feature = "store")]

mod brokers;
mod committers;
mod copies;
mod filled;
mod forged;
mod harness;
mod lives;
mod outcomes;
mod proxy;
mod upkeep;
