//! PgBouncer for tests, between servers and PostgreSQL.

use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::daemon::{Daemon, Ready, command, find, give, is_root};

const READY: Ready = Ready::Says("process up");

/// A PgBouncer on the loopback interface, with its defaults but for the mode.
///
/// It refuses to run as root: whoever does needs a user `postgres` on the machine.
#[derive(Debug)]
pub struct PgBouncer {
    daemon: Daemon,
    port: u16,
    /// The database's URL: user and password, address, name.
    behind: (String, String, String),
    directory: TempDir,
}

impl PgBouncer {
    /// Starts one in front of the database at `url`, in `mode`: `session`, `transaction` or `statement`.
    ///
    /// # Panics
    /// When PgBouncer is not installed, or does not start, or the URL has no user, password, port or name.
    pub async fn start(url: &str, mode: &str) -> Self {
        Self::start_with(url, mode, "").await
    }

    /// As [`PgBouncer::start`], with more lines of settings.
    ///
    /// # Panics
    /// As [`PgBouncer::start`].
    pub async fn start_with(url: &str, mode: &str, settings: &str) -> Self {
        let rest = url.strip_prefix("postgres://").and_then(|rest| rest.split_once('@'));
        let parts = rest.and_then(|(user, rest)| Some((user, rest.split_once('/')?)));
        let (user, (address, name)) = parts.expect("a URL with user, address and name");
        let behind = (user.to_owned(), address.to_owned(), name.to_owned());
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        if is_root() {
            give(directory.path(), "postgres");
        }
        let set_up = |port| (pgbouncer(directory.path(), port, &behind, mode, settings), READY);
        let (daemon, port) = Daemon::start_on_a_port("pgbouncer", set_up).await;
        Self { daemon, port, behind, directory }
    }

    /// The database's URL by way of it.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// As [`PgBouncer::url`], by way of another port: that of a proxy.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        let (user, _, name) = &self.behind;
        format!("postgres://{user}@127.0.0.1:{port}/{name}")
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it, which ends all connections through it, and starts it again in `mode`, with defaults, on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self, mode: &str) {
        self.daemon.end(Signal::TERM).await;
        let command = pgbouncer(self.directory.path(), self.port, &self.behind, mode, "");
        let daemon = Daemon::start("pgbouncer", command, READY).await;
        self.daemon = daemon.unwrap_or_else(|log| panic!("pgbouncer does not start again: {log}"));
    }

    /// What it printed since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn pgbouncer(directory: &Path, port: u16, behind: &(String, String, String), mode: &str, settings: &str) -> Command {
    let (user, address, name) = behind;
    let (user, password) = user.split_once(':').expect("a URL with a password");
    let (host, behind) = address.split_once(':').expect("a URL with a port");
    let (users, file) = (directory.join("users.txt"), directory.join("pgbouncer.ini"));
    std::fs::write(&users, format!("\"{user}\" \"{password}\"\n")).expect("the directory is writable");
    let text = format!(
        "[databases]\n{name} = host={host} port={behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n{settings}\n",
        users.display()
    );
    std::fs::write(&file, text).expect("the directory is writable");
    let program =
        find("pgbouncer", &["/usr/sbin".into()]).expect("pgbouncer is not installed: not on the PATH, nor in /usr/sbin");
    let mut command = command(program, is_root().then_some("postgres"));
    command.arg(file);
    command
}
