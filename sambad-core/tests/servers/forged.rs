//! What anybody may publish on a Redis, or notify on a database, that servers use: it costs time and nothing else.

use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSubStream};
use sambad_core::{After, Broker, Event, Filter, Sambad, Seq, Subscription, maintenance};
use tokio::time::timeout;

use crate::harness::{Servers, events, login, redis_client, redis_url};

const POLL: Duration = Duration::from_millis(100);
/// Longest wait for anything: only a hang ends a test.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where a message has its head and the seq of its first event: behind the mark, the server's id and the instant.
const HEAD_AT: usize = 28;
const SEQ_AT: usize = 36;
/// The server without a broker among those of a test: what it writes, the others find by polling.
const POLLED: usize = 2;

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// A client of Redis that is no server: it reads what servers publish, and publishes what it likes.
struct Intruder {
    connection: MultiplexedConnection,
    overheard: PubSubStream,
    channel: String,
}

impl Intruder {
    /// Listens to the servers of the one log in such a life.
    async fn of(sambad: &Sambad) -> Self {
        let channels = channels(sambad).await;
        assert_eq!(channels.len(), 1, "one log, one channel: {channels:?}");
        Self::on(&channels[0]).await
    }

    async fn on(channel: &str) -> Self {
        let client = redis_client();
        let mut listening = client.get_async_pubsub().await.unwrap();
        listening.subscribe(channel).await.unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self { connection, overheard: listening.into_on_message(), channel: channel.to_owned() }
    }

    /// The next message with events whose head is at least `head`.
    async fn message(&mut self, head: u64) -> Vec<u8> {
        soon("message with events", async {
            loop {
                let message = self.overheard.next().await.unwrap().get_payload_bytes().to_vec();
                // A heartbeat ends soon after its head.
                if message.len() > 100 && number(&message, HEAD_AT) >= head {
                    return message;
                }
            }
        })
        .await
    }

    /// Publishes to every server, and gives how many clients listened, this one among them.
    async fn publish(&mut self, message: &[u8]) -> i64 {
        redis::cmd("PUBLISH").arg(&self.channel).arg(message).query_async(&mut self.connection).await.unwrap()
    }
}

/// The channels of logs in the life that a server's log is in.
async fn channels(sambad: &Sambad) -> Vec<String> {
    let mut connection = redis_client().get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("sambad:{}*", sambad.bounds().epoch);
    redis::cmd("PUBSUB").arg("CHANNELS").arg(pattern).query_async(&mut connection).await.unwrap()
}

fn number(message: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(message[at..at + 8].try_into().unwrap())
}

/// A copy of a message that brings its first event under another number.
fn renumbered(message: &[u8], seq: u64) -> Vec<u8> {
    let mut copy = message.to_vec();
    copy[HEAD_AT..HEAD_AT + 8].copy_from_slice(&seq.to_be_bytes());
    copy[SEQ_AT..SEQ_AT + 8].copy_from_slice(&seq.to_be_bytes());
    copy
}

fn broker(n: usize) -> Option<Broker> {
    Some(if n == POLLED { Broker::Local } else { Broker::Redis(redis_url().parse().unwrap()) })
}

/// Two servers with Redis between them, and one that has nothing but the database.
async fn start() -> (Servers, Subscription) {
    let servers = Servers::start_with(POLLED + 1, broker, POLL).await;
    let subscription = subscribe(&servers).await;
    (servers, subscription)
}

async fn subscribe(servers: &Servers) -> Subscription {
    servers.get(1).subscribe(Some(After::Seq(Seq(0))), Filter::default()).await.unwrap()
}

/// Writes by one server, and waits until all have announced it.
async fn write(servers: &Servers, by: usize, user: u64) -> Seq {
    let seq = servers.get(by).execute(login(user), None).await.unwrap().seq.unwrap();
    for sambad in servers.all() {
        soon("event", sambad.grown_beyond(Seq(seq.0 - 1))).await;
    }
    seq
}

