//! Writers: logins, contacts and messages over many connections, and what each was told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sambad_client::{Client, ContactId, Error, Event, NewContact, NewMessage, NewUser, Seq, UserId};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::soon;
use crate::world::{RETRY, World};

/// What a write is of; no two writes of a load are of the same, so that an event tells whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    User(String),
    Contact(String, String),
    Removal(String),
    Message(String),
}

impl Subject {
    /// What the event is of.
    pub(crate) fn of(event: &Event) -> Self {
        let data: Value = event.decode().unwrap();
        let text = |name: &str| data[name].as_str().unwrap_or_else(|| panic!("no {name} in {data}")).to_owned();
        match event.event_type.as_str() {
            "user_created" => Self::User(text("username")),
            "contact_added" => Self::Contact(text("user_id"), text("contact_user_id")),
            "contact_removed" => Self::Removal(text("id")),
            "message_sent" => Self::Message(text("content")),
            other => panic!("unknown type of event {other}"),
        }
    }
}

/// What a writer knows of a write in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered with this seq, when the layer's log had this length.
    Acknowledged { seq: u64, log_bytes: u64, replayed: bool },
    /// Refused for certain.
    Refused,
    /// Sent without a key, and never answered, or answered "outcome unknown".
    Unknown,
}

/// A write and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) subject: Subject,
    pub(crate) outcome: Outcome,
}

/// Answers so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) acknowledged: u64,
    /// 503s, those that were retried included.
    pub(crate) refused: u64,
}

/// Writers at work.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    world: Arc<World>,
    writes: Mutex<Vec<Write>>,
    answers: watch::Sender<Answers>,
}

impl Load {
    /// Starts `writers`, each with connections of its own. What they choose follows from `seed`.
    pub(crate) fn start(world: &Arc<World>, writers: u64, seed: u64) -> Self {
        let shared = Shared { world: Arc::clone(world), writes: Mutex::default(), answers: watch::Sender::default() };
        let (shared, stop, mut tasks) = (Arc::new(shared), CancellationToken::new(), JoinSet::new());
        for number in 0..writers {
            let rng = fastrand::Rng::with_seed(seed.wrapping_add(number));
            let client = world.client();
            let writer = Writer { number, count: 0, rng, client, shared: Arc::clone(&shared), stop: stop.clone() };
            tasks.spawn(writer.run());
        }
        Self { shared, tasks, stop }
    }

    pub(crate) fn answers(&self) -> Answers {
        *self.shared.answers.borrow()
    }

    /// Waits until the answers are such.
    pub(crate) async fn until(&self, what: &str, reached: impl FnMut(&Answers) -> bool) {
        let mut answers = self.shared.answers.subscribe();
        soon(what, answers.wait_for(reached)).await.unwrap();
    }

    /// Waits for `n` more acknowledgements.
    pub(crate) async fn acknowledged(&self, n: u64) {
        let before = self.answers().acknowledged;
        self.until("acknowledgements", |answers| answers.acknowledged >= before + n).await;
    }

    /// What is known of the writes that ended so far.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.shared.writes.lock().unwrap().clone()
    }

    /// Lets each writer end what it began, which takes a server, and gives all writes.
    pub(crate) async fn stop(mut self) -> Vec<Write> {
        self.stop.cancel();
        while let Some(ended) = soon("end of the writers", self.tasks.join_next()).await {
            ended.expect("writers do not panic");
        }
        self.writes()
    }
}

struct Writer {
    number: u64,
    count: u64,
    rng: fastrand::Rng,
    client: Client,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// What an accepted write made.
enum Made {
    User(UserId),
    Contact(ContactId),
    Nothing,
}

impl Writer {
    async fn run(mut self) {
        // With a key, so that it is acknowledged in the end.
        let phone = self.phone();
        let Some(Made::User(me)) = self.write(Subject::User(phone), true).await else { panic!("a first login is answered") };
        let (mut strangers, mut contacts) = (Vec::new(), Vec::new());
        while !self.stop.is_cancelled() {
            let keyed = self.rng.bool();
            match self.rng.u8(0..10) {
                0..2 => {
                    let phone = self.phone();
                    if let Some(Made::User(user)) = self.write(Subject::User(phone), keyed).await {
                        strangers.push(user);
                    }
                }
                2..4 if !strangers.is_empty() => {
                    let stranger = strangers.swap_remove(self.rng.usize(..strangers.len()));
                    let pair = Subject::Contact(me.to_string(), stranger.to_string());
                    if let Some(Made::Contact(contact)) = self.write(pair, keyed).await {
                        contacts.push(contact);
                    }
                }
                4 if !contacts.is_empty() => {
                    let contact: ContactId = contacts.swap_remove(self.rng.usize(..contacts.len()));
                    self.write(Subject::Removal(contact.to_string()), false).await;
                }
                _ => {
                    let message = self.message(me);
                    self.write(message, keyed).await;
                }
            }
        }
    }

