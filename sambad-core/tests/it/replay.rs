//! Replay and live events are one sequence, however they interleave.

use futures_util::FutureExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use sambad_core::{Delivery, EventKind, Filter, Limits, Seq, Subscription, UserId};

use crate::database::TestDatabase;
use crate::harness::{Core, login, user_id};

/// What happens next to one reader.
#[derive(Debug, Clone)]
enum Step {
    /// So many users are created, one commit each.
    Write(u8),
    /// The reader takes what is there.
    Take,
    /// The reader begins to wait and gives up after so many polls: a cancelled call.
    GiveUp(u8),
    /// The reader goes away and comes back with its cursor.
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..6_u8).prop_map(Step::Write),
        3 => Just(Step::Take),
        2 => (1..4_u8).prop_map(Step::GiveUp),
        1 => Just(Step::Reconnect),
    ]
}

/// A reader and what it has seen.
struct Reader<'a> {
    core: &'a Core,
    filter: Filter,
    subscription: Subscription,
    seen: Vec<u64>,
    lives: u32,
}

impl Reader<'_> {
    fn note(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Events(events) => {
                assert!(!events.is_empty());
                self.seen.extend(events.iter().map(|event| event.seq.0));
            }
            Delivery::Live(_) => self.lives += 1,
            Delivery::Resync { reason, .. } => panic!("nothing was trimmed, and yet {reason:?}"),
        }
    }

    async fn give_up_after(&mut self, polls: u8) {
        let mut next = Box::pin(self.subscription.next());
        let mut delivered = None;
        for _ in 0..polls {
            delivered = next.as_mut().now_or_never();
            if delivered.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(next);
        if let Some(delivery) = delivered {
            self.note(delivery.unwrap());
        }
    }

    /// Takes until `expected` events were seen; a reader whose filter matches nothing more would wait for ever.
    async fn take(&mut self, expected: usize) {
        while self.seen.len() < expected {
            let delivery = self.subscription.next().await.unwrap();
            self.note(delivery);
        }
    }

    async fn reconnect(&mut self) {
        // An unfiltered reader could also resume from the last seq it saw: both must be the same place.
        let after = self.subscription.cursor().into();
        self.subscription = self.core.sambad.subscribe(Some(after), self.filter).await.unwrap();
        self.lives = 0;
    }
}

async fn play(database: TestDatabase, steps: Vec<Step>, tail_bytes_max: usize, before: u8, follow: Option<u8>) {
    let core = Core::start(database, Limits { tail_bytes_max, ..Limits::default() }).await;
    let mut users: Vec<UserId> = Vec::new();
    let write = async |users: &mut Vec<UserId>, count: u8| {
        for _ in 0..count {
            users.push(user_id(&core.sambad.execute(login(users.len() as u64), None).await.unwrap()));
        }
    };
    write(&mut users, before.max(1)).await;
    let user = follow.map(|index| users[usize::from(index) % users.len()]);
    let filter = Filter { kinds: [EventKind::UserCreated].into_iter().collect(), user };
    let subscription = core.sambad.subscribe(Some(sambad_core::After::Seq(Seq::ZERO)), filter).await.unwrap();
    let mut reader = Reader { core: &core, filter, subscription, seen: Vec::new(), lives: 0 };
    let expected = |users: &[UserId]| -> Vec<u64> {
        let asked_for = |seq: &u64| user.is_none_or(|user| users[*seq as usize - 1] == user);
        (1..=users.len() as u64).filter(asked_for).collect()
    };
    for step in steps {
        match step {
            Step::Write(count) => write(&mut users, count).await,
            Step::Take => reader.take(expected(&users).len()).await,
            Step::GiveUp(polls) => reader.give_up_after(polls).await,
            Step::Reconnect => reader.reconnect().await,
        }
    }
    reader.take(expected(&users).len()).await;
    // Whatever came twice, or was not asked for, would come now.
    reader.give_up_after(3).await;
    assert_eq!(reader.seen, expected(&users), "every event once, in order");
    assert!(reader.lives <= 1, "caught up once a connection");
    drop(reader);
    core.stop().await;
}

fn run(script: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(script);
}

fn tail_bytes_max() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0_usize), 300..3000_usize, Just(1 << 20)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Goal: whatever interleaving of commits, reads, cancelled reads and reconnects, with a tail that holds all, some or
    /// none of the events, a reader sees each matching event once and in order. Method: random scripts on a real store.
    #[test]
    fn replay_and_live_are_one_sequence(
        steps in vec(step(), 1..24),
        tail_bytes_max in tail_bytes_max(),
        before in 1..8_u8,
        follow in proptest::option::of(0..8_u8),
    ) {
        run(play(TestDatabase::sqlite(), steps, tail_bytes_max, before, follow));
    }
}

proptest! {
    // Fewer, as each makes a database, which takes PostgreSQL a while; and none is made smaller, for the same reason.
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]

    /// Goal: the same on PostgreSQL, whose answers take longer, so that more is given up. Method: the same.
    #[test]
    fn replay_and_live_are_one_sequence_on_postgres(
        steps in vec(step(), 8..24),
        tail_bytes_max in tail_bytes_max(),
        before in 1..8_u8,
        follow in proptest::option::of(0..8_u8),
    ) {
        run(async { play(TestDatabase::postgres().await, steps, tail_bytes_max, before, follow).await });
    }
}
