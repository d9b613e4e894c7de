//! The stream against a real server, through a proxy that breaks.

use sambad_client::{
    After, Client, Error, EventKind, EventStream, EventStreamOptions, Filter, Item, NewContact, NewUser, Resync, Seq, State,
    UserId, Verifier,
};
use sambad_core::Limits;
use sambad_server::{config::ServerConfig, testing::TestServer};

use crate::proxy::Proxy;
use crate::scripted::{SOON, quick};

async fn user(client: &Client, number: u64) -> UserId {
    client.login(&NewUser::new(format!("+91{number}"))).await.unwrap().value.user.id
}

/// The next item, within bounds.
async fn next(stream: &mut EventStream) -> Item {
    tokio::time::timeout(SOON, stream.next()).await.expect("the stream has something to tell").unwrap().unwrap()
}

/// Reads until the log's position `last`; every event must be the one after the one before.
async fn read_to(stream: &mut EventStream, verifier: &mut Verifier, last: Seq) -> u32 {
    let mut reconnects = 0;
    while verifier.last() < last {
        match next(stream).await {
            Item::Event(event) => verifier.check(event.seq).unwrap(),
            Item::State(State::Reconnecting { why: Error::Anomaly(anomaly), .. }) => panic!("{anomaly}"),
            Item::State(State::Reconnecting { .. }) => reconnects += 1,
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
    reconnects
}

async fn live(stream: &mut EventStream) -> Seq {
    loop {
        if let Item::State(State::Live { cursor, .. }) = next(stream).await {
            return cursor.seq;
        }
    }
}

/// Goal: cuts cost nothing. Method: 300 events written while the link is cut every 50.
#[tokio::test]
async fn resumes_through_cuts() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.url()).await;
    let direct = Client::new(server.url()).unwrap();
    let mut stream = Client::new(proxy.url()).unwrap().stream(quick());
    let mut verifier = Verifier::unfiltered(live(&mut stream).await);
    let write = async {
        for n in 0..300 {
            user(&direct, 9_000_000_000 + n).await;
            if n % 50 == 25 {
                proxy.cut();
            }
        }
    };
    let ((), reconnects) = tokio::join!(write, read_to(&mut stream, &mut verifier, Seq(300)));
    assert!(reconnects >= 1, "the cuts were felt");
}

/// Goal: a restart is ridden out. Method: drain, write to the successor on the same database, compare.
#[tokio::test]
async fn rides_out_a_restart() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.url()).await;
    let mut stream = Client::new(proxy.url()).unwrap().stream(quick());
    let mut verifier = Verifier::unfiltered(live(&mut stream).await);
    user(&Client::new(server.url()).unwrap(), 9_000_000_000).await;
    read_to(&mut stream, &mut verifier, Seq(1)).await;
    let (directory, end) = tokio::join!(server.stop(), next(&mut stream));
    let Item::State(State::Reconnecting { why, .. }) = end else { panic!("{end:?}") };
    assert!(why.to_string().contains("4000 drain"), "{why}");
    let successor = TestServer::start_in(directory, ServerConfig::default(), Limits::default()).await;
    proxy.retarget(successor.url());
    user(&Client::new(successor.url()).unwrap(), 9_000_000_001).await;
    read_to(&mut stream, &mut verifier, Seq(2)).await;
}

/// Goal: another database behind the same address is noticed. Method: replace the server by an unrelated one.
#[tokio::test]
async fn notices_another_database() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.url()).await;
    let client = Client::new(proxy.url()).unwrap();
    let mut stream = client.stream(quick());
    live(&mut stream).await;
    let other = TestServer::start().await;
    proxy.retarget(other.url());
    loop {
        match next(&mut stream).await {
            Item::Resync(Resync { reason, .. }) => break assert_eq!(reason.as_str(), "epoch_changed"),
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
    user(&client, 9_000_000_000).await;
    loop {
        if let Item::Event(event) = next(&mut stream).await {
            break assert_eq!(event.seq, Seq(1));
        }
    }
}

/// Goal: read, then listen: nothing between is lost or told twice. Method: a snapshot amid concurrent writes.
#[tokio::test]
async fn a_snapshot_and_a_stream_fit_together() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    let write = async {
        for n in 0..200 {
            user(&client, 9_000_000_000 + n).await;
        }
    };
    let read = async {
        let mut total = 0;
        while total < 50 {
            total = client.analytics().await.unwrap().value.total_users;
        }
        let snapshot = client.analytics().await.unwrap();
        let cursor = snapshot.cursor.unwrap();
        assert_eq!(cursor.seq, Seq(snapshot.value.total_users), "body and cursor are of one moment");
        let mut stream = client.stream(EventStreamOptions { after: Some(cursor.into()), ..quick() });
        read_to(&mut stream, &mut Verifier::unfiltered(cursor.seq), Seq(200)).await
    };
    let ((), reconnects) = tokio::join!(write, read);
    assert_eq!(reconnects, 0);
}

/// Goal: a filter lets through what it names, also after a cut. Method: by type and user, from the beginning.
#[tokio::test]
async fn filters() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    let mut users = Vec::new();
    for n in 0..3 {
        users.push(user(&client, 9_000_000_000 + n).await);
    }
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        client.add_contact(&NewContact::new(users[one], users[other])).await.unwrap();
    }
    let filter = Filter { kinds: [EventKind::ContactAdded].into_iter().collect(), user: Some(users[0]) };
    let proxy = Proxy::start(server.url()).await;
    let mut stream =
        Client::new(proxy.url()).unwrap().stream(EventStreamOptions { after: Some(After::Seq(Seq::ZERO)), filter, ..quick() });
    let mut seqs = Vec::new();
    while seqs.len() < 2 {
        match next(&mut stream).await {
            Item::Event(event) => {
                seqs.push(event.seq.0);
                proxy.cut();
            }
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seqs, [4, 6]);
    // What does not pass is shown by what passes next.
    user(&client, 9_000_000_003).await;
    client.add_contact(&NewContact::new(users[1], users[0])).await.unwrap();
    loop {
        match next(&mut stream).await {
            Item::Event(event) => break assert_eq!(event.seq, Seq(8)),
            Item::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Goal: a stream is no prisoner of its task. Method: read it in another.
#[tokio::test]
async fn a_stream_can_be_sent_to_another_task() {
    let server = TestServer::start().await;
    let mut stream = Client::new(server.url()).unwrap().stream(quick());
    let seq = tokio::spawn(async move { live(&mut stream).await }).await.unwrap();
    assert_eq!(seq, Seq::ZERO);
}
