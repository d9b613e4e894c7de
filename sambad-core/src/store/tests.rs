//! The promises of a store, tested through its own face: `open` is all that a second database has to provide.

mod asked;
pub(crate) mod database;
mod lists;
mod migration;

use std::collections::BTreeSet;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use self::database::{TestDatabase, on_every_database};
use super::*;
use crate::command::Outcome;
use crate::id::ContactId;
use crate::kind::EventKind;
use crate::limits::{IDEMPOTENCY_KEY_TTL, LAST_ACTIVE_STEP};
use crate::model::Contact;
use crate::phone::{CountryCode, WrittenPhone};

/// A store of its own for each test, and a clock that the test moves.
struct Fixture {
    store: Store,
    writer: Writer,
    clock: Timestamp,
    _database: TestDatabase,
}

impl Fixture {
    async fn on(database: TestDatabase) -> Self {
        let (store, writer) = open(&database.url(), &Limits::default()).await.unwrap();
        let clock = "2025-01-15T12:00:00Z".parse().unwrap();
        Self { store, writer, clock, _database: database }
    }

    fn later(&mut self, by: std::time::Duration) {
        self.clock = Timestamp::from_micros(self.clock.as_micros() + i64::try_from(by.as_micros()).unwrap());
    }

    async fn commit_keyed(&mut self, requests: Vec<(Command, Option<IdempotencyKey>)>) -> Committed {
        let requests: Vec<Request> = requests.into_iter().map(|(command, key)| Request { command, key }).collect();
        self.writer.set_clock(Clock::fixed(self.clock));
        self.writer.commit(&requests).await.unwrap()
    }

    async fn commit(&mut self, commands: Vec<Command>) -> Committed {
        self.commit_keyed(commands.into_iter().map(|command| (command, None)).collect()).await
    }

    async fn user(&mut self, phone: &str) -> User {
        match self.commit(vec![login(phone)]).await.results.remove(0).unwrap().outcome {
            Outcome::LoggedIn { user, .. } => user,
            other => panic!("{other:?}"),
        }
    }

    /// Counters must equal rows, and the log must be dense, whatever happened before.
    async fn assert_consistent(&self) {
        let analytics = self.store.analytics(self.clock).await.unwrap().value;
        let all = UserQuery::All { order: UserOrder::OldestFirst, after: None };
        let users = self.store.users(&all, 500).await.unwrap().value.items;
        let contacts = self.store.contacts(&ContactQuery { user: None, after: None }, 500).await.unwrap().value.items;
        let messages = self.store.messages(&MessageQuery { user: None, with: None, after: None }, 500).await.unwrap().value.items;
        let counted = (analytics.total_users, analytics.total_contacts, analytics.total_messages);
        assert_eq!(counted, (users.len() as u64, contacts.len() as u64, messages.len() as u64));
        let week = self.clock.day().minus(crate::limits::ACTIVE_DAYS);
        assert_eq!(analytics.active_users, users.iter().filter(|user| user.last_active_at.day() > week).count() as u64);
        let page = self.store.log_page(Seq::ZERO, &Filter::default(), 1000).await.unwrap();
        let seqs: Vec<u64> = page.rows.iter().map(|row| row.seq.0).collect();
        assert_eq!(seqs, (1..=page.bounds.head.0).collect::<Vec<_>>());
        assert!(page.rows.is_sorted_by_key(|row| row.created_at));
    }
}

fn login(phone: &str) -> Command {
    Command::Login { phone: phone.parse().unwrap(), name: None }
}

fn named(phone: &str, name: &str) -> Command {
    Command::Login { phone: phone.parse().unwrap(), name: Some(name.into()) }
}

fn phone(phone: &str) -> UserRef {
    UserRef::Phone(phone.parse().unwrap())
}

fn add(user: &str, contact: &str) -> Command {
    Command::AddContact { user: phone(user), contact: phone(contact), name: None }
}

fn message(from: &str, to: &str, content: &str) -> Command {
    Command::SendMessage { from: phone(from), to: phone(to), content: content.into(), message_type: "text".into() }
}

fn key(text: &str, fingerprint: u8) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::new(text, [fingerprint; 32]).unwrap())
}

fn contact(result: &Result<Receipt, Error>) -> Contact {
    match &result.as_ref().unwrap().outcome {
        Outcome::ContactAdded { contact, .. } | Outcome::ContactRemoved { contact } => contact.clone(),
        other => panic!("{other:?}"),
    }
}

const A: &str = "+919876543210";
const B: &str = "+919876543211";
const C: &str = "+14155550100";

