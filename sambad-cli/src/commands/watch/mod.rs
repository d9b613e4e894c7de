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
    /// Only events of this type; repeat or separate by commas for more
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = values::event_kind())]
    types: Vec<EventKind>,
    /// Only events that involve this user: id or phone
    #[arg(long, value_name = "USER")]
    user: Option<UserRef>,
    /// Begin after this position instead of now
    #[arg(long, value_name = "CURSOR|SEQ|beginning", value_parser = values::after)]
    after: Option<After>,
    /// Begin where FILE says, and keep it up to date; without the file, begin as --after says
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// How events travel: by WebSocket, Server-Sent Events or long poll; auto is the first that gets through
    #[arg(long, value_name = "WAY", default_value_t, value_parser = values::transport())]
    transport: Transport,
    /// Stop after N events
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<NonZeroU64>,
    /// Stop after this time, for example 30s
    #[arg(long = "for", value_name = "TIME", value_parser = values::duration)]
    time: Option<Duration>,
    /// Stop when no event came for this time, for example 10s
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    idle: Option<Duration>,
    /// How to print an event: pretty, json, or a template such as '{seq} {type}'
    #[arg(long, value_name = "FORMAT", default_value = "pretty")]
    format: Format,
    /// Also print the ms from an event's timestamp (the server's clock) to here (this clock)
    #[arg(long)]
    latency: bool,
    /// Exit 3 at the first event that is missing, repeated or out of order
    #[arg(long)]
    verify: bool,
    /// Exit 0 once an event with all these fields was seen, for each --expect; 1 if watching ends before
    #[arg(long, value_name = "FIELD=VALUE,…")]
    expect: Vec<Expectation>,
}

const AFTER_HELP: &str = r"Template fields:
  {seq} {type} {timestamp} {time} {latency_ms} {data} {data.FIELD}
  {time} is local, {timestamp} as sent; \n and \t are understood, {{ and }} stand for braces.

The file of --resume is written after the events it covers, so that a watch which was killed repeats
the last ones rather than missing any. Ctrl-C stops with exit code 0.

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
            Some(user) => Some(client.resolve(user).await.with_context(|| format!("find user {user}"))?),
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
