//! PostgreSQL, Redis and nginx from what is installed, thrown away with the run.

mod nginx;
mod postgres;
mod redis;

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::child::reserve_port;
use super::hosted;
use super::process::{Process, Start};
use super::usage;

/// How long one may take to start; PostgreSQL after a crash reads its log first.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one may take to end when asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A process that the servers need, with its data in a temporary folder; dropping it kills it and deletes its data.
#[derive(Debug)]
pub(crate) struct Service {
    program: Program,
    place: Place,
    cores: Vec<usize>,
    running: Option<Process>,
}

/// What runs, and how.
#[derive(Debug)]
struct Program {
    name: &'static str,
    path: PathBuf,
    args: Vec<OsString>,
    /// Who runs it; `None` for whoever runs this program.
    account: Option<Account>,
    /// What it prints when it is ready; nothing where it only accepts connections.
    mark: &'static str,
    stop: Signal,
}

/// Where it keeps its data, which are deleted with it, and listens: the same after a restart.
#[derive(Debug)]
struct Place {
    folder: TempDir,
    address: SocketAddr,
    _reserved: TcpSocket,
}

/// A user of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    user: u32,
    group: u32,
}

impl Place {
    fn new(parent: Option<&Path>) -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("sambad-bench-");
        let folder = parent.map_or_else(|| builder.tempdir(), |parent| builder.tempdir_in(parent));
        let (reserved, address) = reserve_port().context("cannot find a free port")?;
        Ok(Self { folder: folder.context("cannot make a temporary folder")?, address, _reserved: reserved })
    }
}

impl Service {
    fn start(program: Program, place: Place, cores: &[usize]) -> anyhow::Result<Self> {
        let mut service = Self { program, place, cores: cores.into(), running: None };
        service.launch()?;
        Ok(service)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.program.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// CPU time that it and its processes have needed; `None` while it does not run.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        usage::cpu_with_children(self.running.as_ref()?.id())
    }

    /// Makes sure that it has not ended by itself.
    ///
    /// # Errors
    /// When it has, with its last words.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if self.running.as_mut().is_none_or(Process::has_ended) {
            bail!("{} exited unexpectedly{}", self.program.name, self.last_words());
        }
        Ok(())
    }

    /// Ends it as a system does that is updated, and starts it again with what it keeps; returns how long it was away.
    ///
    /// # Errors
    /// When it does not come back.
    pub(crate) fn restart(&mut self) -> anyhow::Result<Duration> {
        let gone_at = Instant::now();
        self.end()?;
        self.launch()?;
        Ok(gone_at.elapsed())
    }

    /// Ends it, by SIGKILL when it takes its time.
    ///
    /// # Errors
    /// When it had ended before.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.check()?;
        if let Some(mut running) = self.running.take() {
            running.signal(self.program.stop).with_context(|| format!("cannot signal {}", self.program.name))?;
            running.ends_within(STOP_TIMEOUT);
            running.kill().with_context(|| format!("cannot wait for {}", self.program.name))?;
        }
        Ok(())
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let (output, writer) = std::io::pipe().context("cannot make a pipe")?;
        let mut args = vec![format!("--parent={}", std::process::id()).into()];
        if !self.cores.is_empty() {
            let cores: Vec<String> = self.cores.iter().map(usize::to_string).collect();
            args.push(format!("--cores={}", cores.join(",")).into());
        }
        args.extend(["exec".into(), "--".into(), self.program.path.clone().into()]);
        args.extend(self.program.args.iter().cloned());
        let mut command = hosted::command(&args).context("cannot find the executable of sambad-bench")?;
        command.current_dir("/").env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(writer.try_clone().context("cannot make a pipe")?).stderr(writer);
        as_account(&mut command, self.program.account);
        let mut running = Process::start(command, Some(output), self.program.mark)
            .with_context(|| format!("cannot start {}", self.program.name))?;
        let start = if self.program.mark.is_empty() { self.accepts(&mut running) } else { running.ready_within(START_TIMEOUT) };
        if start == Start::Ready {
            self.running = Some(running);
            return Ok(());
        }
        let status = running.kill().with_context(|| format!("cannot wait for {}", self.program.name))?;
        let why =
            if start == Start::Ended { format!("exited during its start: {status}") } else { "did not become ready".to_owned() };
        Err(anyhow!("{} {why}{}", self.program.name, said(&running)))
    }

    /// Waits until it accepts connections: no sign but that.
    fn accepts(&self, running: &mut Process) -> Start {
        const STEP: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if running.has_ended() {
                return Start::Ended;
            }
            if TcpStream::connect(self.place.address).is_ok() {
                return Start::Ready;
            }
            std::thread::sleep(STEP);
        }
        Start::Late
    }

    fn last_words(&self) -> String {
        self.running.as_ref().map(said).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // PostgreSQL's processes end with the first of them, but not at once: asked to end, it waits for them.
        if self.running.is_some() && self.end().is_err() {
            self.running = None;
        }
    }
}

fn said(process: &Process) -> String {
    let lines = process.last_lines();
    if lines.is_empty() { String::new() } else { format!("; its last lines:\n{}", lines.join("\n")) }
}

/// A program on the path, or where a system keeps those of administrators.
fn find(program: &str) -> Option<PathBuf> {
    path_folders()
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn path_folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

fn as_account(command: &mut Command, account: Option<Account>) {
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// Sends a request, and gives the answer up to what came with its first line.
    pub(super) fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(START_TIMEOUT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // Redis answers and stays; what is there is enough.
        let mut bytes = [0; 4096];
        while !answer.contains("\r\n") {
            let length = stream.read(&mut bytes).unwrap();
            assert!(length > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        answer
    }
}
