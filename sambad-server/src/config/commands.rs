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
    /// Create a key file that only its owner can read
    Generate {
        /// The file to create
        file: PathBuf,
        /// Add a new key to the beginning of an existing file; tokens of its other keys stay valid
        #[arg(long)]
        add: bool,
    },
}

/// What to do with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Print a new token, alone on the last line of stdout
    Create {
        /// Role of the token; repeatable
        #[arg(long, value_enum, required = true)]
        role: Vec<Role>,
        /// User of a token with the role `user`
        #[arg(long, value_name = "ID", required_if_eq("role", "user"))]
        user: Option<UserId>,
        /// Name of the holder in logs and the audit log
        #[arg(long, value_name = "NAME", conflicts_with = "user")]
        subject: Option<String>,
        /// Lifetime of the token, at most a year (366d)
        #[arg(long, default_value = "8h", value_name = "TIME", value_parser = token_ttl)]
        ttl: Duration,
    },
    /// Revoke a token, or a family of tokens; running servers reject it within 2 s
    Revoke {
        /// The token, its id, or its family's id
        token: String,
    },
}

/// What to do with accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum AdminCommand {
    /// Create an account or change its password; the password is read from a prompt or from stdin
    Add {
        /// The account
        email: String,
    },
    /// Delete an account and close its sessions
    Remove {
        /// The account
        email: String,
    },
    /// List the accounts
    List,
}
