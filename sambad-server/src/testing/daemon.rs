//! A program that runs beside a test: started, known to be ready by a line of its log, signalled, and never left behind.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a program may take to be ready or to end: far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long whoever drops a program waits for its end.
const DROP_PATIENCE: Duration = Duration::from_secs(5);
/// How often another port is tried where the one was taken.
const PORTS_TRIED: usize = 10;
/// Between two looks at a program that does not say when it is ready, or has ended.
const DIAL_PAUSE: Duration = Duration::from_millis(10);

/// A running program; killed when dropped, and, where there is `setpriv`, when the thread that started it ends.
pub(super) struct Daemon {
    name: &'static str,
    child: Child,
    log: Log,
}

/// How one knows that a program is ready.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ready {
    /// It prints a line with this text in it.
    Says(&'static str),
    /// It accepts connections at this port of the loopback interface.
    Accepts(u16),
}

/// What a program printed so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Daemon {
    /// Starts `command`, and waits until it is ready; what it printed when it ends before.
    pub(super) async fn start(name: &'static str, mut command: Command, ready: Ready) -> Result<Self, String> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let (log, (sender, mut readiness)) = (Log::default(), mpsc::channel(1));
        let (stdout, stderr) = (child.stdout.take().expect("stdout is a pipe"), child.stderr.take().expect("stderr is a pipe"));
        tokio::spawn(log.clone().keep(stdout, ready, sender.clone()));
        tokio::spawn(log.clone().keep(stderr, ready, sender));
        // Both ends of the channel go with the program's pipes.
        let is_ready = async {
            match ready {
                Ready::Says(_) => readiness.recv().await,
                Ready::Accepts(port) => tokio::select! {
                    ended = readiness.recv() => ended,
                    () = accepts(port) => Some(()),
                },
            }
        };
        match timeout(PATIENCE, is_ready).await {
            Ok(Some(())) => Ok(Self { name, child, log }),
            Ok(None) => Err(log.text()),
            Err(_) => panic!("{name} is not ready within {PATIENCE:?}: {}", log.text()),
        }
    }

    /// As [`Daemon::start`], on a port that is free; `set_up` is asked again with another one where it was taken.
    pub(super) async fn start_on_a_port(name: &'static str, mut set_up: impl FnMut(u16) -> (Command, Ready)) -> (Self, u16) {
        let mut printed = String::new();
        for _ in 0..PORTS_TRIED {
            let port = free_port();
            let (command, ready) = set_up(port);
            match Self::start(name, command, ready).await {
                Ok(daemon) => return (daemon, port),
                Err(log) => printed = log,
            }
        }
        panic!("{name} does not start: {printed}");
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("the program runs"), signal).expect("a running child can be signalled");
    }

    /// Sends `signal`, and waits until the program has ended.
    pub(super) async fn end(&mut self, signal: Signal) {
        self.signal(signal);
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(ended) => drop(ended.expect("a child can be waited for")),
            Err(_) => panic!("{} does not end: {}", self.name, self.log.text()),
        }
    }

    /// As [`Daemon::end`], for those who cannot await; one that has not ended by [`DROP_PATIENCE`] is left to be killed.
    pub(super) fn end_blocking(&mut self, signal: Signal) {
        self.signal(signal);
        let deadline = Instant::now() + DROP_PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(DIAL_PAUSE);
        }
    }

    /// What it printed.
    pub(super) fn log(&self) -> String {
        self.log.text()
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.name).field(&self.child.id()).finish()
    }
}

impl Log {
    /// Reads a pipe to its end, so that the program never waits for somebody to read.
    async fn keep(self, pipe: impl AsyncRead + Unpin, ready: Ready, sender: mpsc::Sender<()>) {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let is_ready = matches!(ready, Ready::Says(text) if line.contains(text));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            if is_ready {
                // Only the first is waited for.
                let _ = sender.try_send(());
            }
        }
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

/// Resolves when somebody accepts connections at a port of the loopback interface.
async fn accepts(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(DIAL_PAUSE).await;
    }
}

/// Where a program is: on the PATH, or in one of the folders that are not on everybody's.
pub(super) fn find(program: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    on_path.or_else(|| folders.iter().map(|folder| folder.join(program)).find(|file| file.is_file()))
}

/// A command that starts `program` as `user`, or whoever runs the test, and that dies with its parent.
///
/// Only `setpriv` can do either without unsafe code; where there is none, a test that is killed leaves the program running.
pub(super) fn command(program: impl AsRef<OsStr>, user: Option<&str>) -> Command {
    let Some(setpriv) = find("setpriv", &[]) else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A port that stays free while its server is dead: below those that the kernel gives to outgoing connections, as one of
/// these may otherwise take it, or a client that dials it may be connected to itself.
///
/// # Panics
/// When none is free.
#[must_use]
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| 10_240 + u16::try_from(random() % 21_000).expect("below 2^16"))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}

/// Random bits, from the same source as ids: but for the first two, all are.
pub(super) fn random() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

/// Whether the test runs as root, which PostgreSQL refuses to do.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives `path` to the user `postgres`.
pub(super) fn give(path: &Path, user: &str) {
    let given = std::process::Command::new("chown").arg(user).arg(path).status().expect("there is a chown command");
    assert!(given.success(), "cannot give {} to {user}", path.display());
}
