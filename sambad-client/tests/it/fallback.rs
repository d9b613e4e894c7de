//! Which transport a stream finds when something between stands in the way of some.

use std::time::Duration;

use sambad_client::{After, Client, Error, EventStream, EventStreamOptions, Item, NewUser, Seq, State, Transport, Verifier};
use sambad_server::testing::TestServer;

use crate::meddler::{ALL_PASS, BAD_GATEWAY, FORBIDDEN, Fate, Fates, Meddler, PORTAL};
use crate::scripted::{SOON, quick, told};

/// From the beginning of the log; patience is short, and long enough for a loaded machine.
fn whole_log(transport: Transport) -> EventStreamOptions {
    let connect_timeout = Duration::from_secs(6);
    EventStreamOptions { after: Some(After::Seq(Seq::ZERO)), transport, connect_timeout, ..quick() }
}

async fn write(server: &TestServer, numbers: std::ops::Range<u64>) {
    let client = Client::new(server.url()).unwrap();
    for n in numbers {
        client.login(&NewUser::new(format!("+91{}", 9_000_000_000 + n))).await.unwrap();
    }
}

/// Reads to `last` without gap or repeat; gives the transports by which it was connected, in turn.
async fn read_to(stream: &mut EventStream, verifier: &mut Verifier, last: u64) -> Vec<Transport> {
    let mut used = Vec::new();
    while verifier.last() < Seq(last) {
        match tokio::time::timeout(SOON, stream.next()).await.expect("the stream has something to tell").unwrap().unwrap() {
            Item::Event(event) => verifier.check(event.seq).unwrap(),
            Item::State(State::Replaying { transport, .. } | State::Live { transport, .. }) => used.push(transport),
            Item::State(State::Reconnecting { why: Error::Anomaly(anomaly), .. }) => panic!("{anomaly}"),
            Item::State(State::Reconnecting { .. } | State::Connecting { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    used.dedup();
    used
}

/// Goal: whatever stands in the way, the stream finds the best way that there is, keeps to it, and loses nothing. Method:
/// every sort of obstacle, under writes, with the connections cut in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn finds_the_way_that_there_is() {
    let upgrades = |upgrades| Fates { upgrades, ..ALL_PASS };
    let both = |streams| Fates { upgrades: FORBIDDEN, streams, ..ALL_PASS };
    let cases = [
        (ALL_PASS, Transport::WebSocket),
        (upgrades(Fate::LosesItsUpgrade), Transport::Sse),
        (upgrades(FORBIDDEN), Transport::Sse),
        (upgrades(PORTAL), Transport::Sse),
        (upgrades(Fate::IsCut), Transport::Sse),
        (upgrades(Fate::IsSwallowed), Transport::Sse),
        (upgrades(Fate::LosesItsBody), Transport::Sse),
        (both(Fate::IsBuffered), Transport::Poll),
        (both(Fate::LosesItsBody), Transport::Poll),
        (both(Fate::IsCut), Transport::Poll),
        (both(PORTAL), Transport::Poll),
        (both(FORBIDDEN), Transport::Poll),
    ];
    let cases = cases.map(|(fates, expected)| {
        tokio::spawn(async move {
            let server = TestServer::start().await;
            let proxy = Meddler::start(server.url(), fates).await;
            let mut stream = Client::new(&proxy.url).unwrap().stream(whole_log(Transport::Auto));
            let mut verifier = Verifier::unfiltered(Seq::ZERO);
            let ((), mut used) = tokio::join!(write(&server, 0..60), read_to(&mut stream, &mut verifier, 60));
            let before = proxy.counts();
            proxy.cut();
            let ((), after) = tokio::join!(write(&server, 60..120), read_to(&mut stream, &mut verifier, 120));
            used.extend(after);
            used.dedup();
            assert_eq!(used, [expected], "{fates:?}");
            let tried = proxy.counts();
            let above = [Transport::WebSocket, Transport::Sse, Transport::Poll].iter().position(|t| *t == expected).unwrap();
            assert_eq!(tried[..above], before[..above], "{fates:?}: what does not get through is not tried again");
            assert!(tried[above] > before[above] && tried[above + 1..].iter().all(|n| *n == 0), "{fates:?}: {tried:?}");
            server.stop().await;
        })
    });
    for case in cases {
        case.await.unwrap();
    }
}

/// Goal: an outage is no reason to do with less. Method: 502 for every request of a while, then a way.
#[tokio::test]
async fn an_outage_does_not_step_down() {
    let server = TestServer::start().await;
    let out = Fates { upgrades: BAD_GATEWAY, streams: BAD_GATEWAY, polls: BAD_GATEWAY };
    let proxy = Meddler::start(server.url(), out).await;
    let mut stream = Client::new(&proxy.url).unwrap().stream(whole_log(Transport::Auto));
    for _ in 0..5 {
        assert_eq!(told(&mut stream).await, "connecting");
        assert_eq!(told(&mut stream).await, "reconnecting: bad gateway (502)");
    }
    proxy.change(ALL_PASS);
    write(&server, 0..1).await;
    let used = read_to(&mut stream, &mut Verifier::unfiltered(Seq::ZERO), 1).await;
    assert_eq!((used, &proxy.counts()[1..]), (vec![Transport::WebSocket], &[0, 0][..]));
}

/// Goal: when nothing gets through, the first way is tried again, and taken once it is open. Method: everything cut, then a way.
#[tokio::test]
async fn begins_again_at_the_top() {
    let server = TestServer::start().await;
    let nothing = Fates { upgrades: Fate::IsCut, streams: Fate::IsCut, polls: Fate::IsCut };
    let proxy = Meddler::start(server.url(), nothing).await;
    let mut stream = Client::new(&proxy.url).unwrap().stream(whole_log(Transport::Auto));
    for by in ["", " by sse", " by poll", "", " by sse", " by poll"] {
        assert_eq!(told(&mut stream).await, format!("connecting{by}"));
        assert!(told(&mut stream).await.starts_with("reconnecting: "));
    }
    proxy.change(ALL_PASS);
    write(&server, 0..1).await;
    let used = read_to(&mut stream, &mut Verifier::unfiltered(Seq::ZERO), 1).await;
    assert_eq!(used, [Transport::WebSocket]);
}

/// Goal: a transport that was asked for is kept to. Method: the lower ones where all pass; each where it does not pass.
#[tokio::test]
async fn fixed_transports_stay() {
    let server = TestServer::start().await;
    write(&server, 0..1).await;
    for (index, transport) in [Transport::WebSocket, Transport::Sse, Transport::Poll].into_iter().enumerate() {
        let proxy = Meddler::start(server.url(), ALL_PASS).await;
        let mut stream = Client::new(&proxy.url).unwrap().stream(whole_log(transport));
        let used = read_to(&mut stream, &mut Verifier::unfiltered(Seq::ZERO), 1).await;
        assert_eq!(used, [transport]);
        // What passes again in time is waited for, what was refused is an error.
        proxy.change(Fates { upgrades: Fate::IsCut, streams: Fate::IsCut, polls: Fate::IsCut });
        let by = ["", " by sse", " by poll"][index];
        let mut attempts = 0;
        while attempts < 4 {
            let line = told(&mut stream).await;
            attempts += u32::from(line == format!("connecting{by}"));
            assert!(
                line.starts_with("reconnecting: ") || line == format!("connecting{by}") || line.starts_with("live"),
                "{line}"
            );
        }
        proxy.change(Fates { upgrades: FORBIDDEN, streams: FORBIDDEN, polls: FORBIDDEN });
        let end = loop {
            let line = told(&mut stream).await;
            if line.starts_with("error: ") {
                break line;
            }
        };
        assert_eq!((end.as_str(), told(&mut stream).await.as_str()), ("error: forbidden (403)", "end"));
        let counts = proxy.counts();
        assert!(counts.iter().enumerate().all(|(other, count)| other == index || *count == 0), "{transport}: {counts:?}");
    }
}

/// Goal: a question that the server refuses is refused by every transport, and no other is tried. Method: a cursor cannot be
/// wrong in this client, so a server that knows another contract says so.
#[tokio::test]
async fn a_refusal_of_the_server_is_final() {
    const REFUSED: Fate = Fate::Answered(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 63\r\nConnection: close\r\n\r\n{\"error\":\"No\",\"code\":\"invalid_field\",\"request_id\":\"0123456789\"}",
    );
    let server = TestServer::start().await;
    let proxy = Meddler::start(server.url(), Fates { upgrades: REFUSED, streams: REFUSED, polls: REFUSED }).await;
    for (transport, by) in [(Transport::Auto, ""), (Transport::Sse, " by sse"), (Transport::Poll, " by poll")] {
        let mut stream = Client::new(&proxy.url).unwrap().stream(whole_log(transport));
        assert_eq!(told(&mut stream).await, format!("connecting{by}"));
        assert_eq!(told(&mut stream).await, "error: No (400 invalid_field)");
        assert_eq!(told(&mut stream).await, "end");
    }
}