/// Waits until the servers with a broker have rejected `count` messages each.
async fn rejected(servers: &Servers, count: u64) {
    for sambad in &servers.all()[..POLLED] {
        soon("rejection", async {
            while sambad.stats().broker.foreign.get() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert_eq!(sambad.stats().broker.foreign.get(), count);
    }
}

/// How many messages each server has received of others.
fn received(servers: &Servers) -> Vec<u64> {
    servers.all().iter().map(|sambad| sambad.stats().broker.received.get()).collect()
}

/// Waits until the servers with a broker have received `count` messages more than `before`.
async fn received_more(servers: &Servers, before: &[u64], count: u64) {
    for (sambad, before) in servers.all()[..POLLED].iter().zip(before) {
        soon("messages", async {
            while sambad.stats().broker.received.get() < before + count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// Nothing came of it: servers poll and serve, readers have seen the events that are stored and no other, and the log is in
/// the same life.
async fn assert_unharmed(servers: &Servers, subscription: &mut Subscription, seen: &mut Vec<Event>) {
    let epoch = servers.get(0).bounds().epoch;
    write(servers, POLLED, 1_000_000 + seen.len() as u64).await;
    let last = write(servers, 0, 2_000_000 + seen.len() as u64).await;
    seen.extend(soon("events", events(subscription, last.0 - seen.len() as u64)).await);
    let stored = servers.get(POLLED).events(After::Seq(Seq(0)), Filter::default(), 1000).await.unwrap();
    assert_eq!(*seen, stored.events, "readers saw what is not stored");
    for sambad in servers.all() {
        assert_eq!(sambad.bounds().head, last);
        assert_eq!(sambad.stored_bounds().await.unwrap().epoch, epoch, "the log was given another epoch");
    }
}

/// Goal: a message that somebody else made of a server's is no event. Method: a copy with the next seq, as two programs or two
/// copies of a database on one Redis make it; then what readers saw, whether servers live, and the stored epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_message_with_the_next_seq_is_rejected() {
    let (servers, mut subscription) = start().await;
    let mut intruder = Intruder::of(servers.get(0)).await;
    let head = write(&servers, 0, 1).await.0;
    let message = intruder.message(head).await;
    assert_eq!(number(&message, SEQ_AT), head);
    assert_eq!(intruder.publish(&renumbered(&message, head + 1)).await, 3);
    rejected(&servers, 1).await;
    assert_unharmed(&servers, &mut subscription, &mut Vec::new()).await;
}

/// Goal: whatever of a message somebody changes, it is rejected. Method: a message with an event that is not known yet, each byte
/// of it changed in turn; with its seqs moved on, and cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_message_is_rejected_wherever_it_was_changed() {
    let (servers, mut subscription) = start().await;
    let mut intruder = Intruder::of(servers.get(0)).await;
    let head = write(&servers, 0, 1).await.0;
    let next = renumbered(&intruder.message(head).await, head + 1);
    for at in 0..next.len() {
        let mut changed = next.clone();
        changed[at] ^= 0x01;
        intruder.publish(&changed).await;
        intruder.publish(&next[..at]).await;
    }
    rejected(&servers, 2 * next.len() as u64).await;
    assert_unharmed(&servers, &mut subscription, &mut Vec::new()).await;
}

/// Goal: what is no message at all harms nobody, however long it is. Method: garbage, the form of the version before with an
/// event and with a head that there are not, and a message of 2 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_rejected() {
    let (servers, mut subscription) = start().await;
    let mut intruder = Intruder::of(servers.get(0)).await;
    let frame = [&[0x81, 2][..], b"{}"].concat();
    let event = [&1_u64.to_be_bytes()[..], &[0], &[7; 16], &[0], &4_u32.to_be_bytes(), &frame].concat();
    let old = |head: u64, events: &[u8]| [b"SMB\x01", &[9; 16][..], &0_i64.to_be_bytes(), &head.to_be_bytes(), events].concat();
    let garbage = [
        Vec::new(),
        b"hello".to_vec(),
        b"SMB\x02".to_vec(),
        [&b"SMB\x02"[..], &[0xff; 100]].concat(),
        old(1, &event),
        old(1 << 40, &[]),
        [&b"SMB\x02"[..], &vec![0; 2 << 20]].concat(),
    ];
    for message in &garbage {
        assert_eq!(intruder.publish(message).await, 3, "both servers listen");
    }
    rejected(&servers, garbage.len() as u64).await;
    assert_unharmed(&servers, &mut subscription, &mut Vec::new()).await;
}

/// Goal: repeated and late messages of servers change nothing. Method: what servers sent while they wrote, sent again by another:
/// all of it backwards, and twice.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_late_and_again_change_nothing() {
    let (servers, mut subscription) = start().await;
    let mut intruder = Intruder::of(servers.get(0)).await;
    let mut sent = Vec::new();
    for user in 0..10 {
        let head = write(&servers, usize::try_from(user).unwrap() % POLLED, user).await.0;
        sent.push(intruder.message(head).await);
    }
    let before = received(&servers);
    for message in sent.iter().rev().chain(&sent) {
        assert_eq!(intruder.publish(message).await, 3);
    }
    // Half of them are of the server itself.
    received_more(&servers, &before, sent.len() as u64).await;
    rejected(&servers, 0).await;
    assert_unharmed(&servers, &mut subscription, &mut Vec::new()).await;
}

/// Goal: a message of another life of the log is rejected, though the same log sent it. Method: messages kept, their events taken
/// out of the log as a backup that is put back lacks them, the epoch renewed; the messages sent to the servers of the new life.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_epoch_is_rejected() {
    let (mut servers, _) = start().await;
    let mut intruder = Intruder::of(servers.get(0)).await;
    write(&servers, 0, 1).await;
    let mut sent = Vec::new();
    for user in 2..5 {
        let head = write(&servers, 1, user).await.0;
        sent.push(intruder.message(head).await);
    }
    servers.stop().await;
    servers.run("with gone as (delete from events where seq > 1) update log set head = 1").await;
    let (before, secret) = (maintenance::bounds(servers.url()).await.unwrap(), servers.secret().await);
    let renewed = maintenance::renew_epoch(servers.url()).await.unwrap();
    assert_ne!(renewed.epoch, before.epoch);
    assert_ne!(servers.secret().await, secret, "a new life has a new secret");
    servers.start_again(broker, POLL).await;
    let mut intruder = Intruder::of(servers.get(0)).await;
    for message in &sent {
        assert_eq!(intruder.publish(message).await, 3);
    }
    rejected(&servers, 3).await;
    assert!(servers.all().iter().all(|sambad| sambad.bounds().head == Seq(1)), "an event of the life before");
}

/// Goal: a copy of the database that uses the same Redis is another log. Method: a copy with the same epoch and the same secret,
/// as `create database … template …` makes it, servers on both, and a write to the copy; then its message on the channel of the
/// first.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_database_on_the_same_redis_is_another_log() {
    let (mut servers, _) = start().await;
    write(&servers, 0, 1).await;
    servers.stop().await;
    let mut copy = servers.copy().await;
    servers.start_again(broker, POLL).await;
    let mut intruder = Intruder::of(servers.get(0)).await;
    copy.start_again(broker, POLL).await;
    assert_eq!(servers.get(0).bounds(), copy.get(0).bounds(), "the same life");
    assert_eq!(servers.secret().await, copy.secret().await);
    let others: Vec<_> = channels(copy.get(0)).await.into_iter().filter(|channel| *channel != intruder.channel).collect();
    assert_eq!(others.len(), 1, "the copy has a channel of its own");
    let mut of_copy = Intruder::on(&others[0]).await;

    let head = write(&copy, 0, 2).await.0;
    let message = of_copy.message(head).await;
    assert_eq!(intruder.publish(&message).await, 3);
    rejected(&servers, 1).await;
    rejected(&copy, 0).await;
    let mut subscription = subscribe(&servers).await;
    assert_unharmed(&servers, &mut subscription, &mut Vec::new()).await;
}

