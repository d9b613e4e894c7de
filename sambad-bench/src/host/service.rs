//! PostgreSQL, Redis and nginx from what is installed, thrown away with the run.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
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
/// Connections of each server and of all servers together stay below.
const POSTGRES_CONNECTIONS: u32 = 300;
/// Descriptors that nginx asks for: two for each session.
const NGINX_CONNECTIONS: u32 = 16_384;

/// A process that the servers need, with its data in a temporary folder; dropping it kills it and deletes its data.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
    /// Who runs it; `None` for whoever runs this program.
    account: Option<Account>,
    /// What it prints when it is ready; nothing where it only accepts connections.
    mark: &'static str,
    stop: Signal,
    cores: Vec<usize>,
    /// Deleted with it.
    _folder: TempDir,
    address: SocketAddr,
    _reserved: TcpSocket,
    running: Option<Process>,
}

/// A user of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    user: u32,
    group: u32,
}

impl Service {
    /// A PostgreSQL whose commits are on disk before they are answered, with an empty database.
    ///
    /// # Errors
    /// When there is none to start, or it does not start.
    pub(crate) fn postgres(cores: &[usize], parent: Option<&Path>) -> anyhow::Result<Self> {
        let programs = postgres_programs().context(
            "there is no PostgreSQL to start: neither on the PATH nor in /usr/lib/postgresql/*/bin; install it \
             (Debian: apt install postgresql), or name one that runs with --postgres URL",
        )?;
        // PostgreSQL refuses to run as root.
        let account = if rustix::process::getuid().is_root() {
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            Some(account(&passwd, "postgres").context("root cannot run PostgreSQL, and there is no user postgres")?)
        } else {
            None
        };
        let folder = temporary_folder(parent)?;
        if let Some(Account { user, group }) = account {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).context("cannot give PostgreSQL its folder")?;
        }
        let data = folder.path().join("data");
        create_database(&programs, &data, account)?;
        let (reserved, address) = reserve_port().context("cannot find a free port")?;
        let port = address.port();
        let mut args: Vec<OsString> = vec!["-D".into(), data.into()];
        // Of what makes a commit durable nothing is left to the defaults of whoever built it.
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            &format!("port={port}"),
            &format!("max_connections={POSTGRES_CONNECTIONS}"),
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
            "log_destination=stderr",
            "logging_collector=off",
            "lc_messages=C",
        ] {
            args.extend(["-c".into(), setting.into()]);
        }
        let mut service = Self {
            name: "PostgreSQL",
            program: programs.join("postgres"),
            args,
            account,
            mark: "database system is ready to accept connections",
            // A fast shutdown: sessions are ended, what they had not committed is rolled back.
            stop: Signal::INT,
            cores: cores.into(),
            _folder: folder,
            address,
            _reserved: reserved,
            running: None,
        };
        service.launch()?;
        Ok(service)
    }

    /// A Redis that keeps nothing.
    ///
    /// # Errors
    /// As [`Self::postgres`].
    pub(crate) fn redis(cores: &[usize], parent: Option<&Path>) -> anyhow::Result<Self> {
        let program = find("redis-server").context(
            "there is no Redis to start: no redis-server on the PATH; install it (Debian: apt install redis-server), name one \
             that runs with --redis URL, or do without by --redis none",
        )?;
        let folder = temporary_folder(parent)?;
        let (reserved, address) = reserve_port().context("cannot find a free port")?;
        let port = address.port().to_string();
        let args = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"];
        let args = args.into_iter().map(OsString::from).chain([folder.path().into()]).collect();
        let mut service = Self {
            name: "Redis",
            program,
            args,
            account: None,
            mark: "Ready to accept connections",
            stop: Signal::TERM,
            cores: cores.into(),
            _folder: folder,
            address,
            _reserved: reserved,
            running: None,
        };
        service.launch()?;
        Ok(service)
    }

    /// An nginx in front of servers; `None` when it is not installed.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn nginx(cores: &[usize], servers: &[SocketAddr]) -> anyhow::Result<Option<Self>> {
        let Some(program) = find("nginx") else { return Ok(None) };
        let folder = temporary_folder(None)?;
        let (reserved, address) = reserve_port().context("cannot find a free port")?;
        let config = folder.path().join("nginx.conf");
        fs::write(&config, nginx_config(folder.path(), address, servers)).context("cannot write nginx's configuration")?;
        let path = |path: &Path| path.as_os_str().to_owned();
        let args = vec!["-e".into(), "stderr".into(), "-p".into(), path(folder.path()), "-c".into(), path(&config)];
        let mut service = Self {
            name: "nginx",
            program,
            args,
            account: None,
            mark: "",
            stop: Signal::TERM,
            cores: cores.into(),
            _folder: folder,
            address,
            _reserved: reserved,
            running: None,
        };
        service.launch()?;
        Ok(Some(service))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
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
            bail!("{} ended by itself{}", self.name, self.last_words());
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
            running.signal(self.stop).with_context(|| format!("cannot signal {}", self.name))?;
            running.ends_within(STOP_TIMEOUT);
            running.kill().with_context(|| format!("cannot wait for {}", self.name))?;
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
        args.extend(["exec".into(), "--".into(), self.program.clone().into()]);
        args.extend(self.args.iter().cloned());
        let mut command = hosted::command(&args).context("cannot find this program's own file")?;
        command.current_dir("/").env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(writer.try_clone().context("cannot make a pipe")?).stderr(writer);
        as_account(&mut command, self.account);
        let mut running =
            Process::start(command, Some(output), self.mark).with_context(|| format!("cannot start {}", self.name))?;
        let start = if self.mark.is_empty() { self.accepts(&mut running) } else { running.ready_within(START_TIMEOUT) };
        if start == Start::Ready {
            self.running = Some(running);
            return Ok(());
        }
        let status = running.kill().with_context(|| format!("cannot wait for {}", self.name))?;
        let why = if start == Start::Ended { format!("ended as it started: {status}") } else { "does not get ready".to_owned() };
        Err(anyhow!("{} {why}{}", self.name, said(&running)))
    }

    /// Waits until it accepts connections: no sign but that.
    fn accepts(&self, running: &mut Process) -> Start {
        const STEP: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if running.has_ended() {
                return Start::Ended;
            }
            if TcpStream::connect(self.address).is_ok() {
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
    if lines.is_empty() { String::new() } else { format!("; its last words:\n{}", lines.join("\n")) }
}

fn temporary_folder(parent: Option<&Path>) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("sambad-bench-");
    parent.map_or_else(|| builder.tempdir(), |parent| builder.tempdir_in(parent)).context("cannot make a temporary folder")
}

