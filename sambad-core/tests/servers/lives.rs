//! PostgreSQL restored, failed over or set back: readers are told to reload.

use sambad_core::{Config, Sambad};

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
