//! The log is trimmed: old events go, rows stay, and nobody meets a silent hole.

use std::time::Duration;

use futures_util::future::join_all;
use sambad_core::{
    After, Command, Cursor, Delivery, Error, Filter, Limits, Outcome, Receipt, ResyncReason, Retention, Seq, UserId, UserOrder,
    UserQuery, UserRef,
};

use crate::database::{TestDatabase, on_every_database};
use crate::harness::{Core, login, seq, settling_soon};

async fn keeping(database: TestDatabase, retention: Retention) -> Core {
    Core::start_keeping(database, settling_soon(), retention).await
}

async fn users(core: &Core, count: u64) {
    for receipt in join_all((0..count).map(|number| core.sambad.execute(login(number), None))).await {
        receipt.unwrap();
    }
}

/// Waits until exactly the events before `first` are gone.
async fn trimmed_to(core: &Core, first: u64) {
    trimmed_beyond(core, Seq(first - 1)).await;
    assert_eq!(core.sambad.bounds().first, Seq(first));
}

/// Waits until `seq` is gone. The store is asked, as the bounds that are announced say it without a wake-up.
async fn trimmed_beyond(core: &Core, seq: Seq) {
    let trimmed = async {
        while core.sambad.bounds().first <= seq || core.sambad.stored_bounds().await.unwrap().first <= seq {
            tokio::time::sleep(crate::harness::PAUSE).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), trimmed).await.expect("the log is trimmed");
}

async fn first_delivery(core: &Core, after: After) -> Delivery {
    core.sambad.subscribe(Some(after), Filter::default()).await.unwrap().next().await.unwrap()
}

on_every_database!(
    old_events_go_and_nobody_meets_a_hole,
    events_expire_with_age,
    readers_under_trimming_resync_or_miss_nothing,
    what_the_store_calls_gone_is_gone_everywhere,
);

/// Goal: only the newest events are kept, rows all; readers before the first kept one are told to resync, by every way of
/// reading; the others miss nothing, also after a restart. Method: 3,000 users with 50 events kept, more than one portion.
async fn old_events_go_and_nobody_meets_a_hole(database: TestDatabase) {
    let core = keeping(database, Retention::Events(50)).await;
    users(&core, 3_000).await;
    trimmed_to(&core, 2_951).await;
    let database = core.stop().await;
    for round in 0..2 {
        // Opened without a bound as well: what is gone stays gone, what is there stays there.
        let retention = if round == 0 { Retention::Forever } else { Retention::Events(50) };
        let core = Core::start_keeping(database.copy().await, Limits::default(), retention).await;
        let bounds = core.sambad.bounds();
        assert_eq!((bounds.first, bounds.head), (Seq(2_951), Seq(3_000)));
        let head = Cursor { epoch: bounds.epoch, seq: bounds.head };
        for seq in [1, 2_000, 2_949] {
            let old = After::Cursor(Cursor { epoch: bounds.epoch, seq: Seq(seq) });
            let expired = Delivery::Resync { reason: ResyncReason::CursorExpired, cursor: head };
            assert_eq!(first_delivery(&core, old).await, expired, "{seq}");
            let refused = core.sambad.events(old, Filter::default(), 10).await.unwrap_err();
            assert!(matches!(refused, Error::CursorGone { reason: ResyncReason::CursorExpired }), "{refused:?}");
        }
        for after in [After::Seq(Seq(0)), After::Seq(Seq(2_950))] {
            let Delivery::Events(events) = first_delivery(&core, after).await else { panic!("expected events") };
            let seqs: Vec<u64> = events.iter().map(|event| event.seq.0).collect();
            assert_eq!(seqs, (2_951..=3_000).collect::<Vec<_>>());
        }
        assert_eq!(core.sambad.analytics().await.unwrap().value.total_users, 3_000, "rows are untouched");
        let known = core.sambad.execute(login(0), None).await.unwrap();
        assert_eq!(seq(&known), None, "the first user is still there");
        let next = core.sambad.execute(login(99_999), None).await.unwrap();
        assert_eq!(seq(&next), Some(3_001), "seq goes on");
        core.stop().await;
    }
}

/// Goal: a log may be trimmed to nothing and goes on. Method: events kept for a second, then one more.
async fn events_expire_with_age(database: TestDatabase) {
    let core = keeping(database, Retention::Age(Duration::from_secs(1))).await;
    users(&core, 20).await;
    trimmed_to(&core, 21).await;
    let epoch = core.sambad.bounds().epoch;
    let head = Cursor { epoch, seq: Seq(20) };
    assert_eq!(first_delivery(&core, head.into()).await, Delivery::Live(head));
    assert_eq!(first_delivery(&core, After::Seq(Seq(0))).await, Delivery::Live(head));
    core.sambad.execute(login(20), None).await.unwrap();
    let Delivery::Events(events) = first_delivery(&core, head.into()).await else { panic!("expected events") };
    assert_eq!(events.len(), 1);
    core.stop().await;
}