on_every_database!(
    a_batch_is_carried_out_in_order,
    refused_commands_leave_their_neighbours_alone,
    contacts_can_be_removed_and_added_again_in_one_batch,
    idempotency_keys_keep_the_first_answer,
    refusals_are_not_kept,
    last_active_moves_once_a_minute,
    timestamps_never_run_backwards,
    a_restart_continues_the_log,
    keys_of_older_versions_are_known_by_their_bytes,
    users_are_found_by_either_reading,
);

/// Goal: commands of one batch see each other, in order. Method: users and what refers to them together.
async fn a_batch_is_carried_out_in_order(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let committed =
        fixture.commit(vec![add(A, B), login(A), login(B), add(A, B), add(A, B), message(B, A, "hi"), login(A)]).await;
    let seqs: Vec<_> =
        committed.results.iter().map(|result| result.as_ref().map(|receipt| receipt.seq.map(|seq| seq.0)).ok()).collect();
    assert_eq!(seqs, [None, Some(Some(1)), Some(Some(2)), Some(Some(3)), Some(None), Some(Some(4)), Some(None)]);
    let kinds: Vec<EventKind> = committed.events.iter().map(|event| event.kind).collect();
    use EventKind::{ContactAdded, MessageSent, UserCreated};
    assert_eq!(kinds, [UserCreated, UserCreated, ContactAdded, MessageSent]);
    fixture.assert_consistent().await;
}

/// Goal: a refused command leaves no trace and its neighbours alone. Method: every refusal among good ones.
async fn refused_commands_leave_their_neighbours_alone(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let nobody: ContactId = "00000000-0000-7000-8000-000000000000".parse().unwrap();
    let commands =
        vec![login(A), add(A, A), add(A, C), message(C, A, "x"), Command::RemoveContact { id: nobody, owner: None }, login(B)];
    let results = fixture.commit(commands).await.results;
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().map_err(Error::code).err()).collect();
    let expected = [None, Some("self_contact"), Some("user_not_found"), Some("user_not_found"), Some("contact_not_found"), None];
    assert_eq!(codes, expected);
    assert_eq!(fixture.store.bounds().await.unwrap().head, Seq(2));
    fixture.assert_consistent().await;
}

/// Goal: a pair may be removed and added again at once, from the store and from the batch. Method: both in one batch each.
async fn contacts_can_be_removed_and_added_again_in_one_batch(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let stored = contact(&fixture.commit(vec![login(A), login(B), add(A, B)]).await.results[2]);
    let remove = Command::RemoveContact { id: stored.id, owner: None };
    let results = fixture.commit(vec![remove.clone(), remove, add(A, B)]).await.results;
    assert_eq!(contact(&results[0]), stored);
    assert_eq!(results[1].as_ref().map_err(Error::code), Err("contact_not_found"));
    assert_ne!(contact(&results[2]).id, stored.id);
    fixture.assert_consistent().await;
}

/// Goal: a retry gets the first answer, with another request it is refused, and after a day it is new. Method: in one
/// batch, over batches, and with the clock moved.
async fn idempotency_keys_keep_the_first_answer(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let first = fixture.commit_keyed(vec![(login(A), key("k", 1)), (login(A), key("k", 1)), (login(B), key("k", 2))]).await;
    let original = first.results[0].as_ref().unwrap();
    let replayed = first.results[1].as_ref().unwrap();
    assert_eq!((&replayed.outcome, replayed.seq, replayed.cursor), (&original.outcome, original.seq, original.cursor));
    assert!(replayed.replayed && !original.replayed);
    assert_eq!(first.results[2].as_ref().map_err(Error::code), Err("idempotency_key_reused"));

    fixture.later(IDEMPOTENCY_KEY_TTL - std::time::Duration::from_secs(1));
    let again = fixture.commit_keyed(vec![(login(A), key("k", 1))]).await.results.remove(0).unwrap();
    assert_eq!((&again.outcome, again.seq, again.replayed), (&original.outcome, original.seq, true));

    fixture.later(std::time::Duration::from_secs(2));
    let new = fixture.commit_keyed(vec![(login(B), key("k", 2))]).await.results.remove(0).unwrap();
    assert_eq!((new.seq, new.replayed), (Some(Seq(2)), false));
    fixture.assert_consistent().await;
}

/// Goal: a refused command keeps no answer: its key is free for a retry. Method: add a contact before and after they exist.
async fn refusals_are_not_kept(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let refused = fixture.commit_keyed(vec![(add(A, B), key("k", 1))]).await;
    assert!(refused.results[0].is_err());
    fixture.commit(vec![login(A), login(B)]).await;
    let accepted = fixture.commit_keyed(vec![(add(A, B), key("k", 1))]).await.results.remove(0).unwrap();
    assert_eq!((accepted.seq, accepted.replayed), (Some(Seq(3)), false));
}

