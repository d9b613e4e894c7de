//! PostgreSQL for tests: an instance of a test's own that may be stopped, and a fresh database on one that all share.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::daemon::{Daemon, Ready, command, find, give, is_root, random};

/// The variable that names the instance which all tests share.
const SHARED: &str = "SAMBAD_TEST_POSTGRES_URL";
const USER: &str = "sambad";
const READY: Ready = Ready::Says("database system is ready to accept connections");

/// An instance of PostgreSQL on the loopback interface, as durable as PostgreSQL is by default.
///
/// Whoever runs as root needs a user `postgres` on the machine: PostgreSQL refuses to run as root.
#[derive(Debug)]
pub struct Postgres {
    daemon: Option<Daemon>,
    binaries: PathBuf,
    port: u16,
    password: String,
    directory: TempDir,
}

impl Postgres {
    /// Makes and starts an instance; it accepts connections when this returns.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Makes and starts an instance that lets nobody in but by TLS; `certificate` and its key are PEM.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn start_with_tls(certificate: &str, key: &str) -> Self {
        Self::start_with(Some((certificate, key))).await
    }

    async fn start_with(certificate: Option<(&str, &str)>) -> Self {
        let binaries = binaries().expect("PostgreSQL is not installed: initdb is neither on the PATH nor in /usr/lib/postgresql");
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        let password = format!("{:016x}", random());
        let initdb = command(binaries.join("initdb"), user());
        initialize(initdb, directory.path(), &password).await;
        if let Some((certificate, key)) = certificate {
            require_tls(&directory.path().join("data"), certificate, key);
        }
        let start = |port| (postgres(&binaries, directory.path(), port), READY);
        let (daemon, port) = Daemon::start_on_a_port("postgres", start).await;
        Self { daemon: Some(daemon), binaries, port, password, directory }
    }

    /// The port that it listens on, also while it is stopped.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of its one user.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The URL of one of its databases; `postgres` is there from the beginning.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.port, database)
    }

    /// As [`Postgres::url`], by way of another port: that of a proxy.
    #[must_use]
    pub fn url_at(&self, port: u16, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{port}/{database}", self.password)
    }

    /// Creates a database.
    ///
    /// # Panics
    /// When it is there already, or the instance does not run.
    pub async fn create(&self, database: &str) {
        psql(&self.url("postgres"), &format!("create database {database}")).await;
    }

    /// Runs SQL on one of its databases and gives the rows, a line each, with `|` between columns.
    ///
    /// # Panics
    /// When PostgreSQL refuses it.
    pub async fn run(&self, database: &str, sql: &str) -> String {
        psql(&self.url(database), sql).await
    }

    /// Stops it as an operator does who does not wait for clients: their connections are closed.
    ///
    /// # Panics
    /// When it does not run, or does not stop.
    pub async fn stop(&mut self) {
        self.daemon.take().expect("the instance runs").end(Signal::INT).await;
    }

    /// Stops it as a crash does: what is on disk is what was committed, and the next start recovers it.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn crash(&mut self) {
        self.daemon.take().expect("the instance runs").end(Signal::QUIT).await;
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub async fn start_again(&mut self) {
        assert!(self.daemon.is_none(), "the instance runs");
        let postgres = postgres(&self.binaries, self.directory.path(), self.port);
        let daemon = Daemon::start("postgres", postgres, READY).await;
        self.daemon = Some(daemon.unwrap_or_else(|log| panic!("postgres does not start again: {log}")));
    }

    /// Stops it and starts it again.
    ///
    /// # Panics
    /// As [`Postgres::stop`] and [`Postgres::start_again`].
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Takes a base backup of it, which can take over as a standby does.
    ///
    /// # Panics
    /// When it does not run, or refuses.
    pub async fn base_backup(&self) -> TempDir {
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        let data = directory.path().join("data");
        std::fs::DirBuilder::new().mode(0o700).create(&data).expect("the directory is writable");
        give_to_user(directory.path(), &[&data]);
        let mut backup = command(find("pg_basebackup", &installed()).expect("pg_basebackup is not installed"), user());
        backup.arg("--pgdata").arg(&data).args(["--write-recovery-conf", "--checkpoint", "fast", "--no-sync"]);
        backup.args(["--dbname", &self.url("postgres")]);
        let made = backup.stdin(Stdio::null()).output().await.expect("pg_basebackup runs");
        assert!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        directory
    }

    /// Crashes it, and has a standby that is as old as `backup` take over on the same port.
    ///
    /// # Panics
    /// When it does not run, or the standby does not take over.
    pub async fn fail_over_to(&mut self, backup: TempDir) {
        self.crash().await;
        self.directory = backup;
        let standby = postgres(&self.binaries, self.directory.path(), self.port);
        let daemon = Daemon::start("postgres", standby, Ready::Says("ready to accept read-only connections")).await;
        self.daemon = Some(daemon.unwrap_or_else(|log| panic!("the standby does not start: {log}")));
        let mut promote = command(self.binaries.join("pg_ctl"), user());
        promote.args(["promote", "--wait", "--silent", "--pgdata"]).arg(self.directory.path().join("data"));
        let promoted = promote.stdin(Stdio::null()).output().await.expect("pg_ctl runs");
        assert!(promoted.status.success(), "pg_ctl: {}", String::from_utf8_lossy(&promoted.stderr));
    }

    /// What it printed since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The directory must not go before the processes that write into it.
        if let Some(daemon) = &mut self.daemon {
            daemon.end_blocking(Signal::QUIT);
        }
    }
}

