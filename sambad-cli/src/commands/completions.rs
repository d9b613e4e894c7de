//! `completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output::Output;

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sambad-cli completions bash > ~/.local/share/bash-completion/completions/sambad-cli")]
pub(crate) struct CompletionsArgs {
    /// The shell to complete for
    shell: Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        // Into memory first: the generator panics where a write fails, and a closed pipe is no failure.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sambad-cli", &mut script);
        Ok(output.raw(&script)?)
    }
}
