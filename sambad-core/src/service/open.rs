//! Opening: the store, the log, the committer, and what connects this server with others of the same database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Sambad, Shared, Tasks};
use crate::broker::{self, Broker};
use crate::committer::Committer;
use crate::error::Error;
use crate::follower::Follower;
use crate::limits::{Limits, POLL_INTERVAL_DEFAULT};
use crate::log::Log;
use crate::merge::{Merge, Outlet};
use crate::outage::Outage;
use crate::retention::Retention;
use crate::stats::Stats;
use crate::store::{self, Store};

/// What a host decides.
#[derive(Clone)]
pub struct Config {
    /// `sqlite:PATH`, where the file is created if there is none, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    pub database: String,
    /// By whom servers of one database tell each other that the log grew; `None` chooses PostgreSQL for its own databases.
    pub broker: Option<Broker>,
    /// How often the head of a log that others write to is looked at. Default 250 ms.
    pub poll_interval: Duration,
    /// Bounds of queues and memory.
    pub limits: Limits,
    /// How much of the log is kept. Default: all of it.
    pub retention: Retention,
}

impl std::fmt::Debug for Config {
    /// Leaves the database out, whose URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { database: _, broker, poll_interval, limits, retention } = self;
        f.debug_struct("Config")
            .field("broker", broker)
            .field("poll_interval", poll_interval)
            .field("limits", limits)
            .field("retention", retention)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// A database with the defaults for everything else.
    #[must_use]
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            database: database.into(),
            broker: None,
            poll_interval: POLL_INTERVAL_DEFAULT,
            limits: Limits::default(),
            retention: Retention::default(),
        }
    }
}

/// What is there before the committer runs.
struct Parts {
    store: Store,
    writer: store::Writer,
    log: Arc<Log>,
    outlet: Outlet,
    stats: Stats,
}

impl Sambad {
    /// Opens the store, brings its schema up to date, and starts the committer and whatever follows other servers.
    ///
    /// A core can come to a fatal end: its committer panics, the disk fails where data could be lost (SQLite), or the log is replaced
    /// by another (PostgreSQL was set back, or a standby took over). From that instant everything is refused with `Unavailable`,
    /// nothing is acknowledged or handed over any more, and the core's tasks end; the process goes on. Await
    /// [`Sambad::stopped`] beside whatever the host does: after it, call [`Sambad::shutdown`], drop every handle, log and
    /// subscription of this core, and open it anew, or end the process and have it restarted.
    ///
    /// # Errors
    /// `Invalid` when the database is not named as expected, or a broker is given that it cannot have; `Internal` when the
    /// database or the broker cannot be opened, the database is in use by another server (SQLite) or has a schema newer than
    /// this version knows.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let Config { database, broker, poll_interval, limits, retention } = config;
        let shared = store::is_shared(&database);
        if let Some(name) = broker.as_ref().filter(|broker| !matches!(broker, Broker::Local)).map(Broker::name)
            && !shared
        {
            let what = format!("broker {name} needs a PostgreSQL database: an SQLite database has only one server");
            return Err(Error::Internal { what, source: None });
        }
        let (store, writer) = store::open(&database, &limits).await?;
        let log = Arc::new(Log::new(store.clone(), store.bounds().await?, &limits));
        let (stats, stop_followers) = (Stats::default(), log.halt().token().child_token());
        let (mut followers, mut broker_connected, mut outlet) = (Vec::new(), None, Outlet::Own(Arc::clone(&log)));
        if shared {
            let merge = Arc::new(Merge::new(Arc::clone(&log)));
            let broker = broker.unwrap_or(Broker::Postgres);
            let running = broker::start(&broker, &store, &merge, &stats, &stop_followers).await?;
            let patience = running.patience;
            let follower =
                Follower { merge: Arc::clone(&merge), store: store.clone(), stats: stats.clone(), poll_interval, patience };
            followers = running.tasks;
            followers.push(tokio::spawn(follower.run(stop_followers.clone())));
            broker_connected = (!matches!(broker, Broker::Local)).then_some(running.connected);
            outlet = Outlet::Shared(merge, running.publisher);
        }
        let parts = Parts { store, writer, log, outlet, stats };
        let (mut shared, committer) = Self::assemble(parts, limits, retention);
        shared.broker_connected = broker_connected;
        let committer = tokio::spawn(committer.run(shared.stop.clone()));
        shared.tasks = Mutex::new(Some(Tasks { committer, followers, stop_followers }));
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Opens a simulated store. The committer is the returned future, for the simulation to poll when it chooses; it ends
    /// after [`Sambad::shutdown`], which does not wait for it, and a panic in it ends nothing but the simulation.
    #[cfg(feature = "simulation")]
    pub fn open_simulated(
        store: &store::memory::SimulatedStore,
        limits: Limits,
        retention: Retention,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        use store::memory::{Reader, Writer};
        let (reader, writer) = (Store::Simulated(Reader(store.clone())), store::Writer::Simulated(Writer::new(store.clone())));
        let log = Arc::new(Log::new(reader.clone(), store.bounds(), &limits));
        let parts = Parts { store: reader, writer, outlet: Outlet::Own(Arc::clone(&log)), log, stats: Stats::default() };
        let (shared, committer) = Self::assemble(parts, limits, retention);
        let stop = shared.stop.clone();
        (Self { shared: Arc::new(shared) }, committer.take_turns(stop))
    }

