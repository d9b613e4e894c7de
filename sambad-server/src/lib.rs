#![doc = include_str!("../README.md")]

mod assets;
mod auth;
mod commands;
pub mod config;
mod documents;
mod drain;
mod error;
mod extract;
mod handlers;
mod object;
mod reply;
mod router;
mod routes;
mod run;
mod serve;
mod sessions;
mod sse;
mod stall;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod ws;

pub use config::ServerConfig;
pub use run::run;
pub use serve::{ServeError, serve};
