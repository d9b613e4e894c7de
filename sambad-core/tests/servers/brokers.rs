//! What brokers bring, and what happens when they don't.

use std::time::{Duration, Instant};

use sambad_core::{Broker, Filter, Sambad};

use crate::harness::{Gate, Servers, collect, login, redis_client, redis_url};

/// Polling that a test does not live to see: whatever arrives was brought by the broker.
const NEVER: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Writes alternately to all servers, and waits until all have announced it.
async fn write_and_wait(servers: &Servers, numbers: std::ops::Range<u64>) -> Duration {
    let all = servers.all();
    let begun = Instant::now();
    for number in numbers {
        let receipt = all[usize::try_from(number).unwrap() % all.len()].execute(login(number), None).await.unwrap();
        for sambad in &all {
            sambad.grown_beyond(sambad_core::Seq(receipt.seq.unwrap().0 - 1)).await;
        }
    }
    begun.elapsed()
}

fn filled(sambad: &Sambad) -> u64 {
    sambad.stats().broker.filled.get()
}

/// Goal: with Redis events arrive by themselves. Method: no polling; nothing is read from the log.
#[tokio::test(flavor = "multi_thread")]
async fn redis_brings_events() {
    let servers = Servers::start_with(3, |_| Some(Broker::Redis(redis_url().parse().unwrap())), NEVER).await;
    let mut subscription = servers.get(2).subscribe(None, Filter::default()).await.unwrap();
    write_and_wait(&servers, 0..60).await;
    assert_eq!(collect(&mut subscription, 60).await, (1..=60).collect::<Vec<_>>());
    for sambad in servers.all() {
        let broker = &sambad.stats().broker;
        assert_eq!((broker.dropped.get(), broker.foreign.get()), (0, 0));
        assert!(broker.received.get() >= 40, "from the two others");
        assert!(filled(&sambad) < 30, "{} events were read, where messages were a hundredth of a second late", filled(&sambad));
        assert_eq!(sambad.figures().broker_connected, Some(true));
    }
}

/// Goal: with PostgreSQL's notices others know at once. Method: no polling; everything arrives, and is read once a server.
#[tokio::test(flavor = "multi_thread")]
async fn notices_wake_others() {
    let servers = Servers::start_with(3, |_| Some(Broker::Postgres), NEVER).await;
    write_and_wait(&servers, 0..60).await;
    for sambad in servers.all() {
        assert_eq!(filled(&sambad), 40, "what the two others wrote");
    }
}

/// Goal: without any broker others know after the interval. Method: polling alone.
#[tokio::test(flavor = "multi_thread")]
async fn polling_is_enough() {
    let servers = Servers::start_with(2, |_| Some(Broker::Local), POLL).await;
    let took = write_and_wait(&servers, 0..5).await;
    assert!(took >= POLL, "{took:?}");
    assert_eq!(servers.get(0).figures().broker_connected, None);
}

/// Goal: cut off from Redis a server goes on by polling, loses nothing, and is connected again by itself. Method: a gate in
/// front of Redis for one of two servers, closed and opened while both write.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_cut_off_from_redis_polls_and_heals() {
    let gate = Gate::start(redis_client().get_connection_info().addr()).await;
    let behind = format!("redis://{}", gate.address);
    let url = |n| if n == 0 { behind.clone() } else { redis_url() };
    let servers = Servers::start_with(2, |n| Some(Broker::Redis(url(n).parse().unwrap())), POLL).await;
    let mut subscription = servers.get(0).subscribe(None, Filter::default()).await.unwrap();
    write_and_wait(&servers, 0..10).await;
    gate.close();
    write_and_wait(&servers, 10..20).await;
    assert!(filled(servers.get(0)) >= 5, "read from the log");
    assert_eq!(servers.get(0).figures().broker_connected, Some(false));
    gate.open();
    let mut number = 20;
    while servers.get(0).figures().broker_connected != Some(true) {
        write_and_wait(&servers, number..number + 1).await;
        number += 1;
    }
    let before = filled(servers.get(0));
    write_and_wait(&servers, number..number + 40).await;
    number += 40;
    assert!(filled(servers.get(0)) - before < 20, "messages again");
    assert_eq!(collect(&mut subscription, number).await, (1..=number).collect::<Vec<_>>());
    servers.assert_sound().await;
}
