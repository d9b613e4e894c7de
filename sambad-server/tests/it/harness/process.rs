//! The real binary, started, stopped and killed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
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

/// As `run`, with a text on stdin.
pub(crate) async fn run_with_stdin(args: &[&str], stdin: &str) -> Output {
    let mut command = command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("stdin is a pipe").write_all(stdin.as_bytes()).await.expect("the process reads stdin");
    soon("end of the process", child.wait_with_output()).await.expect("the process can be waited for")
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
        Self::spawn(command, Stdio::null()).await
    }

    /// Starts the binary with a file that takes its log.
    pub(crate) async fn start_logged(args: &[&str], log: &Path) -> Self {
        let mut command = command();
        command.args(args);
        let file = std::fs::File::create(log).expect("the log can be written");
        Self::spawn(command, file.into()).await.expect("the server listens")
    }

    /// Starts the binary with a stderr of the test's own.
    pub(crate) async fn start_on(args: &[&str], stderr: Stdio) -> Self {
        let mut command = command();
        command.args(args);
        Self::spawn(command, stderr).await.expect("the server listens")
    }

    /// Starts the binary with its stderr closed.
    pub(crate) async fn start_without_stderr(args: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.args(["-c", r#"exec "$0" "$@" 2>&-"#, BINARY]).args(args);
        Self::spawn(command, Stdio::null()).await.expect("the server listens")
    }

    /// As `start_with`, started in `directory`.
    pub(crate) async fn start_in(directory: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.current_dir(directory).args(args).envs(env.iter().copied());
        Self::spawn(command, Stdio::null()).await.unwrap_or_else(|printed| panic!("the server ended; it printed {printed:?}"))
    }

    /// Starts the binary, with a file that takes its log, after a line of a shell, which sets what a process inherits.
    pub(crate) async fn start_after(line: &str, directory: &Path, args: &[&str], log: &Path) -> Self {
        let mut command = Command::new("/bin/sh");
        command.env_clear().stdin(Stdio::null()).kill_on_drop(true).current_dir(directory);
        command.args(["-c", &format!("{line}; exec \"$0\" \"$@\""), BINARY]);
        command.args(["--listen", "127.0.0.1:0", "--database", &database(directory)]).args(args);
        let log = std::fs::File::create(log).expect("the log can be written");
        Self::spawn(command, log.into()).await.expect("the server listens")
    }

    /// Starts the binary with a limit of descriptors.
    pub(crate) async fn start_limited(descriptors: usize, directory: &Path) -> Self {
        let mut command = Command::new("/bin/sh");
        command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""), BINARY]);
        command.args(["--listen", "127.0.0.1:0", "--database", &database(directory)]);
        Self::spawn(command, Stdio::null()).await.expect("the server listens")
    }

    async fn spawn(mut command: Command, log: Stdio) -> Result<Self, Vec<String>> {
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        let mut printed = Vec::new();
        let mut url = None;
        let url = loop {
            let line = soon("line that says it listens", lines.next_line()).await.expect("stdout is text");
            let Some(line) = line else {
                soon("end of the process", child.wait()).await.expect("the process can be waited for");
                return Err(printed);
            };
            printed.push(line.clone());
            if let Some(address) = line.strip_prefix("Sambad unified backend listening on ") {
                url = Some(address.to_owned());
            } else if line.starts_with("✅ Unified backend listening on port ") {
                break url.expect("the address comes before the first backend's line");
            }
        };
        let address = url.split_once("://").and_then(|(_, address)| address.parse().ok()).expect("the line ends in a URL");
        Ok(Self { child, address, api: Api::new(&url), printed })
    }

    /// Descriptors that the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        let id = self.child.id().expect("the process runs");
        std::fs::read_dir(format!("/proc/{id}/fd")).expect("Linux tells").count()
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
