//! The client against real sockets: scripted servers for what a good server does not do, a real one for the rest.
#![expect(clippy::unwrap_used, reason = "a test fails where what it needs is missing, in helpers as well")]

mod acceptor;
mod auth;
mod broken_promises;
mod fallback;
mod guide;
mod meddler;
mod parsers;
mod proxy;
mod rest;
mod scripted;
mod stream_faults;
mod stream_live;
mod tls;
mod transports;
