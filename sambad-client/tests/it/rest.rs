//! Every REST method against a real server.

use std::time::Duration;

use sambad_client::{
    AddressBookEntry, After, Client, ContactQuery, Error, EventKind, EventQuery, MessageQuery, NewContact, NewMessage, NewUser,
    Phone, Seq, UserQuery, UserRef,
};
use sambad_server::testing::TestServer;

const ASHA: &str = "+919876543210";
const RAVI: &str = "+919876543211";

fn phone(text: &str) -> UserRef {
    UserRef::from(text.parse::<Phone>().unwrap())
}

/// A server with two users.
async fn start() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    for number in [ASHA, RAVI] {
        client.login(&NewUser::new(number)).await.unwrap();
    }
    (server, client)
}

fn code(error: Error) -> (u16, String) {
    match error {
        Error::Api { status, code, request_id: Some(_), .. } => (status, code),
        other => panic!("no refusal: {other:?}"),
    }
}

/// Goal: both forms of a login mean the same user, who is created once. Method: three logins, seqs compared.
#[tokio::test]
async fn users() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    let first = client.login(&NewUser { name: Some("Asha".into()), ..NewUser::new(ASHA) }).await.unwrap();
    assert!(first.value.created);
    assert_eq!(first.seq, Some(Seq(1)));
    assert_eq!(first.cursor.unwrap().seq, Seq(1));
    assert!(!first.replayed && first.request_id.is_some());
    let form = NewUser { country_code: Some("+91".into()), ..NewUser::new("98765 43210") };
    let again = client.login(&form).await.unwrap();
    assert_eq!((again.value.created, again.seq), (false, None));
    assert_eq!(again.value.user.id, first.value.user.id);
    for user in [phone(ASHA), first.value.user.id.into()] {
        let found = client.user(&user).await.unwrap();
        assert_eq!(found.value.name.as_deref(), Some("Asha"));
        assert_eq!(found.cursor, first.cursor);
        assert_eq!(client.resolve(&user).await.unwrap(), found.value.id);
    }
    assert_eq!(code(client.user(&phone(RAVI)).await.unwrap_err()), (404, "user_not_found".into()));
    assert_eq!(code(client.login(&NewUser::new("abc")).await.unwrap_err()), (400, "invalid_phone".into()));
}

