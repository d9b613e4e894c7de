//! The few connections that read. Each is in use, or idle, or has an answer on its way that nobody waits for any more.
//!
//! Not sqlx's pool: that asks a connection that is given back whether it lives, and waits for the answer without a bound, so that
//! a host that vanished takes one place after the other, for as long as TCP hopes. And it asks after each read, where one that
//! was answered in full has nothing to be asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connector::Connector;
use super::failed;
use crate::error::Error;
use crate::figures::Readers;

/// Longest wait for what is left of an answer that nobody reads any more, and for a good-bye.
pub(super) const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is asked whether it lives before a read depends on it.
const TRUSTED: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    connector: Connector,
    connections_max: u32,
    /// One for each connection that may be open and is not idle.
    places: Arc<Semaphore>,
    /// The one used last is used next, so that the others can be idle. A std lock: no section awaits.
    idle: Mutex<Vec<Idle>>,
}

impl std::fmt::Debug for Shared {
    /// Leaves out where they connect to, which has the password in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("connections_max", &self.connections_max).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Lease {
    /// `None` once it was given back.
    connection: Option<PgConnection>,
    shared: Arc<Shared>,
    place: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// Connects once, to see whether that works.
    pub(super) async fn open(connector: Connector, connections_max: u32) -> Result<Self, sqlx::Error> {
        let first = Idle { connection: connector.connect().await?, since: Instant::now() };
        let places = Arc::new(Semaphore::new(usize::try_from(connections_max).unwrap_or(Semaphore::MAX_PERMITS)));
        Ok(Self { shared: Arc::new(Shared { connector, connections_max, places, idle: Mutex::new(vec![first]) }) })
    }

    /// Takes a connection once there is a place for one. The caller bounds the time.
    ///
    /// # Cancel safety
    /// A connection that was being asked or opened is dropped.
    pub(super) async fn take(&self) -> Result<Lease, Error> {
        let shared = Arc::clone(&self.shared);
        let place = Arc::clone(&shared.places).acquire_owned().await.map_err(|closed| Error::Unavailable(Some(closed.into())))?;
        // In a statement of its own: the lock must not be held for the body of a loop.
        let mut next = shared.pop_idle();
        while let Some(Idle { mut connection, since }) = next {
            if since.elapsed() < TRUSTED || connection.ping().await.is_ok() {
                return Ok(Lease { connection: Some(connection), shared, place: Some(place) });
            }
            next = shared.pop_idle();
        }
        let connection = shared.connector.connect().await.map_err(failed)?;
        Ok(Lease { connection: Some(connection), shared, place: Some(place) })
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.shared.connector
    }

    pub(super) fn readers(&self) -> Readers {
        let free = u32::try_from(self.shared.places.available_permits()).unwrap_or(u32::MAX);
        let busy = self.shared.connections_max.saturating_sub(free);
        let idle = u32::try_from(self.shared.idle().len()).unwrap_or(u32::MAX);
        Readers { open: busy.saturating_add(idle), busy }
    }

    /// Waits a bounded time for reads in progress, refuses others, and says good-bye.
    pub(super) async fn close(&self) {
        let ended = timeout(RELEASE_TIMEOUT, self.shared.places.acquire_many(self.shared.connections_max)).await;
        self.shared.places.close();
        drop(ended);
        let mut next = self.shared.pop_idle();
        while let Some(Idle { connection, .. }) = next {
            // PostgreSQL notices the end of a connection in any case.
            let _ = timeout(RELEASE_TIMEOUT, connection.close()).await;
            next = self.shared.pop_idle();
        }
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop_idle(&self) -> Option<Idle> {
        self.idle().pop()
    }

    fn put_back(&self, connection: PgConnection) {
        if !self.places.is_closed() {
            self.idle().push(Idle { connection, since: Instant::now() });
        }
    }
}

impl Lease {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("only done and drop take it, and both end the lease")
    }

    /// Gives the connection back: everything that it was asked was answered.
    pub(super) fn done(mut self) {
        if let Some(connection) = self.connection.take() {
            self.shared.put_back(connection);
        }
    }
}

impl Drop for Lease {
    /// What was given up, or failed, has an answer on its way or is broken: whichever, it is found out in the background, in
    /// bounded time, and keeps its place until then.
    fn drop(&mut self) {
        let (Some(mut connection), Ok(runtime)) = (self.connection.take(), Handle::try_current()) else { return };
        let (shared, place) = (Arc::clone(&self.shared), self.place.take());
        runtime.spawn(async move {
            if let Ok(Ok(())) = timeout(RELEASE_TIMEOUT, connection.ping()).await {
                shared.put_back(connection);
            }
            drop(place);
        });
    }
}
