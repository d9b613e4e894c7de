//! A connection that is lost during COMMIT: whoever waits is told what became of it.

use std::time::Duration;

use sambad_core::{Filter, Seq};
use tokio::time::timeout;

use crate::harness::{Servers, collect, login};
use crate::proxy::Loss;

/// Goal: a COMMIT whose fate is not known is looked up, whatever was lost: it is acknowledged, was carried out once, and is
/// announced. Method: a proxy loses the request, or the answer, or falls silent; the log has each event once.
#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_is_found_out() {
    let (servers, proxy) = Servers::start_behind_proxy().await;
    let sambad = servers.get(0);
    let mut subscription = sambad.subscribe(None, Filter::default()).await.unwrap();
    let mut expected = 0;
    for loss in [Loss::None, Loss::Request, Loss::Answer, Loss::Silence, Loss::Answer, Loss::Request] {
        proxy.lose_next(loss);
        expected += 1;
        let answer = timeout(Duration::from_secs(60), sambad.execute(login(expected), None)).await.expect("in bounded time");
        assert_eq!(answer.unwrap().seq, Some(Seq(expected)), "{loss:?}");
    }
    assert_eq!(proxy.lost(), 5);
    assert_eq!(collect(&mut subscription, expected).await, (1..=expected).collect::<Vec<_>>());
    servers.assert_sound().await;
}