/// Goal: pages add up to the list, in both orders. Method: 5 users, pages of 2.
#[tokio::test]
async fn pages() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    let numbers: Vec<_> = (0..5).map(|n| format!("+91987654321{n}")).collect();
    for number in &numbers {
        client.login(&NewUser::new(number)).await.unwrap();
    }
    let (mut found, mut newest, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    let mut query = UserQuery { limit: Some(2), ..UserQuery::default() };
    loop {
        let page = client.users(&query).await.unwrap();
        sizes.push(page.value.len());
        found.extend(page.value.into_iter().map(|user| user.phone.to_string()));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    found.sort();
    assert_eq!((found, sizes), (numbers.clone(), vec![2, 2, 1]));
    query.limit = None;
    newest.extend(client.newest_users(&query).await.unwrap().value.into_iter().map(|user| user.phone.to_string()));
    newest.reverse();
    assert_eq!(newest, numbers);
    query.prefix = Some("+919876543213".into());
    assert_eq!(client.users(&query).await.unwrap().value.len(), 1);
}

/// Goal: a contact is added once, listed, and removed once. Method: its life, by id and by phone.
#[tokio::test]
async fn contacts() {
    let (_server, client) = start().await;
    let new = NewContact { name: Some("Bhai".into()), ..NewContact::new(phone(ASHA), phone(RAVI)) };
    let added = client.add_contact(&new).await.unwrap();
    assert_eq!(added.seq, Some(Seq(3)));
    let contact = added.value.contact;
    let again = client.add_contact(&NewContact::new(contact.user_id, contact.contact_user_id)).await.unwrap();
    assert_eq!((again.seq, again.value.contact.id), (None, contact.id));
    let list = client.contacts(&ContactQuery { user: Some(contact.user_id), ..ContactQuery::default() }).await.unwrap();
    assert_eq!(list.value.len(), 1);
    assert_eq!((&list.value[0].contact, list.value[0].contact_user.phone.as_str()), (&contact, RAVI));
    let none = client.contacts(&ContactQuery { user: Some(contact.contact_user_id), ..ContactQuery::default() }).await.unwrap();
    assert!(none.value.is_empty());
    let removed = client.remove_contact(contact.id).await.unwrap();
    assert_eq!((removed.seq, removed.value.id), (Some(Seq(4)), contact.id));
    assert_eq!(code(client.remove_contact(contact.id).await.unwrap_err()), (404, "contact_not_found".into()));
    let oneself = NewContact::new(phone(ASHA), phone(ASHA));
    assert_eq!(code(client.add_contact(&oneself).await.unwrap_err()), (400, "self_contact".into()));
}

/// Goal: messages arrive as they were sent, newest first. Method: two of them, with what JSON must escape.
#[tokio::test]
async fn messages() {
    let (_server, client) = start().await;
    let text = "नमस्ते \"you\"\n\u{1f44b}";
    let sent = client.send_message(&NewMessage::text(phone(ASHA), phone(RAVI), text)).await.unwrap();
    assert_eq!((sent.seq, sent.value.content.as_str(), sent.value.message_type.as_str()), (Some(Seq(3)), text, "text"));
    let reply = NewMessage { message_type: "image".into(), ..NewMessage::text(phone(RAVI), phone(ASHA), "2") };
    client.send_message(&reply).await.unwrap();
    let (asha, ravi) = (sent.value.from_user_id, sent.value.to_user_id);
    for query in [
        MessageQuery::default(),
        MessageQuery { user: Some(asha), ..MessageQuery::default() },
        MessageQuery { user: Some(asha), with: Some(ravi), ..MessageQuery::default() },
    ] {
        let list = client.messages(&query).await.unwrap().value;
        assert_eq!(list.iter().map(|m| m.content.as_str()).collect::<Vec<_>>(), ["2", text], "{query:?}");
    }
    let empty = NewMessage::text(phone(ASHA), phone(RAVI), "");
    assert_eq!(code(client.send_message(&empty).await.unwrap_err()), (400, "invalid_field".into()));
}

/// Goal: a retry with the same key changes nothing, with another body it is refused. Method: both.
#[tokio::test]
async fn idempotency() {
    let (_server, client) = start().await;
    let keyed = client.with_idempotency_key("k-1").unwrap();
    let message = NewMessage::text(phone(ASHA), phone(RAVI), "once");
    let first = keyed.send_message(&message).await.unwrap();
    let again = keyed.send_message(&message).await.unwrap();
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!((first.seq, first.value), (again.seq, again.value));
    assert_eq!(client.messages(&MessageQuery::default()).await.unwrap().value.len(), 1);
    let other = NewMessage { content: "other".into(), ..message };
    assert_eq!(code(keyed.send_message(&other).await.unwrap_err()), (422, "idempotency_key_reused".into()));
}

/// Goal: the dashboard's sources and an address book agree with what was written. Method: one of everything.
#[tokio::test]
async fn figures_and_address_books() {
    let (_server, client) = start().await;
    client.add_contact(&NewContact::new(phone(ASHA), phone(RAVI))).await.unwrap();
    let figures = client.analytics().await.unwrap().value;
    assert_eq!((figures.total_users, figures.new_users, figures.total_contacts, figures.total_messages), (2, 2, 1, 0));
    let recent = client.activity(Some(1)).await.unwrap().value;
    assert_eq!(recent.iter().map(|a| (a.seq, a.event_type.as_str())).collect::<Vec<_>>(), [(Seq(3), "contact_added")]);
    let entry = |phone: &str| AddressBookEntry { name: Some("x".into()), phone: phone.into() };
    let known = client.sync_contacts(&[entry("98765-43211"), entry("+919000000000")]).await.unwrap().value;
    assert_eq!(known.total_contacts, 2);
    assert_eq!(known.sambad_users.iter().map(|user| user.phone.as_str()).collect::<Vec<_>>(), [RAVI]);
    let health = client.health().await.unwrap().value;
    assert!(health.is_healthy() && health.database == "connected" && health.writable == Some(true));
    assert!(health.head.is_some() && !health.version.is_empty() && client.ready().await.unwrap());
}

/// Goal: the log is read page by page, and waited for. Method: pages of one; a long poll that a write ends.
#[tokio::test]
async fn event_log() {
    let (_server, client) = start().await;
    let first = EventQuery { after: Some(After::Seq(Seq::ZERO)), limit: Some(1), ..EventQuery::default() };
    let page = client.events(&first).await.unwrap().value;
    assert_eq!((page.events.len(), page.head, page.first, page.cursor.seq), (1, Seq(2), Seq(1), Seq(1)));
    assert_eq!(page.events[0].kind(), Some(EventKind::UserCreated));
    let rest = EventQuery { after: Some(page.cursor.into()), ..EventQuery::default() };
    let rest = client.events(&rest).await.unwrap().value;
    assert_eq!(rest.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [Seq(2)]);
    let poll = EventQuery { after: Some(rest.cursor.into()), wait: Some(Duration::from_secs(20)), ..EventQuery::default() };
    let waiting = client.events(&poll);
    let write = async {
        // The poll is on its way first; were it not, it would find the event at once, which is as right.
        tokio::task::yield_now().await;
        client.send_message(&NewMessage::text(phone(ASHA), phone(RAVI), "hi")).await.unwrap()
    };
    let (page, sent) = tokio::join!(waiting, write);
    assert_eq!(page.unwrap().value.events.iter().map(|event| Some(event.seq)).collect::<Vec<_>>(), [sent.seq]);
    let ahead = EventQuery { after: Some(After::Seq(Seq(99))), ..EventQuery::default() };
    assert_eq!(code(client.events(&ahead).await.unwrap_err()), (410, "cursor_gone".into()));
}

/// Goal: a server that is not there is told from one that refuses. Method: a port that was just closed.
#[tokio::test]
async fn nobody_there() {
    let server = TestServer::start().await;
    let client = Client::new(server.url()).unwrap();
    server.stop().await;
    let error = client.health().await.unwrap_err();
    assert!(matches!(&error, Error::Connect { url, .. } if url == client.url()), "{error:?}");
    assert!(error.is_transient() && error.to_string().contains("refused"), "{error}");
}
