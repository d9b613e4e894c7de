//! `demo`: people who log in, add each other and chat.

use std::time::Duration;

use clap::Args;
use sambad_client::reconnect::Backoff;
use sambad_client::{Client, Error};

use super::interrupts::Interrupts;
use crate::exit::Exit;
use crate::output::{Output, Role};
use crate::values;

mod cast;
mod found;
mod lines;
mod pace;
mod stage;
mod story;
mod tally;
mod write;

use found::Found;
use stage::Stage;

/// How much happens, among how many, and for how long.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DemoArgs {
    /// Events per second on average, from 0.1 to 500
    #[arg(long, value_name = "N", default_value = "3", value_parser = values::rate)]
    rate: f64,
    /// Maximum number of users to create, from 2 to 10000
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=i64::from(cast::CAST_MAX)))]
    users: u32,
    /// Seed: the same seed repeats the same story [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Stop after this time, for example 10m
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    duration: Option<Duration>,
}

const AFTER_HELP: &str = "\
Do not run it on a production database: the demo's users stay. The next run finds them by phone number and continues.
With authentication, the token needs the roles service and admin.

If the server stops or rejects requests, the demo waits, and does not catch up later. Ctrl-C and SIGTERM stop it with exit \
code 0. With --json, the response to each write is a line on stdout.";

impl DemoArgs {
    /// Looks for what is there already; waits for a server that is not.
    async fn look(&self, client: &Client, output: &Output) -> Result<Found, Error> {
        let mut backoff = Backoff::new(stage::WAITS[0], stage::WAITS[1]);
        let mut told = false;
        loop {
            let error = match Found::look(client, self.users).await {
                Err(error) if error.is_transient() => error,
                found => return found,
            };
            if !std::mem::replace(&mut told, true) {
                output.note(Role::Warning, format_args!("waiting for the server: {error}"));
            }
            tokio::time::sleep(backoff.next(fastrand::f64()).max(error.retry_after().unwrap_or_default())).await;
        }
    }

    pub(crate) async fn run(self, client: &Client, output: &mut Output) -> anyhow::Result<Exit> {
        let mut interrupts = Interrupts::listen()?;
        let found = tokio::select! {
            found = self.look(client, output) => found?,
            () = interrupts.next() => return Ok(Exit::Success),
        };
        output.note(Role::Heading, format_args!("dashboard: {}/dashboard", client.url()));
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..=u64::from(u32::MAX)));
        let (rate, users, had) = (self.rate, self.users, found.users);
        output.note(
            Role::Aside,
            format_args!("{rate} events/s, {had} of at most {users} users exist, seed {seed}; press Ctrl-C to stop"),
        );
        Stage::new(&self, client, found, seed).run(output, &mut interrupts).await
    }
}
