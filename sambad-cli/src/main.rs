#![doc = include_str!("../README.md")]

use std::io;
use std::process::ExitCode;

mod access;
mod cli;
mod commands;
mod credentials;
mod exit;
mod output;
mod paging;
mod text;
mod values;

use access::Access;
use cli::Cli;
use commands::{COMPLETIONS, Command};
use exit::Exit;
use output::{Output, Role};
use sambad_settings::Exceptions;

/// Values as typed: people, what they are called and say, and how events are chosen and shown.
const EXCEPTIONS: Exceptions = Exceptions {
    unread: &[COMPLETIONS],
    as_typed: &["user", "contact", "first", "from", "to", "with", "phone", "name", "query", "content", "expect", "format"],
    above: &[("token", "token_file")],
};

fn main() -> ExitCode {
    let settings = sambad_settings::load(std::env::args_os(), std::env::vars_os(), EXCEPTIONS);
    let (Cli { global, command }, warnings) = settings.unwrap_or_else(|error| error.exit());
    let mut output = Output::new(global.color, global.json);
    for warning in warnings {
        output.note(Role::Warning, format_args!("warning: {warning}"));
    }
    let outcome = match command {
        Command::Completions(args) => args.run(&mut output).map(|()| Exit::Success),
        Command::OfServer(command) => Access::new(global).and_then(|access| run(command.run(&access, &mut output))),
    };
    // What a command wrote before it failed is shown before the failure.
    let flushed = output.flush().map_err(anyhow::Error::from);
    match outcome.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => Exit::Success.into(),
        Err(error) => match error.downcast::<clap::Error>() {
            // Wrong usage that no argument shows by itself: told and ended (with 2) as all wrong usage is.
            Ok(usage) => usage.exit(),
            Err(error) => {
                output.error(&error);
                let denied = error.downcast_ref::<sambad_client::Error>().is_some_and(sambad_client::Error::is_denied);
                if denied { Exit::Denied.into() } else { Exit::Failure.into() }
            }
        },
    }
}

/// Runs a command on one thread: there is one connection, and what it brings is printed in order.
fn run(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // A name look-up that hangs must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Whether whoever read our output has gone, as `head` does: they have what they wanted.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
