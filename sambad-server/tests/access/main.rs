//! Who may come in, and who may do what: over real sockets, by every way to say who one is.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod accounts;
mod audit;
mod discovery;
mod harness;
mod issuer;
mod origins;
mod proxies;
mod sessions;
mod table;
mod tokens;
mod users;
