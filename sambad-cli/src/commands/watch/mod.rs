//! `watch`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use sambad_client::{After, Client, EventKind, EventStreamOptions, Filter, KindSet, Transport, UserRef};

use crate::exit::Exit;
use crate::output::Output;
use crate::values;

mod expect;
mod field;
mod format;
mod pretty;
mod progress;
mod resume;
mod session;

use expect::Expectation;
use format::Format;
use resume::Resume;
use session::Session;

/// What is shown, how, and for how long.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct WatchArgs {
    /// Only events of this type; repeat the option or separate types with commas
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = values::event_kind())]
    types: Vec<EventKind>,
    /// Only events that involve this user: id or phone number
    #[arg(long, value_name = "USER")]
    user: Option<UserRef>,
    /// Start after this position instead of now
    #[arg(long, value_name = "CURSOR|SEQ|beginning", value_parser = values::after)]
    after: Option<After>,
    /// Resume from the cursor in FILE and keep FILE up to date; if FILE does not exist, start as --after says
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Transport: WebSocket (ws), Server-Sent Events (sse) or long polling (poll); auto tries them in this order
    #[arg(long, value_name = "TRANSPORT", default_value_t, value_parser = values::transport())]
    transport: Transport,
    /// Stop after N events
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<NonZeroU64>,
    /// Stop after this time, for example 30s
    #[arg(long = "for", value_name = "TIME", value_parser = values::duration)]
    time: Option<Duration>,
    /// Stop when no event has arrived for this time, for example 10s
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    idle: Option<Duration>,
    /// How to print an event: pretty, json, or a template such as '{seq} {type}'
    #[arg(long, value_name = "FORMAT", default_value = "pretty")]
    format: Format,
    /// Also print the latency in ms: from the event's timestamp (server clock) to arrival (local clock)
    #[arg(long)]
    latency: bool,
    /// Exit with code 3 at the first event that is missing, repeated or out of order
    #[arg(long)]
    verify: bool,
    /// Exit with code 0 once each --expect has matched an event in all its fields; with 1 if `watch` stops before
    #[arg(long, value_name = "FIELD=VALUE,…")]
    expect: Vec<Expectation>,
}

const AFTER_HELP: &str = "\
Template fields:
  {seq} {type} {timestamp} {time} {latency_ms} {data} {data.FIELD}

{time} is local time, {timestamp} is the server's text. \\n and \\t are escapes; {{ and }} print braces.

`watch` writes the --resume file after it has printed the events. If it is killed, the next run may repeat the last events, \
but misses none. Ctrl-C stops `watch` with exit code 0.

Examples:
  sambad-cli watch --type contact_added --user +919876543210
  sambad-cli watch --after beginning --format '{seq} {type}' --idle 1s
  sambad-cli watch --resume ~/.sambad-cursor --json >> events.jsonl
  sambad-cli watch --for 30s --expect 'type=contact_added,data.user_username=+919876543210'";

impl WatchArgs {
    pub(crate) async fn run(mut self, client: &Client, output: &mut Output) -> anyhow::Result<Exit> {
        if output.wants_json() && self.format.is_default() {
            self.format = Format::Json;
        }
        let user = match &self.user {
            Some(user) => Some(client.resolve(user).await.with_context(|| format!("cannot find user {user}"))?),
            None => None,
        };
        let resume = self.resume.take().map(Resume::open).transpose()?;
        let found = resume.as_ref().and_then(Resume::cursor).map(After::Cursor);
        let kinds = if self.types.is_empty() { KindSet::ALL } else { self.types.iter().copied().collect() };
        let filter = Filter { kinds, user };
        let after = found.or(self.after);
        let options = EventStreamOptions { after, filter, transport: self.transport, ..EventStreamOptions::default() };
        Session::new(self, client, options, resume).run(output).await
    }
}
