//! What a stranger may try, against the shipped binary: during each attack a well-behaved client is served as before, and the
//! server's memory stays where it was.
//!
//! Apart from `it`, since these tests measure and keep the machine busy: they run one by one.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "what was measured is worth knowing also when it is good")]

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "what the other tests of this crate need of it")]
mod harness;

mod bodies;
mod connections;
mod discovery;
mod figures;
mod h2;
mod handshakes;
mod logins;
mod siege;
mod smuggling;
mod texts;
