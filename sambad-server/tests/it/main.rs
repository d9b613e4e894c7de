//! The server over real sockets, against a real database: one module a URL, then the promises that span them.

mod harness;

mod admin;
mod assets;
mod bad_requests;
mod binary;
mod commands;
mod config;
mod contacts;
mod documents;
mod events;
mod fan_out;
mod idempotency;
mod long_poll;
mod messages;
mod promises;
mod retention;
mod returning;
mod root;
mod sessions;
mod shedding;
mod shutdown;
mod slow_readers;
mod sse;
mod sse_ends;
mod sync_contacts;
mod transports;
mod unavailable;
mod users;
mod ws;
mod ws_bad_frames;
mod ws_corners;
