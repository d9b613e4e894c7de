//! The test of docs/guides/test-your-app.md.

use std::time::Duration;

use sambad_client::{Client, Event, EventStream, EventStreamOptions, Item, NewContact, NewUser};
use sambad_server::testing::TestServer;

/// Goal: a new contact reaches the dashboard. Method: a contact is added, and the stream is read up to its event.
#[tokio::test]
async fn a_new_contact_reaches_the_dashboard() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    let asha = client.login(&NewUser::new("+919876543210")).await.unwrap().value.user;
    let ravi = client.login(&NewUser::new("+919876543211")).await.unwrap();
    let after = ravi.cursor.map(Into::into);
    let mut events = client.stream(EventStreamOptions { after, ..Default::default() });

    // Call your app here. This line stands in for it.
    client.add_contact(&NewContact::new(asha.id, ravi.value.user.phone)).await.unwrap();

    let event = wait_for(&mut events, "contact_added").await;
    let contact: serde_json::Value = event.decode().unwrap();
    assert_eq!(contact["user_username"], "+919876543210");
    assert_eq!(contact["contact_user_username"], "+919876543211");
    server.stop().await;
}

/// Returns the next event of this type. The timeout is for a broken app: a working one needs milliseconds.
async fn wait_for(events: &mut EventStream, event_type: &str) -> Event {
    let wait = async {
        loop {
            match events.next().await.unwrap().unwrap() {
                Item::Event(event) if event.event_type == event_type => return event,
                Item::Resync(resync) => panic!("events are missing: {resync:?}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap()
}
