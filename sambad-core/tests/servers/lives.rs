//! PostgreSQL restored, failed over or set back: readers are told to reload.

use sambad_core::{After, Config, Delivery, ErrorKind, Fatal, Filter, ResyncReason, Sambad, Seq};

use crate::harness::{Servers, login};

/// Goal: a log on another PostgreSQL, or another timeline of it, is another log to readers; on the same it stays what it is.
/// Method: the mark of where it lived changed, as a restored dump or a failover changes it; the epochs of servers that start.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_moved_has_a_new_epoch() {
    let servers = Servers::start(1).await;
    servers.get(0).execute(login(1), None).await.unwrap();
    let (epoch, secret) = (servers.get(0).bounds().epoch, servers.secret().await);
    servers.get(0).shutdown().await;
    let open = async || Sambad::open(Config::new(servers.url())).await.unwrap();
    let again = open().await;
    assert_eq!(again.bounds().epoch, epoch, "the same PostgreSQL");
    assert_eq!(servers.secret().await, secret);
    again.shutdown().await;
    servers.run("update log set cluster = '1/00000001'").await;
    let (first, second) = tokio::join!(open(), open());
    assert_ne!(first.bounds().epoch, epoch);
    assert_ne!(servers.secret().await, secret, "a life has a secret of its own");
    assert_eq!(first.bounds(), second.bounds(), "one of them renewed it");
    first.execute(login(2), None).await.unwrap();
    servers.assert_sound().await;
    first.shutdown().await;
    second.shutdown().await;
}

/// Goal: a program whose log went back lives on, serves no old position, is refused everything, and can open the core anew. Method: the
/// newest events taken out from under a core; every face of it, then a second core in the same process.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_outlives_a_log_that_went_back() {
    let servers = Servers::start(1).await;
    let sambad = servers.get(0);
    for number in 1..=5 {
        sambad.execute(login(number), None).await.unwrap();
    }
    let cursor = sambad.bounds().head_cursor();
    let mut events = sambad.subscribe(Some(After::Cursor(cursor)), Filter::default()).await.unwrap();
    assert_eq!(events.next().await.unwrap(), Delivery::Live(cursor));
    servers.run("delete from events where seq > 3; delete from users where seq > 3; update log set head = 3").await;

    let Fatal::LogReplaced { announced, stored } = sambad.stopped().await else { panic!("{:?}", sambad.fatal()) };
    assert_eq!((announced.head_cursor(), stored.head), (cursor, Seq(3)));
    assert_ne!(stored.epoch, announced.epoch);
    let unavailable = |error: sambad_core::Error| assert_eq!(error.kind(), ErrorKind::Unavailable);
    unavailable(events.next().await.unwrap_err());
    unavailable(sambad.execute(login(6), None).await.unwrap_err());
    unavailable(sambad.log().locate(After::Cursor(cursor)).await.unwrap_err());
    unavailable(sambad.subscribe(Some(After::Cursor(cursor)), Filter::default()).await.unwrap_err());
    unavailable(sambad.events(After::Cursor(cursor), Filter::default(), 1).await.unwrap_err());
    unavailable(sambad.activity(1).await.unwrap_err());
    sambad.shutdown().await;

    let again = Sambad::open(Config::new(servers.url())).await.unwrap();
    let (found, _) = again.log().locate(After::Cursor(cursor)).await.unwrap();
    assert_eq!(found, Err(ResyncReason::EpochChanged));
    assert_eq!(again.execute(login(6), None).await.unwrap().seq, Some(Seq(4)));
    again.shutdown().await;
}
