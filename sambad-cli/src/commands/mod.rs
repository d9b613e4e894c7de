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
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
}

/// What to do with a server.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Keep a token for a server, or log a user in
    Login(login::LoginArgs),
    /// End a login and forget its token
    Logout,
    /// Show as whom this machine asks
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
    /// Show what happened recently, newest first
    Activity(activity::ActivityArgs),
    /// Show the figures of the dashboard
    Stats,
    /// Have people log in, add each other and chat, until stopped: shows a dashboard alive
    Demo(demo::DemoArgs),
    /// Check a server: health, logins, a contact seen live, a message, the figures
    Flow(flow::FlowArgs),
    /// Examine the way to a server: reachability, WebSocket, streams, quiet connections, clocks
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
