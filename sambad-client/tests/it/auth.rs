//! Against a server that asks who calls: tokens that end, are renewed, are used up, are revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sambad_client::{
    Client, Error, EventStream, EventStreamOptions, Item, LoggedIn, NewContact, NewUser, State, Token, Transport, UserTokens,
};
use sambad_core::access::{AccessChange, Actor};
use sambad_core::{Limits, Timestamp};
use sambad_server::config::{AuthConfig, Role, ServerConfig, TokenConfig};
use sambad_server::testing::{Loses, Proxy, TestKeys, TestServer};

use crate::scripted::{SOON, quick};

const ASHA: &str = "+919876543210";
const RAVI: &str = "+919876543211";

/// A server that asks, and who asks it.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) keys: TestKeys,
}

impl World {
    /// Users' tokens live this long.
    async fn start(token_ttl: Duration) -> Self {
        let keys = TestKeys::new();
        let auth = AuthConfig::Token(TokenConfig { token_ttl, ..TokenConfig::new(keys.path()) });
        let server = TestServer::start_with(ServerConfig { auth, ..ServerConfig::default() }, Limits::default()).await;
        Self { server, keys }
    }

    fn anyone(&self) -> Client {
        Client::new(self.server.url()).unwrap()
    }

    fn operator(&self) -> Client {
        self.anyone().with_token(Token::new(self.keys.token(&[Role::Service, Role::Admin], "operator")).unwrap())
    }

    async fn log_in(&self, phone: &str) -> (LoggedIn, UserTokens) {
        let login = self.operator().login(&NewUser::new(phone)).await.unwrap().value;
        let tokens = login.tokens.clone().expect("a server that asks gives tokens");
        (login, tokens)
    }
}

/// A client that counts its renewals.
fn counting(client: &Client, tokens: UserTokens) -> (Client, Arc<AtomicUsize>) {
    let kept = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&kept);
    (
        client.with_refresh_token(tokens, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        }),
        kept,
    )
}

async fn next(stream: &mut EventStream) -> Option<Result<Item, Error>> {
    tokio::time::timeout(SOON, stream.next()).await.expect("the stream has something to tell")
}

async fn live(stream: &mut EventStream) {
    while !matches!(next(stream).await.unwrap().unwrap(), Item::State(State::Live { .. })) {}
}

/// Reads until the stream ends; what it said of its token, and why it ended.
async fn end(stream: &mut EventStream) -> (Option<Error>, Error) {
    let mut told = None;
    loop {
        match next(stream).await.expect("an error comes before the end") {
            Ok(Item::State(State::TokenExpiring { why, .. })) => told = Some(why),
            Ok(_) => {}
            Err(error) => {
                assert!(next(stream).await.is_none(), "nothing comes after an error");
                return (told, error);
            }
        }
    }
}

/// Goal: a WebSocket outlives its tokens without a reconnect, and REST with it. Method: tokens of four seconds, three renewals,
/// then an event.
#[tokio::test]
async fn a_socket_goes_on_by_renewed_tokens() {
    let world = World::start(Duration::from_secs(4)).await;
    let (asha, tokens) = world.log_in(ASHA).await;
    let (ravi, _) = world.log_in(RAVI).await;
    let (client, kept) = counting(&world.anyone(), tokens);
    let mut stream = client.stream(EventStreamOptions { transport: Transport::WebSocket, ..quick() });
    live(&mut stream).await;
    let connects = |item: &Item| matches!(item, Item::State(State::Reconnecting { .. } | State::Connecting { .. }));
    while kept.load(Ordering::SeqCst) < 3 {
        // Nothing is due to be told; the wait is for the renewals that the stream makes meanwhile.
        if let Ok(item) = tokio::time::timeout(Duration::from_millis(100), stream.next()).await {
            panic!("nothing happened, and the stream tells {item:?}");
        }
    }
    assert_eq!(client.user(&ravi.user.id.into()).await.map(|user| user.value.id).ok(), None, "another user's");
    client.add_contact(&NewContact::new(asha.user.id, ravi.user.id)).await.unwrap();
    let item = next(&mut stream).await.unwrap().unwrap();
    assert!(matches!(item, Item::Event(_)) && !connects(&item), "{item:?}");
}