    /// Everything but the tasks.
    fn assemble(parts: Parts, limits: Limits, retention: Retention) -> (Shared, Committer) {
        let Parts { store, writer, log, outlet, stats } = parts;
        let (jobs, receiver) = mpsc::channel(limits.queue_commands_max);
        let queue_bytes_max = limits.queue_bytes_max;
        let clock = writer.clock();
        let outage = Arc::new(Outage::default());
        let told = (Arc::clone(&outage), stats.clone());
        let committer = Committer::new(receiver, writer, outlet, limits, retention, told);
        let shared = Shared {
            store,
            log,
            jobs,
            queue_bytes: Arc::new(Semaphore::new(queue_bytes_max)),
            queue_bytes_max,
            outage,
            stats,
            clock,
            discovery_key: OnceCell::new(),
            asked_recently: std::sync::Mutex::default(),
            stop: CancellationToken::new(),
            broker_connected: None,
            tasks: Mutex::new(None),
        };
        (shared, committer)
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::cursor::{After, Epoch, Seq};
    use crate::error::ErrorKind;
    use crate::fatal::Fatal;
    use crate::hub::Delivery;
    use crate::kind::Filter;
    use crate::store::memory::{Fault, FaultPoint, PageBounds, Reader, SimulatedStore, Writer};

    /// Opens a simulated store as a host does: with a committer that runs by itself.
    fn open(store: &SimulatedStore) -> Sambad {
        let (reader, writer) = (Store::Simulated(Reader(store.clone())), store::Writer::Simulated(Writer::new(store.clone())));
        let log = Arc::new(Log::new(reader.clone(), store.bounds(), &Limits::default()));
        let parts = Parts { store: reader, writer, outlet: Outlet::Own(Arc::clone(&log)), log, stats: Stats::default() };
        let (mut shared, committer) = Sambad::assemble(parts, Limits::default(), Retention::Forever);
        let committer = tokio::spawn(committer.run(shared.stop.clone()));
        let stop_followers = shared.log.halt().token().child_token();
        shared.tasks = Mutex::new(Some(Tasks { committer, followers: Vec::new(), stop_followers }));
        Sambad { shared: Arc::new(shared) }
    }

    fn login(number: u64) -> Command {
        Command::Login { phone: format!("+91{:010}", 9_000_000_000 + number).parse().expect("a phone"), name: None }
    }

    /// Goal: a committer that panics ends the core and not its host: what it was at is answered "outcome unknown", everything else is
    /// refused, readers end, and the store can be opened anew. Method: a panic right after COMMIT, where the event is stored and
    /// not announced.
    #[tokio::test]
    async fn a_host_outlives_a_committer_that_panics() {
        let mut commits = 0;
        let script = move |point| {
            commits += u32::from(point == FaultPoint::Committed);
            assert!((point, commits) != (FaultPoint::Committed, 2), "a bug in the store");
            Fault::None
        };
        let store = SimulatedStore::new(Epoch(1), PageBounds::default(), Box::new(script));
        let sambad = open(&store);
        let mut events = sambad.subscribe(None, Filter::default()).await.unwrap();
        sambad.execute(login(1), None).await.unwrap();
        assert!(matches!(events.next().await.unwrap(), Delivery::Events(events) if events.len() == 1));
        assert!(sambad.fatal().is_none());
        let stopped = sambad.stopped();

        assert!(matches!(sambad.execute(login(2), None).await, Err(Error::OutcomeUnknown(_))));
        assert!(matches!(stopped.await, Fatal::Panicked { task: "committer" }));
        let unavailable = |error: Error| assert_eq!(error.kind(), ErrorKind::Unavailable);
        unavailable(events.next().await.unwrap_err());
        unavailable(sambad.execute(login(3), None).await.unwrap_err());
        unavailable(sambad.would_take(1).unwrap_err());
        unavailable(sambad.stored_bounds().await.unwrap_err());
        unavailable(sambad.events(After::Seq(Seq(0)), Filter::default(), 1).await.unwrap_err());
        unavailable(sambad.subscribe(None, Filter::default()).await.unwrap_err());
        unavailable(sambad.subscribe(Some(After::Seq(Seq(0))), Filter::default()).await.unwrap_err());
        unavailable(sambad.log().read(Seq(0), &Filter::default(), 1).await.unwrap_err());
        assert!(sambad.log().recent(Seq(0), &Filter::default(), 1).is_none());
        sambad.grown_beyond(Seq(9)).await;
        assert_eq!(sambad.bounds().head, Seq(1), "nothing more was announced");
        sambad.shutdown().await;

        let again = open(&store);
        assert_eq!(again.execute(login(3), None).await.unwrap().seq, Some(Seq(3)));
        again.shutdown().await;
    }
}
