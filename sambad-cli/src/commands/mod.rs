//! One verb a file: its arguments, and what it does with them.

use clap::Subcommand;

use crate::access::Access;
use crate::exit::Exit;
use crate::output::Output;

mod activity;
mod completions;
mod contact;
mod demo;
mod doctor;
mod flow;
mod interrupts;
mod login;
mod logout;
mod message;
mod stats;
mod user;
mod watch;
mod whoami;

/// The command that reads no setting.
pub(crate) const COMPLETIONS: &str = "completions";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Something that a server does.
    #[command(flatten)]
    OfServer(ServerCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// What to do with a server.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Store a token for a server, or log in a user
    Login(login::LoginArgs),
    /// Log out and delete the stored token
    Logout,
    /// Show the identity that requests use
    Whoami,
    /// Create, list and show users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Add, list and remove contacts
    #[command(subcommand)]
    Contact(contact::ContactCommand),
    /// Send and list messages
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// Show events as they happen
    Watch(watch::WatchArgs),
    /// Show recent activity, newest first
    Activity(activity::ActivityArgs),
    /// Show the statistics of the dashboard
    Stats,
    /// Generate demo traffic until stopped: users log in, add contacts and chat
    Demo(demo::DemoArgs),
    /// Test a server end to end: health, logins, a live contact event, a message, statistics
    Flow(flow::FlowArgs),
    /// Diagnose the connection to a server: reachability, WebSocket, streams, quiet connections, clocks
    Doctor(doctor::DoctorArgs),
}

impl ServerCommand {
    pub(crate) async fn run(self, access: &Access, output: &mut Output) -> anyhow::Result<Exit> {
        match self {
            Self::Login(args) => args.run(access, output).await?,
            Self::Logout => logout::run(access, output).await?,
            Self::Whoami => whoami::run(access, output)?,
            Self::User(command) => command.run(&access.client()?, output).await?,
            Self::Contact(command) => command.run(&access.client()?, output).await?,
            Self::Message(command) => command.run(&access.client()?, output).await?,
            Self::Watch(args) => return args.run(&access.client()?, output).await,
            Self::Activity(args) => args.run(&access.client()?, output).await?,
            Self::Stats => stats::run(&access.client()?, output).await?,
            Self::Demo(args) => return args.run(&access.client()?, output).await,
            Self::Flow(args) => args.run(&access.client()?, output).await?,
            Self::Doctor(args) => return args.run(&access.client()?, output).await,
        }
        Ok(Exit::Success)
    }
}