/// Goal: activity moves at most once a minute, and its day's count with it. Method: the clock moved around both bounds.
async fn last_active_moves_once_a_minute(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let created = fixture.user(A).await;
    fixture.later(LAST_ACTIVE_STEP - std::time::Duration::from_micros(1));
    assert_eq!(fixture.user(A).await.last_active_at, created.last_active_at);
    fixture.later(std::time::Duration::from_micros(1));
    assert_eq!(fixture.user(A).await.last_active_at, fixture.clock);
    fixture.assert_consistent().await;
    fixture.later(std::time::Duration::from_secs(8 * 24 * 3600));
    let idle = fixture.store.analytics(fixture.clock).await.unwrap().value;
    assert_eq!((idle.active_users, idle.inactive_users, idle.new_users, idle.growth), (0, 1, 0, 0.0));
    fixture.user(B).await;
    fixture.user(A).await;
    let busy = fixture.store.analytics(fixture.clock).await.unwrap().value;
    assert_eq!((busy.active_users, busy.new_users, busy.growth), (2, 1, 50.0));
    fixture.assert_consistent().await;
}

/// Goal: time never runs backwards along the log. Method: a clock set back between batches.
async fn timestamps_never_run_backwards(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let first = fixture.user(A).await;
    fixture.clock = fixture.clock.minus(std::time::Duration::from_secs(3600));
    let second = fixture.user(B).await;
    assert_eq!(second.created_at, first.created_at);
    assert!(second.id > first.id, "ids sort as their rows were made");
}

/// Goal: what was committed is there after a restart, under the same epoch. Method: close, open again.
async fn a_restart_continues_the_log(database: TestDatabase) {
    let url = database.url();
    let mut epochs = BTreeSet::new();
    for round in 1..=3 {
        let (store, mut writer) = open(&url, &Limits::default()).await.unwrap();
        let command = login(&format!("+9198765432{round}0"));
        writer.commit(&[Request { command, key: None }]).await.unwrap();
        let bounds = store.bounds().await.unwrap();
        assert_eq!((bounds.first, bounds.head), (Seq(1), Seq(round)));
        epochs.insert(bounds.epoch.0);
        writer.close().await.unwrap();
        store.close().await;
    }
    assert_eq!(epochs.len(), 1);
}

/// Goal: a batch meets a user that another server makes meanwhile, and what else it has of that user goes to the one that is
/// there. Method: a login and a contact in one batch while a transaction of another connection holds the phone.
#[tokio::test]
async fn a_user_that_is_made_meanwhile_is_met() {
    const WAITS: &str = "select exists (select 1 from pg_locks l join pg_stat_activity a on a.pid = l.pid
        where a.datname = current_database() and not l.granted)";
    let database = TestDatabase::postgres().await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let mut fixture = Fixture::on(database).await;
    fixture.user(A).await;
    let insert = "begin; insert into users (id, phone, email, created_at, last_active_at, seq)
        values ('00000000-0000-7000-8000-000000000001', '+919876543211', 'a@b', now(), now(), -1)";
    sqlx::raw_sql(insert).execute(&mut other).await.unwrap();
    let meanwhile = async {
        while !sqlx::query_scalar::<_, bool>(WAITS).fetch_one(&mut other).await.unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    };
    let requests = vec![login(B), add(A, B), message(B, A, "hello")];
    let (committed, ()) = tokio::join!(fixture.commit(requests), meanwhile);
    let seqs: Vec<_> = committed.results.iter().map(|result| result.as_ref().unwrap().seq).collect();
    assert_eq!(seqs, [None, Some(Seq(2)), Some(Seq(3))]);
    assert_eq!(contact(&committed.results[1]).contact_user_id.to_string(), "00000000-0000-7000-8000-000000000001");
    other.close().await.unwrap();
}

/// Goal: one server a file. Method: open it twice, then again once the first is gone.
#[tokio::test]
async fn a_database_in_use_is_refused() {
    let database = TestDatabase::sqlite();
    let url = database.url();
    let first = open(&url, &Limits::default()).await.unwrap();
    let error = open(&url, &Limits::default()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("in use by another server"), "{error}");
    drop(first);
    open(&url, &Limits::default()).await.unwrap();
}

/// Goal: names of databases that cannot keep what was acknowledged are refused. Method: a table.
#[tokio::test]
async fn databases_that_forget_are_refused() {
    for url in ["sqlite:", "sqlite::memory:", "sqlite://:memory:", "mysql://x", "postgres://host:port/x", "test.db", ""] {
        assert_eq!(open(url, &Limits::default()).await.map(drop).map_err(|error| error.code()), Err("invalid_field"), "{url}");
    }
}

