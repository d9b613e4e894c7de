//! Commands about who may come in.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use sambad_core::UserId;

use super::auth::token_ttl;
use crate::auth::Role;

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Make a file with a new key that only its owner may read
    Generate {
        /// The file to be made
        file: PathBuf,
        /// Put a new key first into a file that is there; tokens of its other keys stay valid
        #[arg(long)]
        add: bool,
    },
}

/// What to do with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Print a new token, alone on the last line of stdout
    Create {
        /// What it may do; repeatable
        #[arg(long, value_enum, required = true)]
        role: Vec<Role>,
        /// The user that a token of that role is for
        #[arg(long, value_name = "ID", required_if_eq("role", "user"))]
        user: Option<UserId>,
        /// Who has it, as logs and the audit log name them
        #[arg(long, value_name = "NAME", conflicts_with = "user")]
        subject: Option<String>,
        /// How long it lives; at most a year (366d)
        #[arg(long, default_value = "8h", value_name = "TIME", value_parser = token_ttl)]
        ttl: Duration,
    },
    /// Refuse a token, or a family of them, from now on; running servers know within a second or two
    Revoke {
        /// The token, its id, or its family's id
        token: String,
    },
}

/// What to do with accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum AdminCommand {
    /// Make an account, or give it a new password; the password comes from a prompt or from stdin
    Add {
        /// The account
        email: String,
    },
    /// Delete an account and end its sessions
    Remove {
        /// The account
        email: String,
    },
    /// List the accounts
    List,
}
