//! A server in a process of its own, from its start to its end, be it by SIGTERM or by SIGKILL.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::hosted;
use super::process::{LINES_MAX, Process, Start};

/// How long a server may take until it says that it listens.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may take to end when asked to; Sambad's own limits stay below 10 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// What is started, and where.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Which server.
    pub(crate) kind: Kind,
    /// Cores that it is confined to; none for all.
    pub(crate) cores: Vec<usize>,
    /// Arguments beyond address, database and log; the floor takes none.
    pub(crate) args: Vec<OsString>,
    /// Folder for its temporary files, its database among them; `None` for the system's.
    pub(crate) folder: Option<PathBuf>,
    /// Database that it shares with others; `None` for one of its own.
    pub(crate) shared: Option<SharedStore>,
}

/// What the servers of a cluster share.
#[derive(Debug, Clone)]
pub(crate) struct SharedStore {
    /// URL of a PostgreSQL database; it may hold a password.
    pub(crate) database: String,
    /// URL of a Redis, likewise.
    pub(crate) redis: Option<String>,
}

/// Which server is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one built into this program.
    Sambad,
    /// A `sambad-server` program.
    Program(PathBuf),
    /// The floor.
    Floor,
}

/// A server process with a temporary database; dropping it kills the process and deletes the database.
///
/// It also ends when this process ends, in whichever way.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    spec: Spec,
    /// With the database and what the server wrote to stderr.
    folder: TempDir,
    /// Where it listens, each time it runs.
    address: SocketAddr,
    /// Bound to that address and never used: without it, while the server is away, a client that connects could be given
    /// the server's port for its own side.
    _reserved: TcpSocket,
    running: Option<Process>,
    killed_at: Option<Instant>,
}