/// Runs a statement as somebody else on the database.
async fn execute(url: &str, statement: &'static str) {
    if let Some(file) = url.strip_prefix("sqlite:") {
        let mut connection = SqliteConnection::connect(&format!("sqlite:{file}")).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        return connection.close().await.unwrap();
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Goal: an answer that an older version kept is given to the same bytes, and to nothing else. Method: a key as it was stored then.
async fn keys_of_older_versions_are_known_by_their_bytes(database: TestDatabase) {
    let url = database.url();
    let mut fixture = Fixture::on(database).await;
    let keyed = |fingerprint: u8, bytes: u8| key("old", fingerprint).map(|key| key.of_bytes([bytes; 32]));
    let first = fixture.commit_keyed(vec![(login(A), keyed(1, 2))]).await.results.remove(0).unwrap();
    // The digest of bytes that are all 2.
    execute(&url, "update idempotency_keys set fingerprint = replace('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'x', '02')").await;
    for (retry, expected) in [(keyed(9, 2), true), (keyed(2, 3), false), (key("old", 2), false)] {
        let result = fixture.commit_keyed(vec![(login(A), retry)]).await.results.remove(0);
        match result {
            Ok(receipt) => assert!(expected && receipt.replayed && receipt.outcome == first.outcome),
            Err(error) => assert!(!expected && matches!(error, Error::IdempotencyKeyReused), "{error}"),
        }
    }
}

/// Goal: whoever is stored under the older reading of a number is found first, in batches and by reads; without them it is the
/// number that is meant. Method: one number written in two ways, before and after.
async fn users_are_found_by_either_reading(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let written = WrittenPhone::read("09876543210", &CountryCode::default()).unwrap();
    let enter = || Command::Login { phone: written.clone(), name: None };
    let read = || UserRef::Phone(written.clone());
    let receipt = fixture.commit(vec![enter()]).await.results.remove(0).unwrap();
    let Outcome::LoggedIn { user: meant, created: true } = receipt.outcome else { panic!("{receipt:?}") };
    assert_eq!(meant.phone.as_str(), A);
    assert_eq!(fixture.store.user(&read()).await.unwrap().value.map(|user| user.id), Some(meant.id));
    let older = fixture.user("+9109876543210").await;
    let sent = Command::SendMessage { from: phone(A), to: read(), content: "x".into(), message_type: "text".into() };
    let added = Command::AddContact { user: phone(A), contact: read(), name: None };
    let results = fixture.commit(vec![enter(), sent, added, login(A)]).await.results;
    let found: Vec<_> = results.into_iter().map(|result| result.unwrap().outcome).collect();
    assert!(matches!(&found[0], Outcome::LoggedIn { user, created: false } if user.id == older.id), "{found:?}");
    assert!(matches!(&found[1], Outcome::MessageSent { message } if message.to_user_id == older.id), "{found:?}");
    assert!(matches!(&found[2], Outcome::ContactAdded { contact, .. } if contact.contact_user_id == older.id), "{found:?}");
    assert!(matches!(&found[3], Outcome::LoggedIn { user, created: false } if user.id == meant.id), "{found:?}");
    assert_eq!(fixture.store.user(&read()).await.unwrap().value.map(|user| user.id), Some(older.id));
    // Of a number that cannot be, there is nobody to be made.
    let impossible = WrittenPhone::read("+12345678", &CountryCode::default()).unwrap();
    let enter = Command::Login { phone: impossible.clone(), name: None };
    let refused = fixture.commit(vec![enter]).await.results.remove(0);
    assert!(matches!(refused, Err(Error::InvalidPhone { field: "phone", .. })), "{refused:?}");
    let old = fixture.user("+12345678").await;
    assert_eq!(fixture.store.user(&UserRef::Phone(impossible)).await.unwrap().value.map(|user| user.id), Some(old.id));
    let prefixes = ["+910987".to_owned(), "+91987".to_owned()];
    let found = fixture.store.users(&UserQuery::PhonePrefix { prefixes, after: None }, 1).await.unwrap().value;
    assert_eq!(found.items.iter().map(|user| user.id).collect::<Vec<_>>(), [older.id]);
    let prefixes = ["+910987".to_owned(), "+91987".to_owned()];
    let after = found.next.map(|next| next.parse().unwrap());
    let found = fixture.store.users(&UserQuery::PhonePrefix { prefixes, after }, 1).await.unwrap().value;
    assert_eq!((found.items.iter().map(|user| user.id).collect::<Vec<_>>(), found.next), (vec![meant.id], None));
    fixture.assert_consistent().await;
}
