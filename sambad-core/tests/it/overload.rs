//! What happens when more comes in than goes out.

use futures_util::future::join_all;
use sambad_core::{Error, Limits, Seq};

use crate::database::{TestDatabase, on_every_database};
use crate::harness::{Core, login, seq};

on_every_database!(
    a_full_queue_refuses_and_keeps_nothing,
    small_batches_lose_nothing,
    a_locked_store_is_unavailable_and_recovers,
);

/// Goal: a full queue refuses at once, and what was refused is not there. Method: a queue of two, a hundred logins together.
async fn a_full_queue_refuses_and_keeps_nothing(database: TestDatabase) {
    let core = Core::start(database, Limits { queue_commands_max: 2, ..Limits::default() }).await;
    let results = join_all((0..100).map(|number| core.sambad.execute(login(number), None))).await;
    let accepted: Vec<u64> = results.iter().filter_map(|result| result.as_ref().ok().and_then(seq)).collect();
    let refused = results.iter().filter(|result| matches!(result, Err(Error::Overloaded))).count();
    assert!(refused > 0, "a hundred at once do not fit a queue of two");
    assert_eq!(accepted.len() + refused, 100);
    assert_eq!(core.sambad.bounds().head, Seq(accepted.len() as u64));
    core.stop().await;
}

/// Goal: a batch is bounded, and what does not fit waits for the next. Method: batches of one, fifty logins together.
async fn small_batches_lose_nothing(database: TestDatabase) {
    let core = Core::start(database, Limits { batch_commands_max: 1, ..Limits::default() }).await;
    let results = join_all((0..50).map(|number| core.sambad.execute(login(number), None))).await;
    let mut seqs: Vec<u64> = results.iter().map(|result| seq(result.as_ref().unwrap()).unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=50).collect::<Vec<_>>());
    core.stop().await;
}

/// Goal: a store that cannot be written answers "unavailable", changes nothing, and recovers by itself.
/// Method: another connection holds the lock that writing needs for longer than is waited for it.
async fn a_locked_store_is_unavailable_and_recovers(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    core.sambad.execute(login(1), None).await.unwrap();
    let mut other = core.database.connect().await;
    other.execute(core.database.by_kind("begin immediate", "begin; lock table log in share row exclusive mode")).await;
    let refused = core.sambad.execute(login(2), None).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    assert!(!core.sambad.is_writable());
    other.execute("rollback").await;
    let noticed = async {
        while !core.sambad.is_writable() {
            tokio::time::sleep(crate::harness::PAUSE).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), noticed).await.expect("it is noticed without a write");
    let accepted = core.sambad.execute(login(3), None).await.unwrap();
    assert_eq!(seq(&accepted), Some(2));
    core.stop().await;
}
