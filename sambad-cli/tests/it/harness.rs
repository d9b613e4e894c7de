//! Runs the program: to its end, or step by step.

use std::process::Stdio;
use std::time::Duration;

use sambad_client::{Client, NewContact, NewUser, UserId};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// Bounds every wait: a test that would hang fails instead.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const ASHA: &str = "+919876543210";
pub(crate) const RAVI: &str = "+919876543211";

/// What a run left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The output of a run that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// Checks that a run failed for a reason, without data.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, reason: &str) {
        assert!(
            self.code == code && self.stderr.contains(reason) && self.stdout.is_empty(),
            "expected {code}, {reason:?}: {self:?}"
        );
    }
}

/// The program with these arguments, in an environment that decides nothing.
pub(crate) fn command(server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sambad-cli"));
    command.args(args).env("SAMBAD_SERVER", server).env("TZ", "UTC").env("COLUMNS", "100").env("XDG_CONFIG_HOME", "/nonexistent");
    for variable in [
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "SAMBAD_TOKEN",
        "SAMBAD_CA_FILE",
    ] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs to the end.
pub(crate) async fn run(server: &str, args: &[&str]) -> Ran {
    finish(command(server, args)).await
}

pub(crate) async fn finish(mut command: Command) -> Ran {
    let output = tokio::time::timeout(SOON, command.output()).await.expect("the program ends").unwrap();
    Ran {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A `watch` that runs.
pub(crate) struct Watch {
    child: Child,
    pub(crate) out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Watch {
    /// Starts it, and returns when it is live: what happens from now on it shows.
    pub(crate) async fn start(server: &str, args: &[&str]) -> Self {
        let mut watch = Self::spawn(server, args);
        watch.says("live at").await;
        watch
    }

    pub(crate) fn spawn(server: &str, args: &[&str]) -> Self {
        Self::command(server, &[&["watch"], args].concat())
    }

    /// Another command that runs long enough to be watched.
    pub(crate) fn command(server: &str, args: &[&str]) -> Self {
        Self::of(&mut command(server, args))
    }

    /// The command as it is.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, err }
    }

    /// Waits for a line on stderr.
    pub(crate) async fn says(&mut self, part: &str) -> String {
        let search = async {
            while let Some(line) = self.err.next_line().await.unwrap() {
                if line.contains(part) {
                    return line;
                }
            }
            panic!("stderr ended without {part:?}")
        };
        tokio::time::timeout(SOON, search).await.expect("it says what is waited for")
    }

    /// The next line on stdout.
    pub(crate) async fn line(&mut self) -> String {
        tokio::time::timeout(SOON, self.out.next_line()).await.expect("it prints a line").unwrap().expect("stdout is open")
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let status = std::process::Command::new("kill").args([name, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Kills it without warning.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Closes our end of its stdout.
    pub(crate) fn close_stdout(self) -> Ended {
        Ended { child: self.child, err: self.err }
    }

    /// Waits for the end.
    pub(crate) async fn end(mut self) -> Ran {
        let mut stdout = String::new();
        let rest = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                stdout += &format!("{line}\n");
            }
        };
        tokio::time::timeout(SOON, rest).await.expect("the program ends");
        let (code, stderr) = Ended { child: self.child, err: self.err }.end().await;
        Ran { code, stdout, stderr }
    }
}

/// A `watch` whose stdout nobody reads any more.
pub(crate) struct Ended {
    child: Child,
    err: Lines<BufReader<ChildStderr>>,
}

impl Ended {
    pub(crate) async fn end(mut self) -> (i32, String) {
        let mut stderr = String::new();
        let rest = async {
            while let Some(line) = self.err.next_line().await.unwrap() {
                stderr += &format!("{line}\n");
            }
            self.child.wait().await.unwrap().code().expect("no signal ended it")
        };
        let code = tokio::time::timeout(SOON, rest).await.expect("the program ends");
        (code, stderr)
    }
}

/// Creates a user without the program.
pub(crate) async fn user(url: &str, phone: &str) -> UserId {
    Client::new(url).unwrap().login(&NewUser::new(phone)).await.unwrap().value.user.id
}

/// Creates both users and the contact between them: events 1 to 3 of a fresh log.
pub(crate) async fn contact(url: &str) {
    let (asha, ravi) = (user(url, ASHA).await, user(url, RAVI).await);
    Client::new(url).unwrap().add_contact(&NewContact::new(asha, ravi)).await.unwrap();
}