fn as_account(command: &mut Command, account: Option<Account>) {
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
}

fn create_database(programs: &Path, data: &Path, account: Option<Account>) -> anyhow::Result<()> {
    let mut command = Command::new(programs.join("initdb"));
    command.args(["--username=sambad", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", "-D"]).arg(data);
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
    as_account(&mut command, account);
    let output = command.output().context("cannot run initdb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "initdb failed: {}; the user that runs PostgreSQL has to reach {}, see --data-folder",
        said.trim(),
        data.display()
    );
    Ok(())
}

/// The folder with the programs of PostgreSQL: on the path, else the newest that Debian has put aside.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
    versions.sort_unstable();
    let newest_first = versions.into_iter().rev().map(|(_, folder)| folder);
    path_folders().chain(newest_first).find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
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

/// Who that is, by the text of `/etc/passwd`.
fn account(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(|field| field.parse().ok());
    Some(Account { user: numbers.next()??, group: numbers.next()?? })
}

fn nginx_config(folder: &Path, address: SocketAddr, servers: &[SocketAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("server {server} max_fails=1 fail_timeout=1s;")).collect();
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {folder}/{what};"));
    format!(
        "daemon off;
# One process: it ends as this program ends, and leaves no others behind.
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {NGINX_CONNECTIONS}; }}
http {{
    access_log off;
    {temporary}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream sambad {{
        {servers}
        keepalive 256;
        # Below the 60 s after which a server closes a connection without requests.
        keepalive_timeout 20s;
    }}
    server {{
        listen {address} backlog=4096;
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://sambad;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_connect_timeout 2s;
            # Beyond the 25 s after which a server pings.
            proxy_read_timeout 75s;
        }}
    }}
}}
",
        temporary = temporary.join("\n    "),
        servers = servers.join("\n        "),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
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

    /// Goal: a user's numbers are found. Method: a `/etc/passwd` as it occurs.
    #[test]
    fn finds_an_account() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:111:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\nbad:x:y\n";
        assert_eq!(account(passwd, "postgres"), Some(Account { user: 104, group: 111 }));
        assert!(account(passwd, "post").is_none() && account(passwd, "bad").is_none());
    }

    /// Goal: a Redis starts, comes back at the same address, and is gone with its folder. Method: PING before and after.
    #[test]
    fn redis_comes_back() {
        let mut redis = Service::redis(&[], None).unwrap();
        let (address, folder) = (redis.address(), redis._folder.path().to_owned());
        assert_eq!(ask(address, "PING\r\n"), "+PONG\r\n");
        assert!(redis.restart().unwrap() > Duration::ZERO);
        assert_eq!(ask(redis.address(), "PING\r\n"), "+PONG\r\n");
        assert!(redis.address() == address && redis.check().is_ok() && redis.cpu().is_some());
        drop(redis);
        assert!(TcpStream::connect(address).is_err() && !folder.exists());
    }

    /// Goal: a PostgreSQL starts, also for root, comes back, and leaves nothing. Method: it accepts before and after; its folder.
    #[test]
    fn postgres_comes_back() {
        let mut postgres = Service::postgres(&[], None).unwrap();
        let (address, folder) = (postgres.address(), postgres._folder.path().to_owned());
        assert!(TcpStream::connect(address).is_ok());
        postgres.restart().unwrap();
        assert!(TcpStream::connect(address).is_ok() && postgres.check().is_ok());
        assert!(postgres.cpu().unwrap() > Duration::ZERO);
        drop(postgres);
        assert!(TcpStream::connect(address).is_err() && !folder.exists());
    }

    /// Goal: nginx hands requests on. Method: a server that answers once, asked through it.
    #[test]
    fn nginx_is_in_front() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let behind = server.local_addr().unwrap();
        let mut nginx = Service::nginx(&[], &[behind]).unwrap().expect("nginx is installed");
        let answers = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        });
        let answer = ask(nginx.address(), "GET /livez HTTP/1.1\r\nhost: h\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answers.join().unwrap().starts_with("GET /livez HTTP/1.1"));
        assert!(nginx.check().is_ok() && nginx.end().is_ok());
    }
}
