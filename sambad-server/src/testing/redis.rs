//! Redis for tests: an instance of a test's own that may be stopped, and one that all share.

use rustix::process::Signal;
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
    password: Option<String>,
}

impl Redis {
    /// Starts an instance; it accepts connections when this returns.
    ///
    /// # Panics
    /// When Redis is not installed, or does not start.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts an instance that asks for `password`.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub async fn start_with(password: Option<&str>) -> Self {
        let (daemon, port) = Daemon::start_on_a_port("redis", |port| (redis(port, password), READY)).await;
        Self { daemon: Some(daemon), port, password: password.map(Into::into) }
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
        let secret = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{secret}127.0.0.1:{port}")
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
        let daemon = Daemon::start("redis", redis(self.port, self.password.as_deref()), READY).await;
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

fn redis(port: u16, password: Option<&str>) -> Command {
    let mut command = command(find("redis-server", &[]).expect("Redis is not installed: no redis-server on the PATH"), None);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    command
}
