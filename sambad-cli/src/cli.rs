//! The arguments that all commands share; the doc comments here and in `commands` are the help text.

use std::path::PathBuf;

use clap::{Args, Parser};
use sambad_client::{Client, Error};

use crate::access::{ASK, GivenToken};
use crate::commands::Command;
use crate::output::Color;

/// Command-line client for a Sambad server: manages users, contacts and messages, and shows events live.
///
/// A command names a user by id or phone number. A phone number without + belongs to the server's default country, or in
/// `message send` to the sender's country. Data goes to stdout, everything else to stderr.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// URL of the server
    #[arg(long, global = true, env = "SAMBAD_SERVER", hide_env_values = true, value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:4000", value_parser = server)]
    pub(crate) server: String,
    /// Token to authenticate with, instead of the one that `login` stored; `-` or no value reads it from a prompt or stdin.
    /// Other users of this machine can see arguments: prefer the variable or --token-file
    #[arg(long, global = true, env = "SAMBAD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[arg(num_args = 0..=1, default_missing_value = ASK)]
    pub(crate) token: Option<GivenToken>,
    /// Read the token from the last line of FILE; overrides --token
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Also trust the certificates (PEM) in FILE, for an https:// server
    #[arg(long, global = true, env = "SAMBAD_CA_FILE", hide_env_values = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Print the server's JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_enum, default_value_t, hide_possible_values = true, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// Reads the server's address.
fn server(url: &str) -> Result<String, String> {
    Client::check_url(url).map(|()| url.to_owned()).map_err(|error| match error {
        // The argument is named already.
        Error::InvalidUrl { reason, .. } => reason,
        other => other.to_string(),
    })
}

const AFTER_HELP: &str = "\
Exit codes:
  0  success
  1  the request failed, or an expectation was not met
  2  wrong usage
  3  `watch --verify` found events missing, repeated or out of order
  4  no valid token, or a token without the role for the request

Examples:
  sambad-cli user create +919876543210
  sambad-cli contact add +919876543210 +919876543211
  sambad-cli watch --type contact_added";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Goal: the tree of commands is sound. Method: clap's own check, which runs only in debug builds.
    #[test]
    fn the_command_tree_is_valid() {
        Cli::command().debug_assert();
    }
}