    fn phone(&mut self) -> String {
        self.count += 1;
        format!("+999{:04}{:08}", self.number, self.count)
    }

    /// A message whose text begins with who wrote it, and is long now and then: a batch is to be of many pages.
    fn message(&mut self, me: UserId) -> Subject {
        self.count += 1;
        let length = if self.rng.u8(0..8) == 0 { self.rng.usize(1000..4000) } else { self.rng.usize(1..200) };
        Subject::Message(format!("{me} {} {}", self.count, "x".repeat(length)))
    }

    /// Writes until it is known how it ended: with a key until it is acknowledged, else until it may have been stored.
    async fn write(&mut self, subject: Subject, keyed: bool) -> Option<Made> {
        let key = format!("{}-{}-{}", self.number, self.count, self.rng.u64(..));
        let client = if keyed { self.client.with_idempotency_key(&key).unwrap() } else { self.client.clone() };
        loop {
            let outcome = match send(&client, &subject).await {
                Ok((Some(seq), made, replayed)) => {
                    let log_bytes = self.shared.world.log_bytes();
                    self.ended(subject, Outcome::Acknowledged { seq: seq.0, log_bytes, replayed });
                    self.shared.answers.send_modify(|answers| answers.acknowledged += 1);
                    return Some(made);
                }
                Ok((None, ..)) => panic!("{subject:?} was there before"),
                // Nothing was sent.
                Err(Error::Connect { .. }) => None,
                Err(error) => Some(self.judge(&error)),
            };
            if let Some(outcome) = outcome
                && !keyed
            {
                self.ended(subject, outcome);
                tokio::time::sleep(RETRY).await;
                return None;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// What a failure says about the write. A server that answers must answer as the contract has it.
    fn judge(&self, error: &Error) -> Outcome {
        match error {
            Error::Timeout { .. } | Error::Transport { .. } => Outcome::Unknown,
            Error::Api { status: 503, code, message, retry_after: Some(_), .. } if code == "unavailable" => {
                self.shared.answers.send_modify(|answers| answers.refused += 1);
                if message == "Outcome unknown" { Outcome::Unknown } else { Outcome::Refused }
            }
            other => panic!("a write was answered {other:?}"),
        }
    }

    fn ended(&self, subject: Subject, outcome: Outcome) {
        self.shared.writes.lock().unwrap().push(Write { subject, outcome });
    }
}

async fn send(client: &Client, subject: &Subject) -> Result<(Option<Seq>, Made, bool), Error> {
    Ok(match subject {
        Subject::User(phone) => {
            let answer = client.login(&NewUser::new(phone)).await?;
            (answer.seq, Made::User(answer.value.user.id), answer.replayed)
        }
        Subject::Contact(user, contact) => {
            let id = |text: &String| text.parse::<UserId>().unwrap();
            let answer = client.add_contact(&NewContact::new(id(user), id(contact))).await?;
            (answer.seq, Made::Contact(answer.value.contact.id), answer.replayed)
        }
        Subject::Removal(contact) => (client.remove_contact(contact.parse().unwrap()).await?.seq, Made::Nothing, false),
        Subject::Message(content) => {
            let me: UserId = content[..36].parse().unwrap();
            let answer = client.send_message(&NewMessage::text(me, me, content)).await?;
            (answer.seq, Made::Nothing, answer.replayed)
        }
    })
}

/// How writes ended, and what the log says of those whose writers do not know.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    /// Of these, acknowledged by a retry that found the first attempt stored.
    pub(crate) replayed: u64,
    pub(crate) refused: u64,
    pub(crate) unknown_stored: u64,
    pub(crate) unknown_absent: u64,
}

/// Compares a whole log with what the writers were told: what was acknowledged is there once and where it was said to be, what
/// was refused is not, and nothing is there that nobody wrote.
pub(crate) fn audit(log: &[Event], writes: &[Write]) -> Tally {
    let mut stored: HashMap<Subject, u64> = HashMap::new();
    for event in log {
        let twice = stored.insert(Subject::of(event), event.seq.0);
        assert_eq!(twice, None, "{event:?} is there twice");
    }
    let mut tally = Tally::default();
    for write in writes {
        let found = stored.remove(&write.subject);
        match write.outcome {
            Outcome::Acknowledged { seq, replayed, .. } => {
                assert_eq!(found, Some(seq), "{write:?} was acknowledged");
                tally.acknowledged += 1;
                tally.replayed += u64::from(replayed);
            }
            Outcome::Refused => {
                assert_eq!(found, None, "{write:?} was refused");
                tally.refused += 1;
            }
            Outcome::Unknown if found.is_some() => tally.unknown_stored += 1,
            Outcome::Unknown => tally.unknown_absent += 1,
        }
    }
    assert!(stored.is_empty(), "nobody wrote {stored:?}");
    tally
}
