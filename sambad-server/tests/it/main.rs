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
mod h2;
mod idempotency;
mod limits;
mod log_secrets;
mod logs;
mod long_poll;
#[cfg(target_os = "linux")]
mod lost_network;
mod messages;
mod metric_names;
mod metrics;
mod moving;
mod names;
mod patience;
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
mod tls;
mod tls_sockets;
mod transports;
mod unavailable;
mod unwritable_logs;
mod users;
mod ws;
mod ws_bad_frames;
mod ws_corners;
