//! Who is connected, and how many more may be.
//!
//! A WebSocket session lives in its shard, which is asked where it stands. Event streams and polls have no shard: each keeps
//! a [`Place`] here for as long as it lasts.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::Extensions;
use sambad_core::{Filter, Seq, Timestamp};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use crate::error::ApiError;
use crate::limits::CountedSession;
use crate::ws::shard::census::Census;
use crate::ws::shard::standing::Standing;

/// The transport of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// `/ws`
    WebSocket,
    /// `/api/events/stream`
    Sse,
    /// `/api/events` with a `wait`
    Poll,
}

impl Transport {
    /// The name that people have for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Poll => "poll",
        }
    }
}

/// The client's address, which every request carries: of the other end of its connection, or what trusted proxies say is
/// behind that, with port 0.
///
/// **Invariant:** an IPv4 address is IPv4, also where a socket or a proxy writes it as IPv6 (`::ffff:192.0.2.1`), so that one
/// client is one client for networks, limits, locks and logs. There is no other way to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Remote(SocketAddr);

impl Remote {
    /// The client at the other end of a connection. Scopes of link-local addresses are left out.
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }

    /// A client that a proxy names, whose port is not known.
    pub(crate) fn behind_proxy(address: IpAddr) -> Self {
        Self::new(SocketAddr::new(address, 0))
    }

    pub(crate) fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What does not change about a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) id: Uuid,
    pub(crate) since: Timestamp,
    /// The client's address, with port 0 if it is known from a proxy.
    pub(crate) remote: Remote,
}

impl About {
    /// A session that begins now, with a request that carries these extensions.
    pub(crate) fn begin(extensions: &Extensions) -> Self {
        let remote = extensions.get().copied().unwrap_or_else(|| Remote::new(SocketAddr::from(([0, 0, 0, 0], 0))));
        Self { id: Uuid::now_v7(), since: Timestamp::now(), remote }
    }

    #[cfg(test)]
    pub(crate) fn nobody() -> Self {
        Self::begin(&Extensions::new())
    }
}

/// The sessions that are open, and how many more may be.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// The tasks of WebSocket sessions.
    pub(crate) tasks: TaskTracker,
    /// Counts event streams and polls that wait, whose tasks are those of their connections.
    pub(crate) streams: TaskTracker,
    permits: Arc<Semaphore>,
    seats: Arc<Mutex<HashMap<Uuid, Arc<Seat>>>>,
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self {
            tasks: TaskTracker::new(),
            streams: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(sessions_max)),
            seats: Arc::default(),
        }
    }

    /// One of the sessions that may be open at a time.
    pub(crate) fn permit(&self, counted: CountedSession) -> Result<Permit, ApiError> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| ApiError::TooManySessions)?;
        Ok(Permit { _permit: permit, _counted: counted })
    }

    /// A place for an event stream or a poll that waits, which begins after `cursor`.
    pub(crate) fn place(&self, permit: Permit, transport: Transport, about: About, filter: Filter, cursor: Seq) -> Place {
        let seat = Arc::new(Seat {
            transport,
            about,
            filter,
            cursor: AtomicU64::new(cursor.0),
            replaying: AtomicBool::new(false),
            closed: CancellationToken::new(),
        });
        let seats = Arc::clone(&self.seats);
        lock(&seats).insert(about.id, Arc::clone(&seat));
        Place { seat, seats, _permit: permit, _counted: self.streams.token() }
    }

    /// Ends an event stream or a poll; `false` if there is none with that id, or it is closing already.
    pub(crate) fn close(&self, id: Uuid) -> bool {
        let seats = lock(&self.seats);
        let open = seats.get(&id).filter(|seat| !seat.closed.is_cancelled());
        open.map(|seat| seat.closed.cancel()).is_some()
    }

    /// Where event streams and polls stand: those furthest behind, at most `limit`, and how they get their events.
    pub(crate) fn standings(&self, limit: usize) -> Vec<(Standing, Transport)> {
        let seats: HashMap<Uuid, Arc<Seat>> = lock(&self.seats).clone();
        let open = seats.values().filter(|seat| !seat.closed.is_cancelled());
        let standings = Standing::furthest_behind(open.map(|seat| seat.standing()).collect(), limit);
        standings.into_iter().filter_map(|standing| Some((standing, seats.get(&standing.about.id)?.transport))).collect()
    }

    /// How many sessions of that kind there are, and how far they are behind `head`. What hyper holds back for a socket that
    /// takes nothing is not seen here: none counts as parked.
    pub(crate) fn census(&self, transport: Transport, head: Seq) -> Census {
        let mut census = Census::default();
        for seat in lock(&self.seats).values().filter(|seat| seat.transport == transport) {
            let standing = seat.standing();
            *(if standing.replaying { &mut census.replaying } else { &mut census.live }) += 1;
            census.lags(head, standing.cursor);
        }
        census
    }
}

/// A map of pointers is whole whatever happened to the thread that changed it.
fn lock(seats: &Mutex<HashMap<Uuid, Arc<Seat>>>) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<Seat>>> {
    seats.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to be one of the sessions, of all and of a client; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
    _counted: CountedSession,
}

/// What others may see of an event stream or a poll.
#[derive(Debug)]
struct Seat {
    transport: Transport,
    about: About,
    filter: Filter,
    // Relaxed, both: figures to show, which nothing is decided by.
    cursor: AtomicU64,
    replaying: AtomicBool,
    /// Cancelled when an admin closes it.
    closed: CancellationToken,
}

impl Seat {
    fn standing(&self) -> Standing {
        Standing {
            about: self.about,
            filter: self.filter,
            cursor: Seq(self.cursor.load(Ordering::Relaxed)),
            replaying: self.replaying.load(Ordering::Relaxed),
        }
    }
}

/// One of the sessions that may be open at a time; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    seat: Arc<Seat>,
    seats: Arc<Mutex<HashMap<Uuid, Arc<Seat>>>>,
    _permit: Permit,
    _counted: TaskTrackerToken,
}

impl Place {
    /// Takes note of how far the session has come.
    pub(crate) fn stands_at(&self, cursor: Seq, replaying: bool) {
        self.seat.cursor.store(cursor.0, Ordering::Relaxed);
        self.seat.replaying.store(replaying, Ordering::Relaxed);
    }
}

impl Place {
    /// Waits until an admin closes the session.
    pub(crate) async fn closed(&self) {
        self.seat.closed.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.seats).remove(&self.seat.about.id);
    }
}
