//! Batches of several servers: one log.

use std::collections::BTreeMap;

use sambad_core::{After, Command, Error, EventKind, Filter, IdempotencyKey, Outcome, Seq, UserRef};
use tokio::task::JoinSet;

use crate::harness::{Servers, collect, login, user_id};

/// Goal: seq is dense and in commit order whoever commits, and whoever follows the log misses nothing that was committed late.
/// Method: three cores write at once; a reader of each, and one that polls the stored log, must all see 1, 2, 3, ….
#[tokio::test(flavor = "multi_thread")]
async fn every_reader_sees_one_dense_log() {
    const EACH: u64 = 400;
    let servers = Servers::start(3).await;
    let mut readers = JoinSet::new();
    for sambad in servers.all() {
        let mut subscription = sambad.subscribe(None, Filter::default()).await.unwrap();
        readers.spawn(async move { collect(&mut subscription, 3 * EACH).await });
    }
    let polled = servers.get(0).clone();
    readers.spawn(async move {
        let (mut seqs, mut after) = (Vec::new(), After::Seq(Seq(0)));
        while (seqs.len() as u64) < 3 * EACH {
            let page = polled.events(after, Filter::default(), 1000).await.unwrap();
            seqs.extend(page.events.iter().map(|event| event.seq.0));
            after = After::Cursor(page.cursor);
        }
        seqs
    });
    let mut writers = JoinSet::new();
    for (n, sambad) in servers.all().into_iter().enumerate() {
        for i in 0..EACH {
            let sambad = sambad.clone();
            writers.spawn(async move { sambad.execute(login(n as u64 * EACH + i), None).await.unwrap().seq.unwrap().0 });
        }
    }
    let mut acknowledged: Vec<u64> = writers.join_all().await;
    acknowledged.sort_unstable();
    let all: Vec<u64> = (1..=3 * EACH).collect();
    assert_eq!(acknowledged, all, "each acknowledged under a seq of its own");
    for seqs in readers.join_all().await {
        assert_eq!(seqs, all);
    }
    servers.assert_sound().await;
}

/// Goal: what two servers are asked for at once happens once. Method: the same login, contact and keyed message at all three
/// servers at the same time, often; counts of events by kind.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unique_happens_once() {
    const ROUNDS: u64 = 30;
    let servers = Servers::start(3).await;
    let (a, b) = (servers.get(0).execute(login(1), None).await.unwrap(), servers.get(0).execute(login(2), None).await.unwrap());
    let (a, b) = (user_id(&a), user_id(&b));
    for round in 0..ROUNDS {
        let everywhere = |command: Command, key: Option<IdempotencyKey>| {
            let calls = servers.all().into_iter().map(|sambad| {
                let (command, key) = (command.clone(), key.clone());
                async move { sambad.execute(command, key).await.unwrap() }
            });
            futures_util::future::join_all(calls)
        };
        let logins = everywhere(login(100 + round), None).await;
        let ids: Vec<_> = logins.iter().map(user_id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "one user");
        assert_eq!(logins.iter().filter(|receipt| receipt.seq.is_some()).count(), 1, "one event");
        let add = Command::AddContact { user: UserRef::Id(a), contact: UserRef::Id(ids[0]), name: None };
        let added = everywhere(add, None).await;
        assert_eq!(added.iter().filter(|receipt| receipt.seq.is_some()).count(), 1);
        let message = Command::SendMessage {
            from: UserRef::Id(a),
            to: UserRef::Id(b),
            content: format!("round {round}"),
            message_type: "text".into(),
        };
        let key = IdempotencyKey::new(format!("round-{round}"), [1; 32]).unwrap();
        let sent = everywhere(message, Some(key)).await;
        assert_eq!(sent.iter().filter(|receipt| !receipt.replayed).count(), 1, "the others are told what the first was");
        assert!(sent.iter().all(|receipt| receipt.seq == sent[0].seq && receipt.outcome == sent[0].outcome));
    }
    let kinds = servers.kinds().await;
    let rounds = usize::try_from(ROUNDS).unwrap();
    assert_eq!(
        kinds,
        BTreeMap::from([
            (EventKind::UserCreated.as_str(), rounds + 2),
            (EventKind::ContactAdded.as_str(), rounds),
            (EventKind::MessageSent.as_str(), rounds)
        ])
    );
    servers.assert_sound().await;
}

/// Goal: of servers that remove one contact, one does. Method: all three at once, often.
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_removed_once() {
    let servers = Servers::start(3).await;
    let (a, b) = (servers.get(0).execute(login(1), None).await.unwrap(), servers.get(1).execute(login(2), None).await.unwrap());
    for _ in 0..30 {
        let add = Command::AddContact { user: UserRef::Id(user_id(&a)), contact: UserRef::Id(user_id(&b)), name: None };
        let Outcome::ContactAdded { contact, created: true } = servers.get(2).execute(add, None).await.unwrap().outcome else {
            panic!("it was removed before")
        };
        let remove = Command::RemoveContact { id: contact.id, owner: None };
        let removed = servers.all().into_iter().map(|sambad| {
            let remove = remove.clone();
            async move { sambad.execute(remove, None).await }
        });
        let removed = futures_util::future::join_all(removed).await;
        assert_eq!(removed.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(
            removed.iter().flat_map(|result| result.as_ref().err()).all(|error| matches!(error, Error::ContactNotFound { .. }))
        );
    }
    servers.assert_sound().await;
}

/// Goal: batches that touch the same rows in different orders do not end each other. Method: three servers write messages
/// between the same users, both ways, all new to the minute; everything is acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn batches_in_each_others_way_all_succeed() {
    let servers = Servers::start(3).await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(user_id(&servers.get(0).execute(login(number), None).await.unwrap()));
    }
    servers.age_activity().await;
    let mut writers = JoinSet::new();
    for (n, sambad) in servers.all().into_iter().enumerate() {
        for i in 0..ids.len() {
            let from = if n.is_multiple_of(2) { ids[i] } else { ids[ids.len() - 1 - i] };
            let message = Command::SendMessage {
                from: UserRef::Id(from),
                to: UserRef::Id(ids[(i + n) % ids.len()]),
                content: "hi".into(),
                message_type: "text".into(),
            };
            let sambad = sambad.clone();
            writers.spawn(async move { sambad.execute(message, None).await.map(drop) });
        }
    }
    for result in writers.join_all().await {
        result.unwrap();
    }
    servers.assert_sound().await;
}
