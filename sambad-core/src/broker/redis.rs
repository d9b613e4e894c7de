//! Redis between servers: each publishes its batches on one channel, and reads what all publish.
//!
//! Others may use the same Redis: what they publish is rejected, since it does not bear the authentication code of this log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::key::MessageKey;
use super::message::{EVENT_BYTES_MAX, Message};
use super::{Backoff, Context, HEARTBEAT_INTERVAL, RedisUrl, SILENCE_MAX};
use crate::cursor::Seq;
use crate::error::Error;
use crate::event::Event;
use crate::store::Store;
use crate::time::Timestamp;

const NAME: &str = "redis";
/// Bytes of events that wait to be sent; what comes beyond it is dropped.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Batches that wait to be sent.
const QUEUE_BATCHES_MAX: usize = 1024;
/// Bytes of events in one message, exceeded by one event at most.
const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// How long a connection, or an answer, is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What could not be done with Redis.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("no response in time")]
    Silent,
    #[error("the connection was closed")]
    Closed,
}

/// A batch on its way, with its share of the bytes that may wait.
#[derive(Debug)]
struct Outgoing {
    events: Vec<Event>,
    permit: OwnedSemaphorePermit,
}

/// The end of the queue that the committer holds.
#[derive(Debug)]
pub(crate) struct Publisher {
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
    context: Context,
}

impl Publisher {
    pub(super) fn publish(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let bytes = events.iter().map(|event| event.frame().len()).sum::<usize>();
        let permit = u32::try_from(bytes).ok().and_then(|bytes| Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok());
        let sent = permit.is_some_and(|permit| self.queue.try_send(Outgoing { events: events.to_vec(), permit }).is_ok());
        if !sent {
            self.context.stats.broker.dropped.add(events.len() as u64);
        }
    }
}

/// Connects, and starts to send and to receive. While Redis is away it is tried again: a server that is started during an
/// outage is as good as one that runs through it.
///
/// # Errors
/// `Internal` when Redis answers that it will not be used so, `Unavailable` when the store does not answer.
pub(super) async fn start(url: &RedisUrl, store: &Store, context: Context) -> Result<(Publisher, Vec<JoinHandle<()>>), Error> {
    let client = (*url.0).clone();
    // If the log was given another epoch meanwhile, this key is nobody's, and the follower notices the epoch.
    let key = Arc::new(MessageKey::new(&store.secret().await?, context.epoch));
    let connected = async { Ok((connect(&client).await?, subscribe(&client, key.channel()).await?)) };
    let (connection, messages) = match connected.await {
        Ok((connection, messages)) => {
            context.note(true, NAME, None);
            (Some(connection), Some(messages))
        }
        Err(trouble) if is_outage(&trouble) => {
            Context::away(NAME, Some(&trouble));
            (None, None)
        }
        Err(trouble) => return Err(Error::Internal { what: cannot_use(url, &trouble), source: None }),
    };
    let (queue, batches) = mpsc::channel(QUEUE_BATCHES_MAX);
    let server = Uuid::now_v7();
    let sender = Sender { client: client.clone(), connection, server, key: Arc::clone(&key), context: context.clone() };
    let receiver = Receiver { client, server, key, context: context.clone() };
    let tasks = vec![tokio::spawn(sender.run(batches)), tokio::spawn(receiver.run(messages))];
    Ok((Publisher { queue, bytes: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)), context }, tasks))
}

/// Whether the same settings may do later.
fn is_outage(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Silent | Trouble::Closed => true,
        // A certificate that is not trusted, or a list of those that are that cannot be read, is not mended by waiting.
        Trouble::Redis(error) => {
            (error.is_io_error() && !is_tls(error))
                || matches!(error.code(), Some("LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN"))
        }
    }
}

/// Whether an error of input and output is one of TLS: rustls says by a kind that the sides did not agree, and what else is no
/// `std::io::Error` is about its settings.
fn is_tls(error: &RedisError) -> bool {
    let shared =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>());
    let io = shared.and_then(|shared| shared.downcast_ref::<std::io::Error>());
    io.is_none_or(|error| error.kind() == std::io::ErrorKind::InvalidData)
}

/// Says what keeps Redis from being used, and what would help.
fn cannot_use(url: &RedisUrl, trouble: &Trouble) -> String {
    let code = match trouble {
        Trouble::Redis(error) => error.code().unwrap_or_default(),
        Trouble::Silent | Trouble::Closed => "",
    };
    match code {
        "NOAUTH" => format!("Redis at {url} requires a password: put it into the URL, as redis://:PASSWORD@HOST"),
        "WRONGPASS" => format!("Redis at {url} rejects the user or the password"),
        "NOPERM" => format!("Redis at {url} does not allow this user to publish and subscribe"),
        _ => match trouble {
            Trouble::Redis(error) if error.kind() == redis::ErrorKind::AuthenticationFailed => {
                format!("Redis at {url} rejects the user or the password")
            }
            Trouble::Redis(error) if error.is_io_error() && is_tls(error) => {
                format!("Redis at {url} cannot be used over TLS: {trouble}")
            }
            _ => format!("Redis at {url} cannot be used: {trouble}"),
        },
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, Trouble> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER_TIMEOUT)).set_response_timeout(Some(ANSWER_TIMEOUT));
    let connecting = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        Ok(connection)
    };
    timeout(ANSWER_TIMEOUT, connecting).await.unwrap_or(Err(Trouble::Silent))
}

async fn subscribe(client: &Client, channel: &str) -> Result<redis::aio::PubSubStream, Trouble> {
    let subscribing = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok(subscription.into_on_message())
    };
    timeout(ANSWER_TIMEOUT, subscribing).await.unwrap_or(Err(Trouble::Silent))
}

