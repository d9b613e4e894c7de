//! What brokers bring, and what happens when they don't.

use std::time::{Duration, Instant};

use sambad_core::{Broker, Filter, Sambad};

use crate::harness::{Gate, Servers, collect, events, login, redis_client, redis_url};

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

/// A message of a server that is none of ours: a head, and an event that the log does not have.
fn forged(head: u64, seq: u64) -> Vec<u8> {
    let frame = [&[0x81, 2][..], b"{}"].concat();
    let event = [&seq.to_be_bytes()[..], &[0], &[7; 16], &[0], &4_u32.to_be_bytes(), &frame].concat();
    [b"SMB\x01", &[9; 16][..], &0_i64.to_be_bytes(), &head.to_be_bytes(), &event].concat()
}

/// Goal: what others send on the channel harms nobody. Method: garbage, a cut message, and well-formed ones of events and heads
/// that there are not, then writes that reach beyond them.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_messages_are_ignored() {
    let servers = Servers::start_with(2, |_| Some(Broker::Redis(redis_url().parse().unwrap())), POLL).await;
    let mut connection = redis_client().get_multiplexed_async_connection().await.unwrap();
    let channel = format!("sambad:{}", servers.get(0).bounds().epoch);
    for message in [&b"hello"[..], b"SMB\x01", &[b"SMB\x01".as_slice(), &[0xff; 100]].concat()] {
        let heard: i64 = redis::cmd("PUBLISH").arg(&channel).arg(message).query_async(&mut connection).await.unwrap();
        assert_eq!(heard, 2, "both servers listen");
    }
    let mut subscription = servers.get(1).subscribe(None, Filter::default()).await.unwrap();
    write_and_wait(&servers, 0..4).await;
    for message in [forged(8, 8), forged(1 << 40, 6)] {
        redis::cmd("PUBLISH").arg(&channel).arg(message).query_async::<()>(&mut connection).await.unwrap();
    }
    // Looked up, found untrue, and forgotten: by the next poll at the latest.
    tokio::time::sleep(3 * POLL).await;
    write_and_wait(&servers, 4..20).await;
    let frames = events(&mut subscription, 20).await;
    assert!(frames.iter().all(|event| event.json().len() > 10), "an event that nobody stored");
    for sambad in servers.all() {
        assert_eq!(sambad.stats().broker.foreign.get(), 3);
        assert_eq!(sambad.bounds().head.0, 20);
    }
}
