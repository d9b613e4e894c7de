//! The promises of a store, tested through its own face: `open` is all that a second database has to provide.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::command::Outcome;
use crate::kind::EventKind;
use crate::limits::{IDEMPOTENCY_KEY_TTL, LAST_ACTIVE_STEP};
use crate::model::Contact;

/// A store of its own for each test, and a clock that the test moves.
struct Fixture {
    store: Store,
    writer: Writer,
    clock: Timestamp,
    _directory: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("test.db").display());
        let (store, writer) = open(&url, &Limits::default()).await.unwrap();
        let clock = "2025-01-15T12:00:00Z".parse().unwrap();
        Self { store, writer, clock, _directory: directory }
    }

    fn later(&mut self, by: std::time::Duration) {
        self.clock = Timestamp::from_micros(self.clock.as_micros() + i64::try_from(by.as_micros()).unwrap());
    }

    async fn commit_keyed(&mut self, requests: Vec<(Command, Option<IdempotencyKey>)>) -> Committed {
        let requests: Vec<Request> = requests.into_iter().map(|(command, key)| Request { command, key }).collect();
        self.writer.commit_at(&requests, self.clock).await.unwrap()
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

/// Goal: commands of one batch see each other, in order. Method: users and what refers to them together.
#[tokio::test]
async fn a_batch_is_carried_out_in_order() {
    let mut fixture = Fixture::new().await;
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
#[tokio::test]
async fn refused_commands_leave_their_neighbours_alone() {
    let mut fixture = Fixture::new().await;
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
#[tokio::test]
async fn contacts_can_be_removed_and_added_again_in_one_batch() {
    let mut fixture = Fixture::new().await;
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
#[tokio::test]
async fn idempotency_keys_keep_the_first_answer() {
    let mut fixture = Fixture::new().await;
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
#[tokio::test]
async fn refusals_are_not_kept() {
    let mut fixture = Fixture::new().await;
    let refused = fixture.commit_keyed(vec![(add(A, B), key("k", 1))]).await;
    assert!(refused.results[0].is_err());
    fixture.commit(vec![login(A), login(B)]).await;
    let accepted = fixture.commit_keyed(vec![(add(A, B), key("k", 1))]).await.results.remove(0).unwrap();
    assert_eq!((accepted.seq, accepted.replayed), (Some(Seq(3)), false));
}

/// Goal: activity moves at most once a minute, and its day's count with it. Method: the clock moved around both bounds.
#[tokio::test]
async fn last_active_moves_once_a_minute() {
    let mut fixture = Fixture::new().await;
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
#[tokio::test]
async fn timestamps_never_run_backwards() {
    let mut fixture = Fixture::new().await;
    let first = fixture.user(A).await;
    fixture.clock = fixture.clock.minus(std::time::Duration::from_secs(3600));
    let second = fixture.user(B).await;
    assert_eq!(second.created_at, first.created_at);
    assert!(second.id > first.id, "ids sort as their rows were made");
}

/// Walks all pages of one row each and returns what they held.
async fn walk<T>(mut page: impl AsyncFnMut(Option<String>) -> Page<T>) -> Vec<T> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let Page { items: mut found, next } = page(after).await;
        assert!(found.len() <= 1);
        items.append(&mut found);
        let Some(next) = next else { return items };
        after = Some(next);
    }
}

/// Goal: pages joined are the list, whichever index serves them. Method: pages of one row, over equal names too.
#[tokio::test]
async fn pages_joined_are_the_list() {
    let mut fixture = Fixture::new().await;
    fixture
        .commit(vec![named(A, "asha"), named(B, "Asha"), named(C, "ASHOK"), named("+14155550101", "Zoe"), login("+14155550102")])
        .await;
    let store = &fixture.store;
    let one = |query: UserQuery| async move { store.users(&query, 1).await.unwrap().value };
    let id = |after: Option<String>| after.map(|text| text.parse().unwrap());
    for order in [UserOrder::OldestFirst, UserOrder::NewestFirst] {
        let walked = walk(async |after| one(UserQuery::All { order, after: id(after) }).await).await;
        let whole = store.users(&UserQuery::All { order, after: None }, 500).await.unwrap().value;
        assert_eq!((walked.len(), &walked, whole.next), (5, &whole.items, None));
    }
    let by_name = walk(async |after| one(UserQuery::NamePrefix { prefix: "ash".into(), after: id(after) }).await).await;
    assert_eq!(by_name.iter().filter_map(|user| user.name.as_deref()).collect::<Vec<_>>(), ["asha", "Asha", "ASHOK"]);
    let by_phone = walk(async |after| {
        let after = after.map(|text| text.parse().unwrap());
        one(UserQuery::PhonePrefix { prefix: "+1415".into(), after }).await
    });
    assert_eq!(by_phone.await.iter().map(|user| user.phone.as_str()).collect::<Vec<_>>(), [C, "+14155550101", "+14155550102"]);
}

/// Goal: each list of messages holds what it should, newest first, each once. Method: all directions among three, and a note to oneself.
#[tokio::test]
async fn messages_are_listed_by_user_and_pair() {
    let mut fixture = Fixture::new().await;
    let (a, b) = (fixture.user(A).await.id, fixture.user(B).await.id);
    fixture.user(C).await;
    fixture
        .commit(vec![message(A, B, "1"), message(B, A, "2"), message(A, C, "3"), message(C, B, "4"), message(A, A, "5")])
        .await;
    let store = &fixture.store;
    for (user, with, expected) in [
        (None, None, vec!["5", "4", "3", "2", "1"]),
        (Some(a), None, vec!["5", "3", "2", "1"]),
        (Some(a), Some(b), vec!["2", "1"]),
        (Some(b), Some(a), vec!["2", "1"]),
        (Some(a), Some(a), vec!["5"]),
    ] {
        let listed = walk(async |after| {
            let after = after.map(|text| text.parse().unwrap());
            store.messages(&MessageQuery { user, with, after }, 1).await.unwrap().value
        });
        assert_eq!(listed.await.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), expected);
    }
}

/// Goal: a filtered page of the stored log is the whole log, filtered. Method: every user and kind against a scan.
#[tokio::test]
async fn filtered_log_pages_equal_a_filtered_scan() {
    let mut fixture = Fixture::new().await;
    let users = [fixture.user(A).await.id, fixture.user(B).await.id, fixture.user(C).await.id];
    for round in 0..5 {
        let text = round.to_string();
        fixture.commit(vec![message(A, B, &text), add(B, C), message(C, C, &text), add(A, C), message(B, A, &text)]).await;
    }
    let all = fixture.store.log_page(Seq::ZERO, &Filter::default(), 1000).await.unwrap();
    for user in users.map(Some).into_iter().chain([None]) {
        for kinds in
            [vec![EventKind::MessageSent], vec![EventKind::UserCreated, EventKind::ContactAdded], EventKind::ALL.to_vec()]
        {
            let filter = Filter { kinds: kinds.into_iter().collect(), user };
            let (mut found, mut cursor) = (Vec::new(), Seq::ZERO);
            while cursor < all.bounds.head {
                let page = fixture.store.log_page(cursor, &filter, 2).await.unwrap();
                assert!(page.through > cursor, "every page moves on");
                cursor = page.through;
                found.extend(page.rows);
            }
            let expected: Vec<&EventRow> = all.rows.iter().filter(|row| filter.matches(row.kind, row.involved)).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
        }
    }
}

/// Goal: what was committed is there after a restart, under the same epoch. Method: close, open again.
#[tokio::test]
async fn a_restart_continues_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("test.db").display());
    let mut epochs = BTreeSet::new();
    for round in 1..=3 {
        let (store, mut writer) = open(&url, &Limits::default()).await.unwrap();
        let command = login(&format!("+9198765432{round}0"));
        writer.commit(&[Request { command, key: None }]).await.unwrap();
        let bounds = store.bounds().await.unwrap();
        assert_eq!((bounds.first, bounds.head), (Seq(1), Seq(round)));
        epochs.insert(bounds.epoch.0);
        writer.close().await;
        store.close().await;
    }
    assert_eq!(epochs.len(), 1);
}

/// Goal: one server a file. Method: open it twice, then again once the first is gone.
#[tokio::test]
async fn a_database_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("test.db").display());
    let first = open(&url, &Limits::default()).await.unwrap();
    let error = open(&url, &Limits::default()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("in use by another server"), "{error}");
    drop(first);
    open(&url, &Limits::default()).await.unwrap();
}

/// Goal: names of databases that cannot keep what was acknowledged are refused. Method: a table.
#[tokio::test]
async fn databases_that_forget_are_refused() {
    for url in ["sqlite:", "sqlite::memory:", "sqlite://:memory:", "mysql://x", "test.db", ""] {
        assert_eq!(open(url, &Limits::default()).await.map(drop).map_err(|error| error.code()), Err("invalid_field"), "{url}");
    }
}