/// A fresh database on the instance that SAMBAD_TEST_POSTGRES_URL names, dropped when this is.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: String,
    shared: String,
}

impl Database {
    /// Creates a database.
    ///
    /// # Panics
    /// When SAMBAD_TEST_POSTGRES_URL is not set, or nobody answers there.
    pub async fn new() -> Self {
        let shared = shared(SHARED);
        let name = format!("sambad_{:016x}", random());
        psql(&shared, &format!("create database {name}")).await;
        let (instance, _) = shared.rsplit_once('/').expect("the URL ends in the name of a database");
        Self { url: format!("{instance}/{name}"), name, shared }
    }

    /// Its URL, as `--database` takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL on it and gives the rows, a line each, with `|` between columns.
    ///
    /// # Panics
    /// When PostgreSQL refuses it.
    pub async fn run(&self, sql: &str) -> String {
        psql(&self.url, sql).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Of a test that failed as well, whose servers may still be connected.
        let drop = format!("drop database if exists {} with (force)", self.name);
        let _ = psql_command(&self.shared, &drop).into_std().stdout(Stdio::null()).status();
    }
}

/// The value of a variable that names a service.
///
/// # Panics
/// When it is not set.
pub(super) fn shared(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run the test by scripts/with-services.sh"))
}

/// Runs SQL by `psql`, and gives what it prints.
async fn psql(url: &str, sql: &str) -> String {
    let output = psql_command(url, sql).output().await.expect("psql runs");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// `psql`, and not a client library: the server's own SQL stands in the core, and this is none of it.
fn psql_command(url: &str, sql: &str) -> Command {
    let psql = find("psql", &installed()).expect("psql is not installed");
    let mut command = command(psql, None);
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
    command.args(["--dbname", url, "--command", sql]).stdin(Stdio::null());
    command
}

fn user() -> Option<&'static str> {
    is_root().then_some("postgres")
}

/// Where Debian puts PostgreSQL's programs, the newest first; they are not on its PATH.
fn installed() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// The folder of `initdb` and `postgres`.
fn binaries() -> Option<PathBuf> {
    find("initdb", &installed())?.parent().map(Path::to_owned)
}

/// Makes the files of an instance in `directory`.
async fn initialize(mut initdb: Command, directory: &Path, password: &str) {
    let (data, secret) = (directory.join("data"), directory.join("password"));
    std::fs::create_dir(&data).expect("the directory is writable");
    std::fs::write(&secret, password).expect("the directory is writable");
    give_to_user(directory, &[&data, &secret]);
    initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&secret);
    initdb.args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"]);
    let made = initdb.stdin(Stdio::null()).output().await.expect("initdb runs");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
}

/// Has the instance whose files are in `data` refuse connections over TCP that are not encrypted.
fn require_tls(data: &Path, certificate: &str, key: &str) {
    for (file, text) in [("server.crt", certificate), ("server.key", key)] {
        let file = data.join(file);
        std::fs::write(&file, text).expect("the directory is writable");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("the file is the test's own");
        if let Some(user) = user() {
            give(&file, user);
        }
    }
    let prepend = |file: &str, text: &str| {
        let old = std::fs::read_to_string(data.join(file)).expect("initdb made the file");
        std::fs::write(data.join(file), format!("{text}{old}")).expect("the directory is writable");
    };
    prepend("pg_hba.conf", "hostnossl all all all reject\n");
    prepend("postgresql.conf", "ssl = on\n");
}

/// Lets PostgreSQL's user have `files` in `directory`.
fn give_to_user(directory: &Path, files: &[&Path]) {
    let Some(user) = user() else { return };
    let passable = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(directory, passable).expect("the directory is the test's own");
    for file in files {
        give(file, user);
    }
}

fn postgres(binaries: &Path, directory: &Path, port: u16) -> Command {
    let mut command = command(binaries.join("postgres"), user());
    let data = directory.join("data");
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "max_connections=200", "-c", "logging_collector=off", "-c"]);
    command.arg(format!("unix_socket_directories={}", data.display()));
    command
}
