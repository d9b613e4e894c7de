//! A writer: asks, is refused, asks again, loses patience, and holds the store to every answer.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use sambad_core::{Command, ContactId, Error, ErrorKind, IdempotencyKey, Outcome, Receipt, Sambad, Seq, UserRef};
use tokio::time::timeout;

use super::chance::locked;
use super::truth::{Answer, MESSAGE_MARK, PHONE_MARK};
use super::world::World;

const ATTEMPTS_MAX: usize = 4;

/// A command, and whether it must be refused.
struct Wanted {
    command: Command,
    bad: bool,
}

pub(super) async fn writer(world: Arc<World>, operations: usize) {
    let mut contacts = Vec::new();
    for _ in 0..operations {
        world.pause().await;
        let keyed = world.conditions.chance.hits(600);
        let kind = world.conditions.chance.below(16);
        let number = world.truth().begin(keyed, kind >= 14);
        let wanted = wanted(&world, kind, number, &mut contacts);
        let key = keyed.then(|| key(number, 1));
        if let Some(receipt) = carry_out(&world, number, &wanted, key.as_ref()).await {
            if let Outcome::ContactAdded { contact, .. } = &receipt.outcome {
                contacts.push(contact.id);
            }
            if keyed && world.conditions.chance.hits(200) {
                reuse(&world, number, wanted.command).await;
            }
        }
    }
}

fn key(number: usize, fingerprint: u8) -> IdempotencyKey {
    IdempotencyKey::new(format!("key-{number}"), [fingerprint; 32]).unwrap()
}

fn wanted(world: &World, kind: u64, number: usize, contacts: &mut Vec<ContactId>) -> Wanted {
    let chance = &world.conditions.chance;
    let somebody = || UserRef::Id(world.users[chance.index(world.users.len())]);
    let message = |from, to| {
        // Around the lengths at which the header of a frame grows.
        let length = if chance.hits(50) { chance.between(3_000, 4_000) } else { chance.index(60) };
        let content = format!("{MESSAGE_MARK}{number}{:length$}", "");
        Command::SendMessage { from, to, content, message_type: "text".into() }
    };
    let nobody = || UserRef::Phone("+14155550100".parse().unwrap());
    let command = match kind {
        8..10 => Command::Login { phone: format!("{PHONE_MARK}{number:08}").parse().unwrap(), name: None },
        10..12 => {
            let first = chance.index(world.users.len());
            let second = (first + 1 + chance.index(world.users.len() - 1)) % world.users.len();
            let [user, contact] = [first, second].map(|index| UserRef::Id(world.users[index]));
            Command::AddContact { user, contact, name: None }
        }
        12..14 if !contacts.is_empty() => {
            Command::RemoveContact { id: contacts.swap_remove(chance.index(contacts.len())), owner: None }
        }
        14 => message(somebody(), nobody()),
        15 => {
            let user = somebody();
            Command::AddContact { user: user.clone(), contact: user, name: None }
        }
        _ => message(somebody(), somebody()),
    };
    Wanted { command, bad: kind >= 14 }
}

/// Asks until there is an answer, or patience runs out.
async fn carry_out(world: &World, number: usize, wanted: &Wanted, key: Option<&IdempotencyKey>) -> Option<Receipt> {
    for _ in 0..ATTEMPTS_MAX {
        match attempt(world, number, wanted.command.clone(), key.cloned()).await {
            Some(Ok(receipt)) => return Some(receipt),
            Some(Err(Error::OutcomeUnknown(_))) | None => {}
            Some(Err(error)) => match error.kind() {
                ErrorKind::Unavailable | ErrorKind::Overloaded => {}
                ErrorKind::Invalid | ErrorKind::NotFound => {
                    let gone = matches!(error, Error::ContactNotFound { .. });
                    assert!(wanted.bad || gone, "operation {number} was refused: {error}");
                    return None;
                }
                _ => panic!("operation {number}: {error}"),
            },
        }
        world.pause().await;
    }
    None
}

/// One attempt; `None` when the writer did not wait for the answer.
async fn attempt(world: &World, number: usize, command: Command, key: Option<IdempotencyKey>) -> Option<Result<Receipt, Error>> {
    let conditions = &world.conditions;
    world.truth().attempted(number);
    let mut answer = AtWake::new(&world.sambad, world.sambad.execute(command, key));
    let result = if conditions.strikes(conditions.odds.abandons) {
        conditions.note("abandoned", number as u64, 0);
        timeout(conditions.chance.millis(10), &mut answer).await.ok()
    } else {
        Some((&mut answer).await)
    };
    let (name, known) = match &result {
        Some(Ok(receipt)) if receipt.replayed => ("replayed", Answer::Receipt(receipt, answer.announced())),
        Some(Ok(receipt)) => ("acknowledged", Answer::Receipt(receipt, answer.announced())),
        Some(Err(Error::OutcomeUnknown(_))) => ("outcome unknown", Answer::Unknown),
        None => ("no answer", Answer::Unknown),
        Some(Err(Error::Overloaded)) => ("overloaded", Answer::Refused),
        Some(Err(_)) => ("refused", Answer::Refused),
    };
    let seq = result.as_ref().and_then(|result| result.as_ref().ok()).and_then(|receipt| receipt.seq);
    conditions.note(name, number as u64, seq.map_or(0, |seq| seq.0));
    world.truth().answered(number, &known);
    result
}

/// The same key with another request, which must be refused: the first was acknowledged.
async fn reuse(world: &World, number: usize, command: Command) {
    match world.sambad.execute(command, Some(key(number, 2))).await {
        Err(Error::IdempotencyKeyReused) => world.conditions.note("key reused", number as u64, 0),
        Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Overloaded) => {}
        other => panic!("a key was taken for another request: {other:?}"),
    }
}

/// A future that remembers how far the log was announced at the very moment its answer was sent, not when it was polled.
struct AtWake<F> {
    future: Pin<Box<F>>,
    spy: Arc<Spy>,
}

struct Spy {
    sambad: Sambad,
    announced: AtomicU64,
    asked: Mutex<Option<Waker>>,
}

impl Wake for Spy {
    fn wake(self: Arc<Self>) {
        self.announced.store(self.sambad.bounds().head.0, Ordering::Relaxed);
        if let Some(asked) = locked(&self.asked).take() {
            asked.wake();
        }
    }
}

impl<F: Future> AtWake<F> {
    fn new(sambad: &Sambad, future: F) -> Self {
        let announced = AtomicU64::new(sambad.bounds().head.0);
        let spy = Arc::new(Spy { sambad: sambad.clone(), announced, asked: Mutex::new(None) });
        Self { future: Box::pin(future), spy }
    }

    fn announced(&self) -> Seq {
        Seq(self.spy.announced.load(Ordering::Relaxed))
    }
}

impl<F: Future> Future for AtWake<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        *locked(&self.spy.asked) = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(&self.spy));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}
