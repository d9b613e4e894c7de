//! The inside of a server process that this program starts: itself again, with a hidden subcommand.
//!
//! A built load generator is one file and needs no other. Also a foreign program goes through here, so that its cores
//! and its end are arranged in the process itself, before it is that program.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use rustix::process::{Pid, Signal};

use super::pin;
use crate::floor::{self, FloorArgs};

/// The hidden subcommand's name on the command line.
pub(crate) const SUBCOMMAND: &str = "hosted";

/// The hidden subcommand's arguments.
#[derive(Debug, Args)]
pub(crate) struct HostedArgs {
    /// Process that started this one, and with which it ends
    #[arg(long, value_name = "PID")]
    parent: u32,
    /// Cores to stay on
    #[arg(long, value_name = "CORE", value_delimiter = ',')]
    cores: Vec<usize>,
    #[command(subcommand)]
    served: Served,
}

/// What the process serves.
#[derive(Debug, Subcommand)]
pub(crate) enum Served {
    /// The server that is built into this program
    Sambad(Box<sambad_server::config::Cli>),
    /// The floor
    Floor(FloorArgs),
    /// Another program, in this process
    Exec {
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

/// Serves until SIGTERM, or until the process that started this one ends, however that ends.
///
/// To be called in the first thread of a process before it starts others.
///
/// # Errors
/// When it cannot be confined to its cores, or cannot serve.
pub(crate) fn run_hosted(args: HostedArgs) -> anyhow::Result<()> {
    end_with(args.parent)?;
    if !args.cores.is_empty() && !pin::confine(&args.cores) {
        bail!("cannot run on the cores {:?}", args.cores);
    }
    match args.served {
        Served::Sambad(cli) => {
            // As many threads as cores: the runtime counts those that this thread is confined to.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
            runtime.block_on(sambad_server::run(&cli))
        }
        Served::Floor(args) => floor::run(args.listen),
        Served::Exec { command } => exec(&command),
    }
}

/// Has the kernel kill this process when its parent ends, even by SIGKILL; a program that replaces it inherits that.
fn end_with(parent: u32) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot set the signal for the end of the parent process")?;
    // It may have ended before the kernel knew.
    let now = rustix::process::getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    if now != Some(parent) {
        bail!("the parent process has exited");
    }
    Ok(())
}

fn exec(command: &[OsString]) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;

    let Some((program, args)) = command.split_first() else { bail!("there is no program to run") };
    // It only returns when it fails.
    Err(Command::new(program).args(args).exec()).with_context(|| format!("cannot run {}", program.display()))
}

/// A command that runs [`run_hosted`] in a process of its own, with these arguments.
#[cfg(not(test))]
pub(super) fn command(args: &[OsString]) -> std::io::Result<Command> {
    use std::os::unix::process::CommandExt as _;

    // On Linux by the running file itself, also when a build has replaced it meanwhile: a restart is the same server.
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
    let mut command = Command::new(program);
    command.arg0(env!("CARGO_PKG_NAME")).arg(SUBCOMMAND).args(args);
    Ok(command)
}

/// As above, in a test: the test's program runs the one test that plays the hidden subcommand.
#[cfg(test)]
pub(super) fn command(args: &[OsString]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let (_, module) = module_path!().split_once("::").unwrap();
    let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    command.args(["--exact", &format!("{module}::tests::plays_the_hidden_subcommand"), "--nocapture"]);
    // Last words are to be those of the server.
    command.env(tests::ARGS, args.join("\n")).env("RUST_BACKTRACE", "0");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The environment variable with the arguments, a line each.
    pub(super) const ARGS: &str = "SAMBAD_BENCH_TEST_HOSTED";

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        hosted: HostedArgs,
    }

    fn parse(args: &[&str]) -> Result<HostedArgs, clap::Error> {
        Ok(Cli::try_parse_from([&["hosted"], args].concat())?.hosted)
    }

    /// Goal: other tests can start servers. Method: with arguments in the environment this is one, else nothing.
    #[test]
    fn plays_the_hidden_subcommand() {
        if let Ok(args) = std::env::var(ARGS) {
            let args = parse(&args.split('\n').collect::<Vec<_>>()).unwrap();
            run_hosted(args).unwrap();
        }
    }

    /// Goal: arguments of the server and of other programs reach them. Method: command lines and what is read of them.
    #[test]
    fn reads_command_lines() {
        let args = parse(&["--parent", "7", "--cores", "0,2", "sambad", "--listen", "127.0.0.1:0", "--heartbeat-s", "3"]);
        let args = args.unwrap();
        assert_eq!((args.parent, args.cores), (7, vec![0, 2]));
        assert!(matches!(args.served, Served::Sambad(cli) if cli.limits.heartbeat_s == 3 && cli.listen.port() == 0));
        let args = parse(&["--parent", "7", "exec", "program", "--listen", "127.0.0.1:0", "-x"]).unwrap();
        assert!(args.cores.is_empty());
        assert!(matches!(args.served, Served::Exec { command } if command == ["program", "--listen", "127.0.0.1:0", "-x"]));
        assert!(parse(&["--parent", "7", "exec"]).is_err() && parse(&["floor"]).is_err());
    }

    /// Goal: a process whose parent is gone does not begin to serve. Method: a parent that this process does not have.
    #[test]
    fn ends_without_its_parent() {
        let args = parse(&["--parent", "1000000000", "floor"]).unwrap();
        assert!(run_hosted(args).unwrap_err().to_string().contains("has exited"));
    }
}
