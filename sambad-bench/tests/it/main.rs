//! The real program, against real servers: sound ones, and ones that a proxy makes lie, lose, stall or hang up.
#![expect(clippy::unwrap_used, reason = "a test fails where what it needs is missing, in helpers as well")]

mod harness;
mod proxy;
mod proxy_http;

mod bad_input;
mod chaos;
mod cluster;
mod commands;
mod cuts;
mod faulty_proxy;
mod floor;
mod held_back;
mod help;
mod leftovers;
mod lies;
mod run;
mod simulate;
mod stall;
mod target_goes;