/// Goal: what is not a user's own is no loss to them. Method: a user's stream without a filter, over others' events, by each
/// transport.
#[tokio::test]
async fn a_users_stream_has_holes_by_right() {
    let world = World::start(Duration::from_secs(600)).await;
    let (asha, tokens) = world.log_in(ASHA).await;
    let (ravi, _) = world.log_in(RAVI).await;
    let client = world.anyone().with_token(tokens.token);
    let mut streams = [Transport::WebSocket, Transport::Sse, Transport::Poll]
        .map(|transport| client.stream(EventStreamOptions { transport, ..quick() }));
    for stream in &mut streams {
        live(stream).await;
    }
    world.log_in("+919876543212").await;
    let operator = world.operator();
    let contact = operator.add_contact(&NewContact::new(asha.user.id, ravi.user.id)).await.unwrap();
    for mut stream in streams {
        let item = next(&mut stream).await.unwrap().unwrap();
        let Item::Event(event) = item else { panic!("{item:?}") };
        assert_eq!(Some(event.seq), contact.seq);
    }
}

/// Goal: streams that are not told go on as well. Method: tokens of two seconds, an event after two renewals.
#[tokio::test]
async fn other_transports_go_on_by_renewed_tokens() {
    for transport in [Transport::Sse, Transport::Poll] {
        let world = World::start(Duration::from_secs(2)).await;
        let (asha, tokens) = world.log_in(ASHA).await;
        let (ravi, _) = world.log_in(RAVI).await;
        let (client, kept) = counting(&world.anyone(), tokens);
        let mut stream = client.stream(EventStreamOptions { transport, ..quick() });
        live(&mut stream).await;
        let write = async {
            while kept.load(Ordering::SeqCst) < 2 {
                client.user(&asha.user.id.into()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            client.add_contact(&NewContact::new(asha.user.id, ravi.user.id)).await.unwrap()
        };
        let read = async {
            loop {
                if let Item::Event(event) = next(&mut stream).await.unwrap().unwrap() {
                    return event.seq;
                }
            }
        };
        let (written, seen) = tokio::join!(write, read);
        assert_eq!(written.seq, Some(seen), "{transport}");
    }
}

/// Goal: a token that cannot be renewed ends its stream by name, after a warning. Method: a token of two seconds, alone.
#[tokio::test]
async fn without_another_token_the_stream_says_so_and_ends() {
    let world = World::start(Duration::from_secs(900)).await;
    let token = world.keys.token_for(&[Role::Admin], "operator", Duration::from_secs(2));
    let client = world.anyone().with_token(Token::new(token).unwrap());
    let mut stream = client.stream(quick());
    let (told, error) = end(&mut stream).await;
    assert!(matches!(told, Some(Error::NoToken { .. })), "{told:?}");
    let Error::Unauthorized(refusal) = error else { panic!("{error:?}") };
    assert_eq!((refusal.status, &*refusal.code), (4501, "unauthorized"));
    // A token counts to the end of its last second.
    let error = loop {
        match client.analytics().await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::Unauthorized(refusal) if refusal.status == 401), "{error:?}");
    for transport in [Transport::WebSocket, Transport::Sse, Transport::Poll, Transport::Auto] {
        let (_, error) = end(&mut client.stream(EventStreamOptions { transport, ..quick() })).await;
        assert!(matches!(&error, Error::Unauthorized(refusal) if refusal.status == 401), "{transport}: {error:?}");
    }
}

/// Goal: however many requests are refused, the pair is renewed once. Method: 50 at once by a token that is not good.
#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let world = World::start(Duration::from_secs(900)).await;
    let (asha, mut tokens) = world.log_in(ASHA).await;
    tokens.token = Token::new("not.a.token").unwrap();
    let (client, kept) = counting(&world.anyone(), tokens);
    let user = asha.user.id.into();
    let answers = futures_util::future::join_all((0..50).map(|_| client.user(&user))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(kept.load(Ordering::SeqCst), 1);
    let mut stream = client.stream(quick());
    live(&mut stream).await;
}

/// Goal: a refresh token that was used twice ends the login, and whoever is in by it is told. Method: a thief who is quicker.
#[tokio::test]
async fn reuse_ends_the_login() {
    let world = World::start(Duration::from_secs(900)).await;
    let (_, tokens) = world.log_in(ASHA).await;
    let (client, _) = counting(&world.anyone(), tokens.clone());
    let mut stream = client.stream(quick());
    live(&mut stream).await;
    let stolen = world.anyone().refresh(&tokens.refresh_token).await.unwrap().value;
    world.anyone().refresh(&stolen.refresh_token).await.unwrap();
    let error = world.anyone().refresh(&tokens.refresh_token).await.unwrap_err();
    assert!(matches!(&error, Error::Unauthorized(refusal) if refusal.message.contains("used before")), "{error:?}");
    let (_, error) = end(&mut stream).await;
    assert!(matches!(error, Error::Unauthorized(_)), "{error:?}");
    assert!(matches!(client.contacts(&Default::default()).await, Err(Error::Unauthorized(_))));
}

/// Goal: a refresh whose response is lost costs nothing: it is repeated, and the login continues with the tokens of the repetition.
/// Method: a link that breaks after the server has refreshed; the client's request needs a new token, and the next refresh works.
#[tokio::test]
async fn a_lost_response_to_a_refresh_is_repeated() {
    let world = World::start(Duration::from_secs(900)).await;
    let (_, tokens) = world.log_in(ASHA).await;
    let link = Proxy::start(world.server.address()).await;
    let client = Client::new(&format!("http://{}", link.address())).unwrap();
    link.break_at(br#"{"refresh_token":"#, Loses::Answer);
    let next = client.refresh(&tokens.refresh_token).await.unwrap().value;
    link.broken().await;
    assert_ne!(next.refresh_token, tokens.refresh_token);
    client.with_token(next.token.clone()).contacts(&Default::default()).await.unwrap();
    client.refresh(&next.refresh_token).await.unwrap();
}

/// Goal: a revoked token ends its streams within seconds, and they stay away. Method: revoke as `token revoke` does.
#[tokio::test]
async fn revocation_ends_streams() {
    let world = World::start(Duration::from_secs(900)).await;
    let (_, tokens) = world.log_in(ASHA).await;
    let user = world.anyone().with_token(tokens.token);
    let mut stream = user.stream(quick());
    live(&mut stream).await;
    user.log_out().await.unwrap();
    assert!(matches!(end(&mut stream).await.1, Error::Unauthorized(_)));
    assert!(matches!(user.log_out().await, Err(Error::Unauthorized(_))));

    let operator = world.operator();
    let mut stream = operator.stream(quick());
    live(&mut stream).await;
    let token = operator.token().await.unwrap().unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&decode(token.secret().split('.').nth(1).unwrap())).unwrap();
    let id = claims["jti"].as_str().unwrap().to_owned();
    let revoke = AccessChange::Revoke { id, expires_at: Timestamp::now().plus(Duration::from_secs(900)) };
    let actor = Actor { name: "test".into(), remote: String::new() };
    world.server.sambad().change_access(revoke, actor).await.unwrap();
    assert!(matches!(end(&mut stream).await.1, Error::Unauthorized(_)));
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Goal: what another role could do is refused as that. Method: a user asks for an operator's figures.
#[tokio::test]
async fn another_role_is_forbidden() {
    let world = World::start(Duration::from_secs(900)).await;
    let (_, tokens) = world.log_in(ASHA).await;
    let user = world.anyone().with_token(tokens.token);
    let error = user.analytics().await.unwrap_err();
    assert!(matches!(&error, Error::Forbidden(refusal) if refusal.status == 403), "{error:?}");
}
