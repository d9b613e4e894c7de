#![doc = include_str!("../README.md")]

use std::io::{self, Write as _};
use std::process::ExitCode;

mod args;
mod audit;
mod cluster_args;
mod commands;
mod compare;
mod engine;
mod exit;
mod floor;
mod host;
mod judgement;
mod live;
mod load;
mod report;
mod search;
mod secret;
mod simulate;
mod slo;
mod thread;
mod values;
mod watcher;
mod writer;

use args::{Cli, Command};
use exit::Exit;
use sambad_settings::Exceptions;

/// What the server of a run is started with, it judges itself.
const EXCEPTIONS: Exceptions = Exceptions { unread: &[host::HOSTED], as_typed: &["server_args"], above: &[] };

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings = sambad_settings::load(std::env::args_os(), std::env::vars_os(), EXCEPTIONS);
    let (Cli { command, run }, warnings) = settings.unwrap_or_else(|error| error.exit());
    for warning in warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let outcome = match command.unwrap_or_else(|| Command::Run(Box::new(run))) {
        Command::Run(args) => args.run(),
        Command::FindMax(args) => args.run(),
        Command::Connect(args) => args.run(),
        Command::Report(args) => args.run(),
        Command::Compare(args) => args.run(),
        Command::Simulate(args) => args.run(),
        Command::Hosted(args) => host::run_hosted(args).map(|()| Exit::Fine),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => Exit::Fine.into(),
        Err(error) => {
            // stderr may be closed; there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            Exit::of(&error).into()
        }
    }
}

/// Whether whoever read our output has gone, as `head` does: they have what they wanted.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
