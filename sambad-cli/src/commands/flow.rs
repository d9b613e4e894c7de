//! `flow`: the documented test of a server, step by step.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use sambad_client::model::{Analytics, Contact, Message, User};
use sambad_client::{
    Answer, Client, ContactQuery, Event, EventKind, EventStream, EventStreamOptions, Item, NewContact, NewMessage, NewUser, Seq,
    State, Transport, Verifier,
};

use crate::output::{Output, Role};
use crate::values;

/// How patient the check is.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct FlowArgs {
    /// Time limit of each step
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    timeout: Duration,
}

const AFTER_HELP: &str = "\
It creates two users with random phone numbers, a contact and a message, so it is safe on a server in use.
With authentication, the token needs the roles service and admin.

Exit code: 0 if every step passed; 1 at the first step that failed.";

impl FlowArgs {
    pub(crate) async fn run(self, client: &Client, output: &mut Output) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut steps = Steps { output, timeout: self.timeout, count: 0 };
        flow(client, &mut steps).await?;
        let (count, total) = (steps.count, begin.elapsed());
        if !output.wants_json() {
            output.line(format_args!("\nall {count} steps passed in {}", millis(total)))?;
        }
        Ok(())
    }
}

/// What is told about each step.
struct Steps<'a> {
    output: &'a mut Output,
    timeout: Duration,
    count: u32,
}

impl Steps<'_> {
    /// Does one step within its time, and says how it went.
    async fn step<T>(&mut self, what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        self.count += 1;
        let begin = Instant::now();
        let outcome = match tokio::time::timeout(self.timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!("no result within {}", millis(self.timeout))),
        };
        self.tell(what, outcome.is_ok(), begin.elapsed())?;
        outcome.with_context(|| format!("step {}, {what}", self.count))
    }

    fn tell(&mut self, what: &str, ok: bool, took: Duration) -> anyhow::Result<()> {
        let line = if self.output.wants_json() {
            let (what, ms) = (serde_json::Value::from(what), took.as_secs_f64() * 1000.0);
            format!("{{\"step\":{},\"what\":{what},\"ok\":{ok},\"ms\":{ms:.2}}}", self.count)
        } else {
            let mark = if ok { self.output.paint(Role::Good, "ok  ") } else { self.output.paint(Role::Bad, "FAIL") };
            format!("{mark} {:2}  {what:44} {:>9}", self.count, millis(took))
        };
        self.output.line(line)?;
        Ok(self.output.flush()?)
    }
}

async fn flow(client: &Client, steps: &mut Steps<'_>) -> anyhow::Result<()> {
    steps.step("the server is healthy", health(client)).await?;
    let before = steps.step("analytics are readable", analytics(client)).await?;
    let mut live = steps.step("a WebSocket is live", Live::open(client)).await?;
    let one = steps.step("first user logs in", login(client)).await?;
    let two = steps.step("second user logs in", login(client)).await?;
    steps.step("user_created arrives live for both", live.users([&one, &two])).await?;
    let contact = steps.step("first user adds second as a contact", add_contact(client, &one.value, &two.value)).await?;
    steps.step("contact_added arrives live, with its fields", live.contact(&contact)).await?;
    steps.step("the contact is in the list", listed(client, &contact.value)).await?;
    let message = steps.step("first user sends second a message", send(client, &one.value, &two.value)).await?;
    steps.step("message_sent arrives live, with its fields", live.message(&message)).await?;
    steps.step("analytics count all new rows", counted(client, &before)).await?;
    live.stream.close().await;
    Ok(())
}

async fn health(client: &Client) -> anyhow::Result<()> {
    let health = client.health().await?.value;
    ensure!(health.is_healthy(), "status {:?}, database {:?}", health.status, health.database);
    Ok(())
}

async fn analytics(client: &Client) -> anyhow::Result<Analytics> {
    Ok(client.analytics().await?.value)
}

/// Logs a user in whom nobody can have seen before, in the form that the apps use.
async fn login(client: &Client) -> anyhow::Result<Answer<User>> {
    let national = format!("9{:09}", fastrand::u32(..1_000_000_000));
    let user = NewUser { country_code: Some("+91".into()), ..NewUser::new(&national) };
    let answer = client.login(&user).await?;
    ensure!(answer.value.created, "{} already exists: run the flow again", answer.value.user.phone);
    let expected = format!("+91{national}");
    ensure!(answer.value.user.username.as_str() == expected, "username is {}, expected {expected}", answer.value.user.username);
    Ok(answer.map(|login| login.user))
}

async fn add_contact(client: &Client, one: &User, two: &User) -> anyhow::Result<Answer<Contact>> {
    let answer = client.add_contact(&NewContact::new(one.id, two.id)).await?;
    let Contact { user_id, contact_user_id, .. } = answer.value.contact;
    ensure!((user_id, contact_user_id) == (one.id, two.id), "the response names other users");
    Ok(answer.map(|added| added.contact))
}

