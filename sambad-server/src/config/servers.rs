//! How servers of one database hear of each other.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use sambad_core::Broker;
use sambad_core::time::duration;

use super::SecretUrl;

/// Shortest and longest time between two looks at the head of the log.
const POLL_INTERVAL_BOUNDS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(60)];

/// How servers of one database hear of each other.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Several servers")]
pub struct ServersArgs {
    /// Redis that carries events between servers of one PostgreSQL database: redis://USER:PASSWORD@HOST:PORT, rediss://… for TLS
    #[arg(long, env = "SAMBAD_REDIS", hide_env_values = true, value_name = "URL")]
    pub redis: Option<SecretUrl>,
    /// How servers notify each other of new events
    #[arg(long, env = "SAMBAD_BROKER", value_enum, default_value_t = BrokerChoice::Auto)]
    pub broker: BrokerChoice,
    /// How often a server polls the head of a log that other servers write to, besides the broker's notifications
    #[arg(long, env = "SAMBAD_POLL_INTERVAL", default_value = "250ms", value_name = "TIME", value_parser = poll_interval)]
    pub poll_interval: Duration,
}

/// How servers notify each other of new events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BrokerChoice {
    /// Redis if --redis is set, otherwise PostgreSQL if that is the database, otherwise local
    Auto,
    /// No notifications: servers poll the head of the log
    Local,
    /// PostgreSQL, with NOTIFY
    Postgres,
    /// Redis, with publish and subscribe
    Redis,
}

impl ServersArgs {
    /// The broker, as the core is to be told; `None` leaves it to the database.
    ///
    /// # Errors
    /// When Redis is chosen and not named, named and not chosen, or its URL is none.
    pub fn broker(&self) -> anyhow::Result<Option<Broker>> {
        match (self.broker, &self.redis) {
            (BrokerChoice::Auto, None) => Ok(None),
            (BrokerChoice::Auto | BrokerChoice::Redis, Some(url)) => {
                Ok(Some(Broker::Redis(url.parse().context("cannot use --redis")?)))
            }
            (BrokerChoice::Redis, None) => anyhow::bail!("--broker redis needs --redis URL"),
            (BrokerChoice::Local | BrokerChoice::Postgres, Some(_)) => {
                anyhow::bail!("--redis has no effect with another --broker")
            }
            (BrokerChoice::Local, None) => Ok(Some(Broker::Local)),
            (BrokerChoice::Postgres, None) => Ok(Some(Broker::Postgres)),
        }
    }
}

fn poll_interval(text: &str) -> Result<Duration, String> {
    let [min, max] = POLL_INTERVAL_BOUNDS;
    match duration(text) {
        Ok(interval) if (min..=max).contains(&interval) => Ok(interval),
        _ => Err("expected a time from 10ms to 60s".into()),
    }
}
