//! Runs the program, to its end or beside a test, and reads what it reports.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use sambad_client::{After, Client, Event, EventQuery, EventStream, EventStreamOptions, Item, Seq};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Bounds every wait: a test that would hang fails instead.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What every run here is asked for; load and sessions are the test's.
const LOAD: &str = "--warmup 0s --ramp-up 0s";

/// The program, while it runs.
#[derive(Debug)]
pub(crate) struct Bench {
    child: Child,
    folder: TempDir,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// What `--json` wrote; null when there is no such file.
    pub(crate) report: Value,
    /// Where it was written, and what temporary files there were (see [`Bench::temporary`]).
    pub(crate) folder: TempDir,
}

/// The program with these words, in an environment that decides nothing and with temporary files in `folder`.
pub(crate) fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sambad-bench"));
    command.args(words);
    quiet(&mut command, folder);
    command
}

/// Sets up where a command's input comes from and its output goes.
pub(crate) fn quiet(command: &mut Command, folder: &Path) {
    let temporary = folder.join("temporary");
    fs::create_dir_all(&temporary).unwrap();
    // A PostgreSQL that root starts belongs to somebody else, who has to get to its data.
    fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SAMBAD_")) {
        command.env_remove(name);
    }
    command.env("TMPDIR", temporary).env("COLUMNS", "100").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
}

/// Runs `sambad-bench run` with these options, space between them, and without warm-up.
pub(crate) async fn run(options: &str) -> Ran {
    Bench::start(options).end().await
}

/// Runs the program with exactly these words.
pub(crate) async fn run_words(words: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    Bench::spawn(command(folder.path(), words), folder).end().await
}

impl Bench {
    /// Starts `sambad-bench run` with these options, space between them, and without warm-up; `FOLDER` is the run's.
    pub(crate) fn start(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options.replace("FOLDER", folder.path().to_str().unwrap());
        let json = folder.path().join("report.json");
        let mut words: Vec<&str> = ["run"].into_iter().chain(LOAD.split(' ')).chain(options.split_whitespace()).collect();
        words.extend(["--json", json.to_str().unwrap()]);
        Self::spawn(command(folder.path(), &words), folder)
    }

    /// Starts a command that is, or becomes, the program.
    pub(crate) fn spawn(mut command: Command, folder: TempDir) -> Self {
        Self { child: command.spawn().unwrap(), folder }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// Signals the program alone: what it started does not see it.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Where its temporary files are.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.folder.path().join("temporary")
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Ran {
        let (output, folder) = self.ended().await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let report =
            fs::read(folder.path().join("report.json")).map_or(Value::Null, |json| serde_json::from_slice(&json).unwrap());
        let code = output.status.code().unwrap_or_else(|| panic!("a signal ended it: {output:?}"));
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr), report, folder }
    }

    /// Waits for the end, also by a signal.
    pub(crate) async fn ended(self) -> (Output, TempDir) {
        let output = timeout(SOON, self.child.wait_with_output()).await.expect("the program ends").unwrap();
        (output, self.folder)
    }
}

impl Ran {
    /// Checks that the run found nothing wrong with the server. On a busy machine the generator may be late, and say so.
    #[track_caller]
    pub(crate) fn is_sound(&self) {
        let reasons = self.report["judgement"]["reasons"].as_array().unwrap_or_else(|| panic!("no report: {self:?}"));
        let own_fault = reasons.iter().all(|reason| reason.as_str().is_some_and(|reason| reason.starts_with("the generator ")));
        assert!(self.code == if reasons.is_empty() { 0 } else { 4 } && own_fault, "{self:?}");
        self.audit_is([0, 0, 0, 0]);
        assert!(self.number("/audit/checked") > 0, "{self:?}");
    }

    /// Checks how many deliveries were lost, repeated, reordered and unexplained, and that the exit code says so.
    #[track_caller]
    pub(crate) fn audit_is(&self, expected: [u64; 4]) {
        let found = ["lost", "duplicate", "reordered", "unexplained"].map(|what| self.number(&format!("/audit/{what}")));
        assert_eq!(found, expected, "{self:?}");
        assert_eq!(self.code == 3, expected != [0; 4], "{self:?}");
        assert_eq!(self.number("/judgement/exit_code"), u64::try_from(self.code).unwrap());
    }