/// Goal: a reader that is being trimmed under gets every event up to some point, then a resync, never a hole; a reader that
/// keeps up gets everything. Method: writers go on with 100 events kept and no tail, so that every read is from the store; a
/// reader that never waits, and one that lets 500 events pass between its reads.
async fn readers_under_trimming_resync_or_miss_nothing(database: TestDatabase) {
    let limits = Limits { tail_bytes_max: 0, ..Limits::default() };
    let core = Core::start_keeping(database, limits, Retention::Events(100)).await;
    let mut slow = core.sambad.subscribe(Some(After::Seq(Seq(0))), Filter::default()).await.unwrap();
    let (mut resyncs, mut number) = (0, 0);
    let mut expected = Seq(1);
    while resyncs < 3 {
        for _ in 0..500 {
            core.sambad.execute(login(number), None).await.unwrap();
            number += 1;
        }
        let head = core.sambad.bounds().head;
        while expected <= head {
            match slow.next().await.unwrap() {
                Delivery::Events(events) => {
                    for event in events {
                        assert_eq!(event.seq, expected, "a hole without a resync");
                        expected = expected.next();
                    }
                }
                Delivery::Resync { reason, cursor } => {
                    assert_eq!(reason, ResyncReason::CursorExpired);
                    assert!(core.sambad.stored_bounds().await.unwrap().first > expected, "a resync without a reason");
                    expected = cursor.seq.next();
                    resyncs += 1;
                }
                Delivery::Live(_) => {}
            }
        }
    }
    core.stop().await;
}

/// Goal: a position that one way of reading calls gone is gone for all, although memory still holds it; and the beginning of the
/// log is wherever it is. Method: another connection trims, as the committer has before it says so; the bounds are read from the store.
async fn what_the_store_calls_gone_is_gone_everywhere(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    users(&core, 50).await;
    let epoch = core.sambad.bounds().epoch;
    let mut other = core.database.connect().await;
    let trim = |database: &TestDatabase, through: u64| {
        let delete = format!("delete from events where seq <= {through}");
        database.by_kind(delete.clone(), format!("{delete}; update log set first = {}", through + 1))
    };
    other.execute(&trim(&core.database, 40)).await;
    assert_eq!(core.sambad.stored_bounds().await.unwrap().first, Seq(41));
    let old = After::Cursor(Cursor { epoch, seq: Seq(7) });
    let head = Cursor { epoch, seq: Seq(50) };
    let expired = Delivery::Resync { reason: ResyncReason::CursorExpired, cursor: head };
    assert_eq!(first_delivery(&core, old).await, expired);
    let refused = core.sambad.events(old, Filter::default(), 10).await.unwrap_err();
    assert!(matches!(refused, Error::CursorGone { reason: ResyncReason::CursorExpired }), "{refused:?}");
    let page = core.sambad.events(After::Seq(Seq(0)), Filter::default(), 100).await.unwrap();
    assert_eq!((page.bounds.first, page.events.len()), (Seq(41), 10));
    // Nothing is in memory after a restart, and the log begins later than was known when the page was asked for.
    other.close().await;
    let core = Core::start(core.stop().await, Limits::default()).await;
    let mut other = core.database.connect().await;
    other.execute(&trim(&core.database, 45)).await;
    let page = core.sambad.events(After::Seq(Seq(0)), Filter::default(), 100).await.unwrap();
    assert_eq!((page.bounds.first, page.events.len()), (Seq(46), 5));
    other.close().await;
    core.stop().await;
}

/// Goal: the file does not grow for ever: the space of trimmed events is used again. Method: ten contacts added and removed
/// again and again, so that rows stay few while 12,000 events go through, which would take some 7 MiB; after each quarter the
/// log is trimmed, however fast the quarter was written.
#[tokio::test]
async fn space_is_used_again() {
    let core = keeping(TestDatabase::sqlite(), Retention::Bytes(256 << 10)).await;
    users(&core, 20).await;
    let all = UserQuery::All { order: UserOrder::OldestFirst, after: None };
    let ids: Vec<UserId> = core.sambad.users(&all, 20).await.unwrap().value.items.iter().map(|user| user.id).collect();
    for quarter in 1..=4 {
        join_all(ids.chunks(2).map(|pair| churn(&core, pair[0], pair[1], 150))).await;
        let head = core.sambad.bounds().head;
        assert_eq!(head, Seq(20 + quarter * 3_000));
        // 250 bytes and its data are what an event counts for, so that fewer than 1,024 of them are kept.
        trimmed_beyond(&core, Seq(head.0 - 1_024)).await;
    }
    let size = std::fs::metadata(core.stop().await.file()).unwrap().len();
    assert!(size < 4 << 20, "the file grew to {size} bytes");
}

async fn churn(core: &Core, one: UserId, two: UserId, pairs: u32) {
    for _ in 0..pairs {
        let (user, contact) = (UserRef::Id(one), UserRef::Id(two));
        let added = core.sambad.execute(Command::AddContact { user, contact, name: None }, None).await.unwrap();
        let Receipt { outcome: Outcome::ContactAdded { contact, .. }, .. } = added else { panic!("{added:?}") };
        core.sambad.execute(Command::RemoveContact { id: contact.id, owner: None }, None).await.unwrap();
    }
}