/// Sends what is committed here.
struct Sender {
    client: Client,
    connection: Option<MultiplexedConnection>,
    server: Uuid,
    key: Arc<MessageKey>,
    context: Context,
}

impl Sender {
    /// Sends until the committer has ended, and what it left has been sent or dropped.
    async fn run(mut self, mut batches: mpsc::Receiver<Outgoing>) {
        let mut backoff = Backoff::new();
        let mut may_connect = Instant::now();
        loop {
            let (events, permits) = match timeout(HEARTBEAT_INTERVAL, batches.recv()).await {
                Ok(Some(first)) => gather(first, &mut batches),
                Ok(None) => return,
                Err(_) => (Vec::new(), Vec::new()),
            };
            if self.connection.is_none() && Instant::now() >= may_connect {
                self.connection = connect(&self.client).await.ok();
                may_connect = Instant::now() + backoff.next();
            }
            match self.send_all(&events).await {
                Ok(()) => backoff = Backoff::new(),
                Err(trouble) => {
                    tracing::debug!(error = &trouble as &dyn std::error::Error, "message was not sent");
                    self.connection = None;
                    self.context.stats.broker.dropped.add(events.len() as u64);
                }
            }
            drop(permits);
        }
    }

    /// Sends events, or a heartbeat if there are none.
    async fn send_all(&mut self, events: &[Event]) -> Result<(), Trouble> {
        if events.is_empty() {
            return self.send(events).await;
        }
        for events in messages(events) {
            self.send(events).await?;
        }
        Ok(())
    }

    async fn send(&mut self, events: &[Event]) -> Result<(), Trouble> {
        let connection = self.connection.as_mut().ok_or(Trouble::Closed)?;
        let head = events.last().map_or_else(|| self.context.merge.log().bounds().head, |last| last.seq);
        let message = Message { server: self.server, sent_at: Timestamp::now(), head, events: events.to_vec() };
        let publish = redis::cmd("PUBLISH").arg(self.key.channel()).arg(message.encode(&self.key)).to_owned();
        publish.query_async::<()>(connection).await?;
        self.context.stats.broker.sent.add(1);
        Ok(())
    }
}

/// Joins what waits, up to the bound of a message.
fn gather(first: Outgoing, batches: &mut mpsc::Receiver<Outgoing>) -> (Vec<Event>, Vec<OwnedSemaphorePermit>) {
    let (mut events, mut permits, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(Outgoing { events: more, permit }) = next {
        bytes += permit.num_permits();
        events.extend(more);
        permits.push(permit);
        next = if bytes < MESSAGE_BYTES_MAX { batches.try_recv().ok() } else { None };
    }
    (events, permits)
}

/// Cuts events into messages.
fn messages(events: &[Event]) -> Vec<&[Event]> {
    let (mut messages, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (i, event) in events.iter().enumerate() {
        bytes += event.frame().len() + EVENT_BYTES_MAX;
        if bytes >= MESSAGE_BYTES_MAX {
            messages.push(&events[begin..=i]);
            (begin, bytes) = (i + 1, 0);
        }
    }
    if begin < events.len() {
        messages.push(&events[begin..]);
    }
    messages
}

/// Receives what is committed elsewhere.
struct Receiver {
    client: Client,
    server: Uuid,
    key: Arc<MessageKey>,
    context: Context,
}

impl Receiver {
    async fn run(self, messages: Option<redis::aio::PubSubStream>) {
        let stop = self.context.stop.clone();
        let _ = stop.run_until_cancelled(self.receive(messages)).await;
    }

    async fn receive(&self, mut messages: Option<redis::aio::PubSubStream>) {
        let mut backoff = Backoff::new();
        loop {
            let trouble = match messages.take() {
                Some(messages) => self.take_all(messages, &mut backoff).await,
                None => match subscribe(&self.client, self.key.channel()).await {
                    Ok(subscribed) => {
                        messages = Some(subscribed);
                        continue;
                    }
                    Err(trouble) => trouble,
                },
            };
            self.context.note(false, NAME, Some(&trouble));
            sleep(backoff.next()).await;
        }
    }

    /// Takes messages until the connection ends or falls silent: there are heartbeats, our own among them. What is rejected is
    /// no sign that messages come in.
    async fn take_all(&self, mut messages: redis::aio::PubSubStream, backoff: &mut Backoff) -> Trouble {
        let mut silent_at = Instant::now() + SILENCE_MAX;
        loop {
            let Ok(next) = timeout_at(silent_at, messages.next()).await else { return Trouble::Silent };
            let Some(payload) = next else { return Trouble::Closed };
            match Message::decode(payload.get_payload_bytes(), &self.key) {
                Some(message) => {
                    self.context.note(true, NAME, None);
                    *backoff = Backoff::new();
                    silent_at = Instant::now() + SILENCE_MAX;
                    self.take(message);
                }
                None => self.context.reject(NAME),
            }
        }
    }

    fn take(&self, message: Message) {
        if message.server == self.server {
            return;
        }
        let stats = &self.context.stats.broker;
        stats.received.add(1);
        if !message.events.is_empty() {
            stats.lag_us.add_duration(Timestamp::now().since(message.sent_at), 1);
        }
        // A sender's batches may have others' between them.
        for run in message.events.chunk_by(|event, next| event.seq.next() == next.seq) {
            self.context.merge.offer(run, run.last().map_or(Seq::ZERO, |last| last.seq));
        }
        self.context.merge.offer(&[], message.head);
    }
}
