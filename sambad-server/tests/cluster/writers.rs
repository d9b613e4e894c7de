//! Writers that move from server to server until they are answered, and what they were told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sambad_client::{Answer, Client, Error, Event, NewContact, NewMessage, NewUser, Seq, UserId};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::soon;

/// Writers of each server: what they send at the same time contends within a server and between servers.
const WRITERS_EACH: usize = 2;
/// Phones that all writers log in, and add to each other's contacts: whoever comes second finds the first one's.
const SHARED_PHONES: usize = 200;
/// The pause before another attempt.
const RETRY: Duration = Duration::from_millis(20);

/// Writers at work.
#[derive(Debug)]
pub(crate) struct Writers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Shared {
    /// What each message said, and the seq that its writer was told.
    messages: Mutex<HashMap<String, Seq>>,
    acknowledged: watch::Sender<u64>,
    /// Attempts that had no answer, or one that says to try again.
    retried: watch::Sender<u64>,
}

struct Writer {
    name: String,
    count: u64,
    /// How long it waits for one server before it tries the next.
    patience: Duration,
    /// The one that it asks, then those that it asks when that one does not answer.
    servers: Vec<Client>,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Writers {
    /// Starts writers on each of `servers`, who wait for one so long before they try the next.
    pub(crate) fn start(servers: &[Client], patience: Duration) -> Self {
        let (shared, stop, mut tasks) = (Arc::new(Shared::default()), CancellationToken::new(), JoinSet::new());
        for number in 0..servers.len() * WRITERS_EACH {
            let mut servers = servers.to_vec();
            let first = number % servers.len();
            servers.rotate_left(first);
            let name = format!("writer {number}");
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tasks.spawn(Writer { name, count: 0, patience, servers, shared, stop }.run(number));
        }
        Self { shared, tasks, stop }
    }

    /// Waits for `n` more acknowledgements.
    pub(crate) async fn acknowledged(&self, n: u64) {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let before = *acknowledged.borrow();
        soon("acknowledgements", acknowledged.wait_for(|now| *now >= before + n)).await.unwrap();
    }

    /// How often a write was tried again.
    pub(crate) fn retried(&self) -> u64 {
        *self.shared.retried.borrow()
    }

    /// Lets each writer end what it began; what each message said, and where it was said to be.
    pub(crate) async fn stop(mut self) -> HashMap<String, Seq> {
        self.stop.cancel();
        while let Some(ended) = soon("end of the writers", self.tasks.join_next()).await {
            ended.expect("writers do not panic");
        }
        std::mem::take(&mut self.shared.messages.lock().unwrap())
    }
}

impl Writer {
    async fn run(mut self, number: usize) {
        let me = self.login(format!("+4420{number:08}")).await;
        let mut contact = me;
        while !self.stop.is_cancelled() {
            match self.count % 6 {
                0 => {
                    let phone = format!("+1555{:07}", fastrand::usize(..SHARED_PHONES));
                    let stranger = self.login(phone).await;
                    if stranger != contact {
                        self.contact(contact, stranger).await;
                    }
                    contact = stranger;
                }
                _ => self.message(me).await,
            }
        }
    }

    async fn login(&mut self, phone: String) -> UserId {
        let user = NewUser::new(phone.as_str());
        self.write(|client| {
            let user = user.clone();
            async move { client.login(&user).await.map(|answer| (answer.seq, answer.value.user.id)) }
        })
        .await
        .1
    }

    async fn contact(&mut self, user: UserId, stranger: UserId) {
        let pair = NewContact::new(user, stranger);
        let add = |client: Client| {
            let pair = pair.clone();
            async move { client.add_contact(&pair).await.map(drop_value) }
        };
        self.write(add).await;
    }

    async fn message(&mut self, me: UserId) {
        let content = format!("{} says {}", self.name, self.count);
        let message = NewMessage::text(me, me, content.as_str());
        let send = |client: Client| {
            let message = message.clone();
            async move { client.send_message(&message).await.map(drop_value) }
        };
        let (seq, ()) = self.write(send).await;
        self.shared.messages.lock().unwrap().insert(content, seq.expect("a message is an event"));
    }

    /// Writes, with one key however often and whichever server is asked, until it is answered.
    async fn write<T, F>(&mut self, send: impl Fn(Client) -> F) -> (Option<Seq>, T)
    where
        F: Future<Output = Result<(Option<Seq>, T), Error>>,
    {
        self.count += 1;
        let key = format!("{}-{}-{}", self.name.replace(' ', "-"), self.count, fastrand::u64(..));
        loop {
            let client = self.servers[0].with_idempotency_key(&key).unwrap();
            match timeout(self.patience, send(client)).await {
                Ok(Ok(answer)) => {
                    self.shared.acknowledged.send_modify(|n| *n += 1);
                    return answer;
                }
                // Whatever the reason is, a server that cannot write says when to try again.
                Ok(Err(
                    Error::Connect { .. }
                    | Error::Transport { .. }
                    | Error::Timeout { .. }
                    | Error::Api { status: 503, retry_after: Some(_), .. },
                ))
                | Err(_) => {}
                Ok(Err(other)) => panic!("{}: a write was answered {other:?}", self.name),
            }
            self.shared.retried.send_modify(|n| *n += 1);
            self.servers.rotate_left(1);
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn drop_value<T>(answer: Answer<T>) -> (Option<Seq>, ()) {
    (answer.seq, ())
}

/// Compares the log with what the writers were told: each message is there once and where it was said to be, nobody wrote
/// anything else, and no user and no contact was made twice.
pub(crate) fn audit(log: &[Event], messages: &HashMap<String, Seq>) {
    let mut said = messages.clone();
    let mut made = HashMap::new();
    for event in log {
        let data: Value = event.decode().unwrap();
        let text = |name: &str| data[name].as_str().unwrap_or_else(|| panic!("no {name} in {data}")).to_owned();
        let what = match event.event_type.as_str() {
            "message_sent" => {
                let seq = said.remove(&text("content"));
                assert_eq!(seq, Some(event.seq), "{data} is not what its writer was told, or is there twice");
                continue;
            }
            "user_created" => text("username"),
            "contact_added" => format!("{} {}", text("user_id"), text("contact_user_id")),
            other => panic!("nobody wrote a {other}"),
        };
        let twice = made.insert(what, event.seq);
        assert_eq!(twice, None, "{data} was made twice");
    }
    assert!(said.is_empty(), "acknowledged and not there: {said:?}");
}
