//! The real program, run against a real server, or against one that misbehaves as a test says.
#![expect(clippy::unwrap_used, reason = "a test fails where what it needs is missing, in helpers as well")]

#[path = "../../../sambad-client/tests/it/acceptor.rs"]
mod acceptor;
mod access;
mod commands;
mod demo;
mod doctor;
mod faulty;
mod flow;
mod harness;
mod help;
mod middlebox;
mod usage;
mod watch;
mod watch_ends;
mod watch_position;
mod watch_transport;
mod watch_verify;