/// Goal: whoever may use the database may notify its servers, to no avail. Method: heads beyond the log and garbage, on the
/// channel of a log whose servers tell each other by NOTIFY; a flood of them.
#[tokio::test(flavor = "multi_thread")]
async fn forged_notices_are_ignored() {
    let broker = |n| Some(if n == POLLED { Broker::Local } else { Broker::Postgres });
    let servers = Servers::start_with(POLLED + 1, broker, POLL).await;
    let mut subscription = subscribe(&servers).await;
    write(&servers, 0, 1).await;
    let forged = "do $$ declare channel text := 'sambad_' || (select lpad(to_hex(epoch), 8, '0') from log); begin
        perform pg_notify(channel, payload) from unnest(array['', 'hello', '-1', '1.5', '9223372036854775808',
            repeat('9', 7000)]) as payload;
        perform pg_notify(channel, payload) from unnest(array['2', '9223372036854775807', '0']) as payload;
        perform pg_notify(channel, (1000000 + n)::text) from generate_series(1, 5000) n;
        end $$";
    servers.run(forged).await;
    rejected(&servers, 6).await;
    let mut seen = Vec::new();
    assert_unharmed(&servers, &mut subscription, &mut seen).await;
    assert_unharmed(&servers, &mut subscription, &mut seen).await;
}