async fn listed(client: &Client, contact: &Contact) -> anyhow::Result<()> {
    let list = client.contacts(&ContactQuery { user: Some(contact.user_id), ..ContactQuery::default() }).await?;
    ensure!(
        list.value.iter().any(|entry| entry.contact.id == contact.id),
        "this contact is not among {} contacts",
        list.value.len()
    );
    Ok(())
}

async fn send(client: &Client, one: &User, two: &User) -> anyhow::Result<Answer<Message>> {
    Ok(client.send_message(&NewMessage::text(one.id, two.id, "hello from the flow")).await?)
}

/// Others may write at the same time: at least ours must be counted.
async fn counted(client: &Client, before: &Analytics) -> anyhow::Result<()> {
    let after = client.analytics().await?.value;
    for (what, before, after, added) in [
        ("users", before.total_users, after.total_users, 2),
        ("contacts", before.total_contacts, after.total_contacts, 1),
        ("messages", before.total_messages, after.total_messages, 1),
    ] {
        ensure!(after >= before + added, "{what}: {before} before, {after} after; expected at least {added} more");
    }
    Ok(())
}

/// A live stream whose order is checked on the way.
struct Live {
    stream: EventStream,
    verifier: Verifier,
}

impl Live {
    async fn open(client: &Client) -> anyhow::Result<Self> {
        // What is checked is the WebSocket: another way that works is no success.
        let options = EventStreamOptions { transport: Transport::WebSocket, ..EventStreamOptions::default() };
        let mut stream = client.stream(options);
        loop {
            match stream.next().await.context("the stream ended")?? {
                Item::State(State::Live { cursor, .. }) => {
                    return Ok(Self { stream, verifier: Verifier::unfiltered(cursor.seq) });
                }
                Item::State(State::Reconnecting { why, .. }) => return Err(why.into()),
                _ => {}
            }
        }
    }

    /// Waits for the event that a write caused.
    async fn event<T>(&mut self, kind: EventKind, answer: &Answer<T>) -> anyhow::Result<Event> {
        let seq = answer.seq.context("the response has no seq")?;
        loop {
            match self.stream.next().await.context("the stream ended")?? {
                Item::Event(event) => {
                    self.verifier.check(event.seq).map_err(|anomaly| anyhow::anyhow!("{anomaly}"))?;
                    if event.seq == seq {
                        ensure!(event.kind() == Some(kind), "the event at seq {seq} is {:?}", event.event_type);
                        return Ok(event);
                    }
                    ensure!(event.seq < seq, "the stream skipped seq {seq}");
                }
                Item::Resync(resync) => bail!("resync: {}", resync.reason.as_str()),
                _ => {}
            }
        }
    }

    async fn users(&mut self, users: [&Answer<User>; 2]) -> anyhow::Result<()> {
        for user in users {
            let event = self.event(EventKind::UserCreated, user).await?;
            let User { id, username, email, created_at, .. } = &user.value;
            let expected = serde_json::json!({ "id": id, "username": username, "email": email, "created_at": created_at });
            compare(&event, &expected, user.seq)?;
        }
        Ok(())
    }

    async fn contact(&mut self, contact: &Answer<Contact>) -> anyhow::Result<()> {
        let event = self.event(EventKind::ContactAdded, contact).await?;
        let Contact { id, user_id, user_username, contact_user_id, contact_user_username, created_at, .. } = &contact.value;
        let expected = serde_json::json!({
            "id": id, "user_id": user_id, "user_username": user_username, "contact_user_id": contact_user_id,
            "contact_user_username": contact_user_username, "created_at": created_at,
        });
        compare(&event, &expected, contact.seq)
    }

    async fn message(&mut self, message: &Answer<Message>) -> anyhow::Result<()> {
        let event = self.event(EventKind::MessageSent, message).await?;
        compare(&event, &serde_json::to_value(&message.value)?, message.seq)
    }
}

/// Checks that an event has the fields of the answer that announced it, and its time.
fn compare(event: &Event, expected: &serde_json::Value, seq: Option<Seq>) -> anyhow::Result<()> {
    let data: serde_json::Value = event.decode()?;
    for (key, value) in expected.as_object().into_iter().flatten() {
        ensure!(data.get(key) == Some(value), "data.{key} is {}, expected {value}", data.get(key).unwrap_or_default());
    }
    let created_at = data.get("created_at").and_then(|at| at.as_str());
    ensure!(created_at == Some(&event.timestamp.to_string()), "timestamp {} differs from created_at", event.timestamp);
    ensure!(Some(event.seq) == seq, "seq {} differs from the response's", event.seq);
    Ok(())
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
