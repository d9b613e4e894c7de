//! Servers with TLS: what is trusted, and that every transport speaks it.

use sambad_client::{Client, Error, EventStreamOptions, Item, NewUser, State, Transport};
use sambad_server::testing::TestServer;

use crate::acceptor::Acceptor;
use crate::scripted::quick;

/// Goal: requests and every transport get through TLS, to names and to addresses. Method: an acceptor before a real server.
#[tokio::test]
async fn every_transport_speaks_tls() {
    let server = TestServer::start().await;
    let acceptor = Acceptor::start(server.url()).await;
    for host in ["localhost", "127.0.0.1"] {
        let client = Client::trusting(&acceptor.url(host), acceptor.certificate().as_bytes()).unwrap();
        client.login(&NewUser::new("+919876543210")).await.unwrap();
        for transport in [Transport::WebSocket, Transport::Sse, Transport::Poll] {
            let mut stream = client.stream(EventStreamOptions { transport, ..quick() });
            loop {
                match stream.next().await.unwrap().unwrap() {
                    Item::State(State::Live { transport: used, .. }) => break assert_eq!(used, transport),
                    Item::State(State::Connecting { .. } | State::Replaying { .. }) => {}
                    other => panic!("{host} {transport}: {other:?}"),
                }
            }
        }
    }
}

/// Goal: nobody talks to a server that cannot prove who it is. Method: another server's certificate, then another name.
#[tokio::test]
async fn who_is_not_trusted_is_not_talked_to() {
    let server = TestServer::start().await;
    let (one, other) = (Acceptor::start(server.url()).await, Acceptor::start(server.url()).await);
    for (url, why) in [(one.url("localhost"), "invalid peer certificate"), (other.url("localhost.localdomain"), "")] {
        let client = Client::trusting(&url, other.certificate().as_bytes()).unwrap();
        let error = client.health().await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }) && error.to_string().contains(why), "{error}");
        let mut stream = client.stream(EventStreamOptions { transport: Transport::WebSocket, ..quick() });
        loop {
            match stream.next().await.unwrap().unwrap() {
                Item::State(State::Reconnecting { why: error @ Error::Connect { .. }, .. }) => {
                    break assert!(error.to_string().contains(why), "{error}");
                }
                Item::State(State::Connecting { .. }) => {}
                item => panic!("{item:?}"),
            }
        }
    }
}

/// Goal: a file that is none of certificates is told at once. Method: nothing, rubbish, half of one.
#[test]
fn what_is_no_certificate_is_refused() {
    for pem in ["", "rubbish", "-----BEGIN CERTIFICATE-----\nAAAA"] {
        let error = Client::trusting("https://localhost", pem.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Certificates { .. }), "{pem:?}: {error}");
    }
}