    /// Checks that a run was refused or given up for a reason, and left no report.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        let told = words.iter().all(|word| self.stderr.contains(word));
        assert!(self.code == code && told, "expected {code}, {words:?}: {self:?}");
        assert!(self.stdout.is_empty() && self.files().is_empty(), "{self:?}: {:?}", self.files());
    }

    /// A whole number of the report, by its JSON pointer.
    #[track_caller]
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        self.report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer}: {self:?}"))
    }

    /// A figure of a latency, such as `delivery` and `p99_us`.
    #[track_caller]
    pub(crate) fn latency(&self, kind: &str, figure: &str) -> u64 {
        self.latency_of(kind)["summary"][figure].as_u64().unwrap_or_else(|| panic!("no {kind} {figure}: {self:?}"))
    }

    /// A latency with all it says.
    #[track_caller]
    pub(crate) fn latency_of(&self, kind: &str) -> &Value {
        let mut latencies = self.report["latencies"].as_array().into_iter().flatten();
        latencies.find(|latency| latency["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {self:?}"))
    }

    /// The audit's findings, an entry each.
    pub(crate) fn findings(&self) -> Vec<&str> {
        self.report["audit"]["findings"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    }

    /// What else lies in the run's folder: reports, halves of reports, folders of servers.
    pub(crate) fn files(&self) -> Vec<String> {
        let names = |folder: &Path| -> Vec<String> {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let mut files = names(self.folder.path());
        files.retain(|name| name != "temporary");
        files.extend(names(&self.folder.path().join("temporary")));
        files
    }
}

/// Reads a histogram of a report.
pub(crate) fn histogram(latency: &Value) -> Histogram<u64> {
    let bytes = STANDARD.decode(latency["histogram_v2_base64"].as_str().unwrap()).unwrap();
    Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
}

/// The log of a server as it grows.
#[derive(Debug)]
pub(crate) struct Log(EventStream);

impl Log {
    pub(crate) fn of(url: &str) -> Self {
        let options = EventStreamOptions { after: Some(After::Seq(Seq(0))), ..EventStreamOptions::default() };
        Self(Client::new(url).unwrap().stream(options))
    }

    /// Waits for so many messages and contacts: the load is under way.
    pub(crate) async fn has(&mut self, writes: usize) {
        let mut seen = 0;
        let search = async {
            while seen < writes {
                let item = self.0.next().await.expect("the stream goes on").unwrap();
                seen += usize::from(matches!(item, Item::Event(event) if event.event_type != "user_created"));
            }
        };
        timeout(SOON, search).await.expect("the load begins");
    }
}

/// All events of a server.
pub(crate) async fn events(url: &str) -> Vec<Event> {
    let query = EventQuery { limit: Some(1000), ..EventQuery::default() };
    let page = Client::new(url).unwrap().events(&query).await.unwrap().value;
    assert!(page.events.len() < 1000, "one page is all");
    page.events
}

/// A server that a run started.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) pid: i32,
    pub(crate) url: String,
    process: Process,
}

/// A process that a run started; its handle is readable when it has ended.
#[derive(Debug)]
pub(crate) struct Process(OwnedFd);

/// Finds the server that `bench` started: the process with its folder for temporary files in its command line.
pub(crate) async fn hosted(bench: &Bench) -> Hosted {
    let mark = format!("--database=sqlite:{}", bench.temporary().display());
    let search = async {
        loop {
            if let Some(hosted) = processes().find_map(|(pid, words)| Hosted::of(pid, &words, &mark)) {
                return hosted;
            }
            // A new process tells nobody of itself.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, search).await.expect("it starts a server")
}

/// Waits until `bench` has started these programs, and gives a process of each.
pub(crate) async fn started(bench: &Bench, programs: &[&str]) -> Vec<Process> {
    let parent = format!("PPid:\t{}\n", bench.pid());
    let search = async {
        loop {
            let mut missing = programs.to_vec();
            let mut found = Vec::new();
            for (pid, words) in processes() {
                // Redis and others write over their command line.
                let ours = fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains(&parent));
                let name = words.first().map(|word| word.rsplit('/').next().unwrap_or_default()).unwrap_or_default();
                let name = name.split([':', ' ']).next().unwrap_or_default();
                if let Some(place) = missing.iter().position(|program| *program == name).filter(|_| ours) {
                    missing.swap_remove(place);
                    found.extend(Process::of(pid));
                }
            }
            if missing.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, search).await.expect("it starts them")
}

/// All processes, with their command lines.
fn processes() -> impl Iterator<Item = (i32, Vec<String>)> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()))
    })
}

impl Hosted {
    fn of(pid: i32, words: &[String], mark: &str) -> Option<Self> {
        let ours = words.iter().any(|word| word.starts_with(mark));
        let address = words.iter().find_map(|word| word.strip_prefix("--listen=")).filter(|_| ours)?;
        Some(Self { pid, url: format!("http://{address}"), process: Process::of(pid)? })
    }

    /// Waits for its end.
    pub(crate) async fn ends(self) {
        self.process.ends().await;
    }
}

impl Process {
    fn of(pid: i32) -> Option<Self> {
        pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok().map(Self)
    }

    /// Waits for its end.
    pub(crate) async fn ends(self) {
        let timeout = Timespec::try_from(SOON).unwrap();
        let wait = move || poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout));
        let ready = tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
        assert_eq!(ready, 1, "the process ends");
    }
}
