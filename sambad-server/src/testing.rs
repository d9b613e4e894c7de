//! A real server for integration tests, of this workspace and of yours: a real socket, a real database, nothing mocked.
//!
//! ```no_run
//! # #[tokio::main] async fn main() {
//! let server = sambad_server::testing::TestServer::start().await;
//! let health = std::net::TcpStream::connect(server.address());
//! # drop(health);
//! server.stop().await;
//! # }
//! ```

use std::net::SocketAddr;

use sambad_core::{Config, Limits, Retention, Sambad};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::ServerConfig;
use crate::serve::{ServeError, serve};

mod balancer;
mod daemon;
mod generated;
mod keys;
#[doc(hidden)]
pub mod parsers;
mod pgbouncer;
mod postgres;
mod proxy;
mod redis;

pub use balancer::Balancer;
pub use daemon::free_port;
pub use generated::{commands, is_generated};
pub use keys::TestKeys;
pub use pgbouncer::PgBouncer;
pub use postgres::{Database, Postgres};
pub use proxy::{Loses, Proxy};
pub use redis::Redis;

/// Every route with a handler of its own: its method, its path, and the roles that may ask for it; `anyone` is one of them
/// where nobody need say who they are, `verified phone` where an outside issuer's word for a phone will do.
#[must_use]
pub fn routes() -> Vec<(String, &'static str, Vec<&'static str>)> {
    let routes = crate::routes::ROUTES.iter();
    routes.map(|route| (route.method.to_string(), route.path, route.who.names())).collect()
}

/// A server on a free port of the loopback interface, with a database of its own that goes when it goes.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    url: String,
    sambad: Sambad,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), ServeError>>>,
    directory: Option<TempDir>,
}

impl TestServer {
    /// Starts a server with default settings; it accepts connections when this returns.
    ///
    /// # Panics
    /// When there is no free port or no place for temporary files.
    pub async fn start() -> Self {
        Self::start_with(ServerConfig::default(), Limits::default()).await
    }

    /// Starts a server with the given settings.
    ///
    /// # Panics
    /// As [`TestServer::start`].
    pub async fn start_with(config: ServerConfig, limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        Self::start_in(directory, config, limits).await
    }

    /// Starts a server on the database in `directory`, which is created if there is none.
    ///
    /// # Panics
    /// As [`TestServer::start`], and when the database is in use.
    pub async fn start_in(directory: TempDir, config: ServerConfig, limits: Limits) -> Self {
        Self::start_retaining(directory, config, limits, Retention::Forever).await
    }

    /// As [`TestServer::start_in`], with a log that is trimmed.
    ///
    /// # Panics
    /// As [`TestServer::start_in`].
    pub async fn start_retaining(directory: TempDir, config: ServerConfig, limits: Limits, retention: Retention) -> Self {
        let database = format!("sqlite:{}", directory.path().join("sambad.db").display());
        let core = Config { limits, retention, ..Config::new(database) };
        let sambad = Sambad::open(core).await.expect("a database in a temporary directory opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback interface has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let (stop, stopped) = oneshot::channel();
        let server = serve(listener, sambad.clone(), config, async move {
            // Stopped, or dropped: both mean stop.
            let _ = stopped.await;
        });
        Self {
            address,
            url: format!("{scheme}://{address}"),
            sambad,
            stop: Some(stop),
            task: Some(tokio::spawn(server)),
            directory: Some(directory),
        }
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the server's database, as `--database` takes it.
    ///
    /// # Panics
    /// Never: the directory is there as long as the server is.
    #[must_use]
    pub fn database(&self) -> String {
        let directory = self.directory.as_ref().expect("the directory is taken by stop alone");
        format!("sqlite:{}", directory.path().join("sambad.db").display())
    }

    /// The core behind the server.
    #[must_use]
    pub fn sambad(&self) -> &Sambad {
        &self.sambad
    }

    /// Drains and stops the server; every task of it has ended when this returns. Gives back the database's directory.
    ///
    /// # Panics
    /// When the server ended with an error or a panic: a test must not pass over that.
    pub async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.await.expect("the server does not panic").expect("the server ends without an error");
        }
        self.directory.take().expect("the directory is taken by stop alone")
    }
}
