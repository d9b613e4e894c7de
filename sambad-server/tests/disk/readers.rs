//! Event streams that live through everything, and what they saw.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sambad_client::{
    After, Error, Event, EventKind, EventStreamOptions, Filter, Item, NewMessage, NewUser, Seq, State, UserId, Verifier,
};
use tokio::task::JoinHandle;

use crate::harness::soon;
use crate::world::World;

/// What the message says that ends the streams.
const LAST: &str = "the last one";
/// The phone of the user whom a stream follows; no load uses it, and what this user does is no load's.
pub(crate) const PHONE: &str = "+15550000001";

/// Streams with and without filters.
#[derive(Debug)]
pub(crate) struct Readers {
    world: Arc<World>,
    /// Whom one of them follows, and who writes the last message.
    user: UserId,
    tasks: Vec<(Filter, JoinHandle<Vec<Seen>>)>,
    cuts: Arc<AtomicU64>,
}

/// An event that was seen: its seq, and a hash of its type and particulars.
type Seen = (u64, u64);

impl Readers {
    /// Opens the streams from the log's beginning: all events, two of those, some kinds, one user.
    ///
    /// Creates the user that one of them follows.
    pub(crate) async fn start(world: &Arc<World>) -> Self {
        let user = world.client().login(&NewUser::new(PHONE)).await.unwrap().value.user.id;
        let kinds = [EventKind::MessageSent, EventKind::ContactRemoved].into_iter().collect();
        let filters = [
            Filter::default(),
            Filter::default(),
            Filter { kinds, ..Filter::default() },
            Filter { user: Some(user), ..Filter::default() },
        ];
        let cuts = Arc::new(AtomicU64::new(0));
        let task = |filter| (filter, tokio::spawn(read(Arc::clone(world), filter, Arc::clone(&cuts))));
        Self { world: Arc::clone(world), user, tasks: filters.map(task).into(), cuts }
    }

    /// How often a stream had to reconnect.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Ends the streams, which takes a server on which nobody writes any more. Each must have seen what its filter asks for,
    /// every event once and in order. Gives the log, without what that user did.
    pub(crate) async fn finish(self) -> Vec<Event> {
        let client = self.world.client();
        let last = client.send_message(&NewMessage::text(self.user, self.user, LAST)).await.unwrap().seq.unwrap();
        let mut log = self.world.log_after(0).await;
        assert_eq!(log.last().map(|event| event.seq), Some(last));
        for (filter, task) in self.tasks {
            let seen = soon("end of a stream", task).await.expect("readers do not panic");
            let wanted = log.iter().filter(|event| asks_for(&filter, event)).map(seen_of);
            assert!(seen.iter().copied().eq(wanted), "a stream did not see what is stored: {filter:?}");
        }
        log.retain(|event| !event.data.get().contains(PHONE));
        log
    }
}

async fn read(world: Arc<World>, filter: Filter, cuts: Arc<AtomicU64>) -> Vec<Seen> {
    let options = EventStreamOptions {
        after: Some(After::Seq(Seq::ZERO)),
        filter,
        backoff_initial: Duration::from_millis(5),
        backoff_cap: Duration::from_millis(50),
        ..EventStreamOptions::default()
    };
    let dense = filter == Filter::default();
    let mut verifier = if dense { Verifier::unfiltered(Seq::ZERO) } else { Verifier::filtered(Seq::ZERO) };
    let (mut stream, mut seen) = (world.client().stream(options), Vec::new());
    loop {
        match stream.next().await.expect("the stream goes on").expect("the stream survives") {
            Item::Event(event) => {
                if let Err(anomaly) = verifier.check(event.seq) {
                    panic!("{anomaly}");
                }
                seen.push(seen_of(&event));
                if event.data.get().contains(LAST) {
                    return seen;
                }
            }
            Item::Resync(resync) => panic!("what a stream saw is not stored: {resync:?}"),
            Item::State(State::Reconnecting { why: Error::Anomaly(anomaly), .. }) => panic!("{anomaly}"),
            Item::State(State::Reconnecting { .. }) => drop(cuts.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

fn seen_of(event: &Event) -> Seen {
    let mut hasher = DefaultHasher::new();
    (&event.event_type, event.data.get()).hash(&mut hasher);
    (event.seq.0, hasher.finish())
}

/// Whether the contract says that a stream with `filter` gets `event`.
fn asks_for(filter: &Filter, event: &Event) -> bool {
    let kind = event.kind().expect("the log holds kinds that are known");
    filter.kinds.contains(kind) && filter.user.is_none_or(|user| event.data.get().contains(&user.to_string()))
}