impl ServerProcess {
    /// Starts a server on a free port and waits until it listens.
    ///
    /// # Errors
    /// When it does not within 15 s; with the end of its stderr if it ended.
    pub(crate) fn start(spec: Spec) -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("sambad-bench-");
        let folder = spec.folder.as_ref().map_or_else(|| builder.tempdir(), |folder| builder.tempdir_in(folder));
        let folder = folder.context("cannot make a temporary folder for the server")?;
        let (reserved, address) = reserve_port().context("cannot find a free port")?;
        let mut server = Self { spec, folder, address, _reserved: reserved, running: None, killed_at: None };
        server.launch()?;
        Ok(server)
    }

    /// Base address, such as `http://127.0.0.1:4000`: the same after a restart.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id, another one after a restart; `None` while it does not run.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Process::id)
    }

    /// Whether its process is there, be it paused.
    pub(crate) fn is_alive(&mut self) -> bool {
        if self.running.as_mut().is_some_and(Process::has_ended) {
            self.running = None;
        }
        self.running.is_some()
    }

    /// Makes sure that it has not ended by itself.
    ///
    /// # Errors
    /// When it has, with the end of its stderr.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        ensure!(self.is_alive(), "the server exited unexpectedly{}", self.last_words());
        Ok(())
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    ///
    /// # Errors
    /// When it had ended before.
    pub(crate) fn kill9(&mut self) -> anyhow::Result<()> {
        ensure!(self.is_alive(), "the server had already exited{}", self.last_words());
        if let Some(mut running) = self.running.take() {
            self.killed_at = Some(Instant::now());
            running.kill().context("cannot wait for the server")?;
        }
        Ok(())
    }

    /// Kills it with SIGKILL, if it runs, and starts it again with the same database on the same port.
    ///
    /// Returns how long it was away: from the kill until it accepted connections again.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn restart(&mut self) -> anyhow::Result<Duration> {
        if self.is_alive() {
            self.kill9()?;
        }
        let gone_at = self.killed_at.take().unwrap_or_else(Instant::now);
        self.launch().context("cannot restart the server")?;
        Ok(gone_at.elapsed())
    }

    /// Stops it where it stands, with SIGSTOP, until [`Self::resume`]; when this returns it stands still.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn pause(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn resume(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Ends it with SIGTERM, and with SIGKILL if that takes longer than 15 s.
    ///
    /// # Errors
    /// When it had ended before, had to be killed, or says that it failed.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let Some(mut running) = self.running.take() else { bail!("the server had already exited") };
        // A paused process does not see it. One that has ended by now is not waited for yet, and so the id is still its own.
        let _ = running.signal(Signal::CONT);
        let in_time = running.ends_within(STOP_TIMEOUT);
        let status = running.kill().context("cannot wait for the server")?;
        ensure!(in_time, "the server did not stop within {} s and was killed{}", STOP_TIMEOUT.as_secs(), self.last_words());
        // The floor knows no signals: the kernel ends it.
        let terminated = self.spec.kind == Kind::Floor && status.signal() == Some(Signal::TERM.as_raw());
        ensure!(status.success() || terminated, "the server failed during shutdown: {status}{}", self.last_words());
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        ensure!(self.is_alive(), "the server has exited{}", self.last_words());
        if let Some(running) = &self.running {
            running.signal(signal).context("cannot signal the server")?;
        }
        Ok(())
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let stderr = OpenOptions::new().create(true).append(true).open(self.stderr_path()).context("cannot write its logs")?;
        let command = self.command(stderr).context("cannot find the executable of sambad-bench")?;
        let mut running = Process::start(command, None, " listening on http://").context("cannot start the server")?;
        match running.ready_within(START_TIMEOUT) {
            Start::Ready => {
                self.running = Some(running);
                Ok(())
            }
            Start::Ended => {
                let status = running.kill().context("cannot wait for the server")?;
                Err(anyhow!("the server exited before it listened: {status}{}", self.last_words()))
            }
            Start::Late => {
                running.kill().context("cannot wait for the server")?;
                Err(anyhow!("the server did not listen within {} s{}", START_TIMEOUT.as_secs(), self.last_words()))
            }
        }
    }

    fn command(&self, stderr: File) -> std::io::Result<Command> {
        let cores: Vec<String> = self.spec.cores.iter().map(usize::to_string).collect();
        let mut args = vec![format!("--parent={}", std::process::id()).into()];
        if !cores.is_empty() {
            args.push(format!("--cores={}", cores.join(",")).into());
        }
        match &self.spec.kind {
            Kind::Sambad => args.push("sambad".into()),
            Kind::Floor => args.push("floor".into()),
            Kind::Program(program) => args.extend(["exec".into(), "--".into(), program.into()]),
        }
        args.push(format!("--listen={}", self.address).into());
        if self.spec.shared.is_some() {
            args.push("--log=warn".into());
        } else if self.spec.kind != Kind::Floor {
            // In the name of a database these two have a meaning, as in URLs.
            let path = self.folder.path().join("sambad.db").display().to_string().replace('%', "%25").replace('?', "%3F");
            args.extend([format!("--database=sqlite:{path}").into(), "--log=warn".into()]);
        }
        args.extend(self.spec.args.iter().cloned());
        let mut command = hosted::command(&args)?;
        // Settings of a server that somebody runs here are not those of a measured one: what counts stands in `args`.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_server_setting(name)) {
            command.env_remove(name);
        }
        // Not as arguments: everybody on the machine can read those, and there may be a password.
        if let Some(SharedStore { database, redis }) = &self.spec.shared {
            command.env("SAMBAD_DATABASE", database);
            command.envs(redis.iter().map(|redis| ("SAMBAD_REDIS", redis)));
        }
        // Stderr goes to a file, which takes everything at any time; a pipe that nobody reads would stop the server.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        Ok(command)
    }

    fn stderr_path(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }

    /// The end of what the server wrote to stderr, to be put after a sentence.
    fn last_words(&self) -> String {
        let text = std::fs::read(self.stderr_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES_MAX)..];
        if last.is_empty() { String::new() } else { format!("; its last lines:\n{}", last.join("\n")) }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Killed it is in any case.
            let _ = running.kill();
        }
    }
}

/// A port that servers which set `SO_REUSEADDR`, as tokio's and mio's listeners do, can listen on, and nobody else gets.
pub(super) fn reserve_port() -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

fn is_server_setting(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"SAMBAD_")
}

#[cfg(test)]
#[path = "child_tests.rs"]
mod tests;
