//! A COMMIT that takes effect although its answer is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sambad_core::simulation::{Fault, FaultPoint, PageBounds, SimulatedStore};
use sambad_core::{Delivery, Epoch, Error, Filter, IdempotencyKey, Limits, Retention, Sambad, Seq};

use crate::harness::{login, seq};

/// Goal: what a retry is acknowledged for reaches whoever listens, without waiting for the next write. Method: the answer of
/// one COMMIT is lost, its command is retried with the same key, and nothing else is written.
#[tokio::test(start_paused = true)]
async fn a_retry_announces_what_was_stored_before() {
    let failing = Arc::new(AtomicBool::new(false));
    let lost = Arc::clone(&failing);
    let script = move |point| match point {
        FaultPoint::Committed if lost.load(Ordering::Relaxed) => Fault::Fail,
        _ => Fault::None,
    };
    let store = SimulatedStore::new(Epoch(1), PageBounds::default(), Box::new(script));
    let (sambad, committer) = Sambad::open_simulated(&store, Limits::default(), Retention::Forever);
    let committer = tokio::spawn(committer);
    sambad.execute(login(1), None).await.unwrap();
    let mut subscription = sambad.subscribe(None, Filter::default()).await.unwrap();

    let key = || Some(IdempotencyKey::new("retry", [1; 32]).unwrap());
    failing.store(true, Ordering::Relaxed);
    let unknown = sambad.execute(login(2), key()).await.unwrap_err();
    assert!(matches!(unknown, Error::OutcomeUnknown(_)), "{unknown:?}");
    failing.store(false, Ordering::Relaxed);
    let receipt = sambad.execute(login(2), key()).await.unwrap();
    assert_eq!((seq(&receipt), receipt.replayed), (Some(2), true));
    assert_eq!(sambad.bounds().head, Seq(2), "acknowledged, so announced");

    let Delivery::Events(events) = subscription.next().await.unwrap() else { panic!("the event that was acknowledged") };
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [Seq(2)]);
    sambad.shutdown().await;
    committer.await.unwrap();
}
