#![doc = include_str!("../README.md")]

mod assets;
mod auth;
mod commands;
mod compression;
pub mod config;
mod connection;
mod documents;
mod drain;
mod error;
mod extract;
mod handlers;
mod host;
mod limits;
mod line_limit;
mod lost;
mod metrics;
mod negotiation;
mod object;
mod outbox;
mod reply;
mod request_log;
mod router;
mod routes;
mod run;
mod scheme;
mod serve;
mod sessions;
mod sse;
mod stall;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod turns;
mod unread;
mod well_formed;
mod ws;

pub use config::ServerConfig;
pub use run::{exit_code, run};
pub use serve::{ServeError, serve};
pub use tls::{Tls, TlsError};
