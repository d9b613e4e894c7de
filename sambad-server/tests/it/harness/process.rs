//! The real binary, started, stopped and killed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Api, soon};

const BINARY: &str = env!("CARGO_BIN_EXE_sambad-server");

/// A running `sambad-server`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) api: Api,
    /// What it printed at start, line by line.
    pub(crate) printed: Vec<String>,
    log: Log,
}

/// What a process says on stderr, in a file: a pipe that nobody reads would stop it.
#[derive(Debug)]
struct Log {
    file: NamedTempFile,
    /// Bytes that a test has looked for something in.
    seen: AtomicUsize,
}

impl Log {
    fn new() -> Self {
        Self { file: NamedTempFile::new().expect("a temporary file"), seen: AtomicUsize::new(0) }
    }
}

/// The binary with an environment of the test's own.
fn command() -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs the binary to its end.
pub(crate) async fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    soon("end of the process", command().args(args).envs(env.iter().copied()).output()).await.expect("the binary runs")
}

/// As `run`, started in `directory`.
pub(crate) async fn run_in(directory: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command();
    command.current_dir(directory).args(args).envs(env.iter().copied());
    soon("end of the process", command.output()).await.expect("the binary runs")
}

/// The flag's value for a database in `directory`.
pub(crate) fn database(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("sambad.db").display())
}

impl Process {
    /// Starts the binary on a free port with a database in `directory`.
    pub(crate) async fn start(directory: &Path) -> Self {
        Self::start_with(&["--listen", "127.0.0.1:0", "--database", &database(directory)], &[]).await
    }

    /// Starts the binary and waits for the line that says it listens.
    pub(crate) async fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::try_start_with(args, env).await.unwrap_or_else(|printed| panic!("the server ended; it printed {printed:?}"))
    }

    /// As `start_with`, for servers that may end before they listen: what they printed.
    pub(crate) async fn try_start_with(args: &[&str], env: &[(&str, &str)]) -> Result<Self, Vec<String>> {
        let mut command = command();
        command.args(args).envs(env.iter().copied());
        Self::spawn(command).await
    }

    /// Starts the binary with a file that takes its log.
    pub(crate) async fn start_logged(args: &[&str], log: &Path) -> Self {
        let mut command = command();
        command.args(args);
        let file = std::fs::File::create(log).expect("the log can be written");
        Self::spawn_into(command, file, Log::new()).await.expect("the server listens")
    }

    /// As `start_with`, started in `directory`.
    pub(crate) async fn start_in(directory: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.current_dir(directory).args(args).envs(env.iter().copied());
        Self::spawn(command).await.unwrap_or_else(|printed| panic!("the server ended; it printed {printed:?}"))
    }

    /// Starts the binary with a limit of descriptors.
    pub(crate) async fn start_limited(descriptors: usize, directory: &Path) -> Self {
        let mut command = Command::new("/bin/sh");
        command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""), BINARY]);
        command.args(["--listen", "127.0.0.1:0", "--database", &database(directory)]);
        Self::spawn(command).await.expect("the server listens")
    }

    /// Starts the binary with a certificate, given in PEM as well, and waits for the line that says it listens.
    pub(crate) async fn start_secure(args: &[&str], pem: &str) -> Self {
        let server = Self::start_with(args, &[]).await;
        let api = Api::trusting(&format!("https://{}", server.address), pem);
        Self { api, ..server }
    }

    async fn spawn(command: Command) -> Result<Self, Vec<String>> {
        let log = Log::new();
        let stderr = log.file.reopen().expect("a temporary file can be opened");
        Self::spawn_into(command, stderr, log).await
    }

    async fn spawn_into(mut command: Command, stderr: std::fs::File, log: Log) -> Result<Self, Vec<String>> {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        let mut printed = Vec::new();
        let url = loop {
            let line = soon("line that says it listens", lines.next_line()).await.expect("stdout is text");
            let Some(line) = line else {
                soon("end of the process", child.wait()).await.expect("the process can be waited for");
                return Err(printed);
            };
            printed.push(line.clone());
            if let Some(url) = line.strip_prefix("Sambad unified backend listening on ") {
                break url.to_owned();
            }
        };
        let address = url.split_once("://").and_then(|(_, address)| address.parse().ok()).expect("the line ends in a URL");
        Ok(Self { child, address, api: Api::new(&url), printed, log })
    }

    /// Descriptors that the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        let id = self.child.id().expect("the process runs");
        std::fs::read_dir(format!("/proc/{id}/fd")).expect("Linux tells").count()
    }

    /// All that the process has said on stderr.
    pub(crate) fn said(&self) -> String {
        let said = std::fs::read(self.log.file.path()).expect("the file is there");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Waits until the process says `what` on stderr, after what was waited for before.
    pub(crate) async fn says(&self, what: &str) {
        let said = async {
            loop {
                let (said, seen) = (self.said(), self.log.seen.load(Ordering::Relaxed));
                if let Some(at) = said[seen..].find(what) {
                    return self.log.seen.store(seen + at + what.len(), Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(what, said).await;
    }

    /// Bytes of memory that the process takes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let id = self.child.id().expect("the process runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux tells");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") << 10
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends a signal.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("the process runs").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().await.expect("there is a kill command");
        assert!(sent.success());
    }

    /// Resolves when the process has ended by itself.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        self.child.wait().await.expect("the process can be waited for")
    }

    /// Waits for the process to end.
    pub(crate) async fn end(mut self) -> ExitStatus {
        soon("end of the process", self.ends()).await
    }
}
