//! The core stopped and started again on the same database.

use futures_util::future::join_all;
use sambad_core::{After, Cursor, Delivery, Epoch, Error, Filter, Limits, ResyncReason, Seq};

use crate::database::{TestDatabase, on_every_database};
use crate::harness::{Core, login, seq};

on_every_database!(shutdown_commits_what_was_accepted, readers_resume_or_are_told_to_reload,);

/// Goal: shutdown commits what was accepted and refuses the rest, and the next start has exactly that.
/// Method: logins racing a shutdown.
async fn shutdown_commits_what_was_accepted(database: TestDatabase) {
    let core = Core::start(database, Limits { batch_commands_max: 3, ..Limits::default() }).await;
    let writes = join_all((0..200).map(|number| core.sambad.execute(login(number), None)));
    let (results, ()) = tokio::join!(writes, core.sambad.shutdown());
    let accepted = results.iter().filter(|result| result.is_ok()).count() as u64;
    let late = core.sambad.execute(login(999), None).await;
    assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
    let core = Core::start(core.stop().await, Limits::default()).await;
    assert_eq!(core.sambad.bounds().head, Seq(accepted));
    core.stop().await;
}

/// Goal: a reader resumes over a restart; one of another life, or from the future, is told to reload.
/// Method: cursors of each sort against a log that was reopened, so that its tail is empty.
async fn readers_resume_or_are_told_to_reload(database: TestDatabase) {
    let core = Core::start(database, Limits::default()).await;
    for number in 0..3 {
        core.sambad.execute(login(number), None).await.unwrap();
    }
    let epoch = core.sambad.bounds().epoch;
    let core = Core::start(core.stop().await, Limits::default()).await;
    let head = Cursor { epoch, seq: Seq(3) };
    let first = async |after: After| core.sambad.subscribe(Some(after), Filter::default()).await.unwrap().next().await.unwrap();

    let Delivery::Events(events) = first(Cursor { epoch, seq: Seq(1) }.into()).await else { panic!("expected events") };
    assert_eq!(events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(first(head.into()).await, Delivery::Live(head));
    let other_life = Cursor { epoch: Epoch(!epoch.0), seq: Seq(1) };
    for (after, reason) in [
        (After::Cursor(other_life), ResyncReason::EpochChanged),
        (After::Seq(Seq(4)), ResyncReason::CursorAhead),
        (After::Cursor(Cursor { epoch, seq: Seq(9) }), ResyncReason::CursorAhead),
    ] {
        assert_eq!(first(after).await, Delivery::Resync { reason, cursor: head });
    }
    let receipt = core.sambad.execute(login(7), None).await.unwrap();
    assert_eq!(seq(&receipt), Some(4));
    core.stop().await;
}
