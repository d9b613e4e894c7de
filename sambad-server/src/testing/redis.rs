//! Redis for tests: an instance of a test's own that may be stopped, and one that all share.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::daemon::{Daemon, Ready, command, find};
use super::postgres::shared;

/// The variable that names the instance which all tests share.
const SHARED: &str = "SAMBAD_TEST_REDIS_URL";
const READY: Ready = Ready::Says("Ready to accept connections");

/// An instance of Redis on the loopback interface that stores nothing.
#[derive(Debug)]
pub struct Redis {
    daemon: Option<Daemon>,
    port: u16,
    settings: Settings,
}

#[derive(Debug, Default)]
struct Settings {
    password: Option<String>,
    /// Where a certificate and its key are.
    tls: Option<TempDir>,
}

impl Redis {
    /// Starts an instance; it accepts connections when this returns.
    ///
    /// # Panics
    /// When Redis is not installed, or does not start.
    pub async fn start() -> Self {
        Self::start_as(Settings::default()).await
    }

    /// Starts an instance that asks for `password`.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub async fn start_with(password: &str) -> Self {
        Self::start_as(Settings { password: Some(password.to_owned()), ..Settings::default() }).await
    }

    /// Starts an instance that speaks nothing but TLS; `certificate` and its key are PEM.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub async fn start_with_tls(certificate: &str, key: &str) -> Self {
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        std::fs::write(certificate_in(directory.path()), certificate).expect("the directory is writable");
        std::fs::write(key_in(directory.path()), key).expect("the directory is writable");
        Self::start_as(Settings { tls: Some(directory), ..Settings::default() }).await
    }

    async fn start_as(settings: Settings) -> Self {
        let (daemon, port) = Daemon::start_on_a_port("redis", |port| (redis(port, &settings), READY)).await;
        Self { daemon: Some(daemon), port, settings }
    }

    /// The URL of the instance that SAMBAD_TEST_REDIS_URL names.
    ///
    /// Whoever uses it needs channels of a name of their own: other tests use it at the same time.
    /// # Panics
    /// When the variable is not set.
    #[must_use]
    pub fn shared_url() -> String {
        shared(SHARED)
    }

    /// The port that it listens on, also while it is stopped.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, as `--redis` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// As [`Redis::url`], by way of another port: that of a proxy.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        let scheme = if self.settings.tls.is_some() { "rediss" } else { "redis" };
        let secret = self.settings.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{secret}127.0.0.1:{port}")
    }

    /// Stops it as a crash does.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn stop(&mut self) {
        self.daemon.take().expect("the instance runs").end(Signal::KILL).await;
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub async fn start_again(&mut self) {
        assert!(self.daemon.is_none(), "the instance runs");
        let daemon = Daemon::start("redis", redis(self.port, &self.settings), READY).await;
        self.daemon = Some(daemon.unwrap_or_else(|log| panic!("redis does not start again: {log}")));
    }

    /// Stops it and starts it again.
    ///
    /// # Panics
    /// As [`Redis::stop`] and [`Redis::start_again`].
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Stops the process where it is, until [`Redis::thaw`]: connections stay, and nothing is answered.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.daemon.as_ref().expect("the instance runs").signal(Signal::STOP);
    }

    /// Lets a process go on that was frozen.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.daemon.as_ref().expect("the instance runs").signal(Signal::CONT);
    }
}

fn certificate_in(directory: &Path) -> PathBuf {
    directory.join("cert.pem")
}

fn key_in(directory: &Path) -> PathBuf {
    directory.join("key.pem")
}

fn redis(port: u16, settings: &Settings) -> Command {
    let mut command = command(find("redis-server", &[]).expect("Redis is not installed: no redis-server on the PATH"), None);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let port = port.to_string();
    match &settings.tls {
        Some(directory) => {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(certificate_in(directory.path()));
            command.arg("--tls-key-file").arg(key_in(directory.path()));
        }
        None => drop(command.args(["--port", &port])),
    }
    if let Some(password) = &settings.password {
        command.args(["--requirepass", password]);
    }
    command
}
