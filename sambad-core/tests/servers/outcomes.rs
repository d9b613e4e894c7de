//! A connection that is lost during COMMIT: whoever waits is told what became of it.

use std::time::Duration;

use sambad_core::access::{AccessChange, AccessOutcome, Actor};
use sambad_core::{Error, Filter, Seq, Timestamp};
use tokio::time::timeout;

use crate::harness::{Servers, collect, login};
use crate::proxy::Loss;

/// Goal: a COMMIT whose fate is not known is looked up, whatever was lost: it is acknowledged, was carried out once, and is
/// announced. Method: a proxy loses the request, or the answer, delays the request, or falls silent; the log has each event once.
#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_is_found_out() {
    let (servers, proxy) = Servers::start_behind_proxy().await;
    let sambad = servers.get(0);
    let mut subscription = sambad.subscribe(None, Filter::default()).await.unwrap();
    let mut expected = 0;
    for loss in [Loss::None, Loss::Request, Loss::Answer, Loss::Late, Loss::Silence, Loss::Answer, Loss::Request] {
        proxy.lose_next(loss);
        expected += 1;
        let answer = timeout(Duration::from_secs(60), sambad.execute(login(expected), None)).await.expect("in bounded time");
        assert_eq!(answer.unwrap().seq, Some(Seq(expected)), "{loss:?}");
    }
    assert_eq!(proxy.lost(), 6);
    assert_eq!(collect(&mut subscription, expected).await, (1..=expected).collect::<Vec<_>>());
    servers.assert_sound().await;
}

/// Goal: the same of changes of who may come in. Method: a revocation whose COMMIT is lost each way; it is told as it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_revocation_is_found_out() {
    let (servers, proxy) = Servers::start_behind_proxy().await;
    let sambad = servers.get(0);
    for (n, loss) in [Loss::None, Loss::Request, Loss::Answer, Loss::Late].into_iter().enumerate() {
        proxy.lose_next(loss);
        let id = format!("token-{n}");
        let revoke = AccessChange::Revoke { id: id.clone(), expires_at: Timestamp::now().plus(Duration::from_secs(3600)) };
        let actor = Actor { name: "operator".into(), remote: String::new() };
        let told = sambad.change_access(revoke, actor).await;
        let stored = sambad.revocations(0, 100).await.unwrap().iter().any(|revocation| revocation.id == id);
        match loss {
            Loss::None | Loss::Answer | Loss::Silence => {
                assert_eq!((told.unwrap(), stored), (AccessOutcome::Done, true), "{loss:?}")
            }
            // On a slow machine it may arrive before it is asked what became of it.
            Loss::Late if stored => assert_eq!(told.unwrap(), AccessOutcome::Done),
            Loss::Request | Loss::Late => {
                assert!(matches!(told, Err(Error::Unavailable(_))), "{loss:?}: {told:?}");
                assert!(!stored, "{loss:?}");
            }
        }
    }
    assert_eq!(proxy.lost(), 3);
    servers.assert_sound().await;
}
