#![doc = include_str!("../README.md")]

mod commands;
pub mod config;
mod drain;
mod error;
mod extract;
mod handlers;
mod reply;
mod router;
mod run;
mod serve;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod ws;

pub use config::ServerConfig;
pub use run::run;
pub use serve::{ServeError, serve};
