//! Sessions outlive the request that began them: they are confined like it, and end with its token.

use std::time::Duration;

use sambad_core::Timestamp;
use sambad_core::access::AccessChange;
use sambad_server::config::{AuthConfig, Role};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::{PASSWORD, PASSWORD_HASH, World, soon};

fn bearer(token: &str) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer {token}"))]
}

async fn open(world: &World, query: &str, token: &str) -> crate::harness::Socket {
    let [(name, value)] = bearer(token);
    let mut socket = world.socket(query, &[(name, &value)]).await.expect("the token is good");
    assert_eq!(socket.next().await.unwrap()["type"], "connected");
    socket
}

/// Whether a stream, in chunks, ends with the message that says so, and as it should.
fn ends_with(stream: &[u8], code: u16, reason: &str) -> bool {
    let last = format!(r#"data: {{"type":"closed","code":{code},"reason":"{reason}"}}"#);
    String::from_utf8_lossy(stream).ends_with(&format!("event: closed\n{last}\n\n\r\n0\r\n\r\n"))
}

/// Goal: a page, which can set no header, comes in by a subprotocol, and is answered one that it named. Method: the handshake.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_by_subprotocol() {
    let world = World::start().await;
    let offer = format!("sambad.v1, bearer.{}", world.admin());
    let answer = world
        .send(
            "GET",
            "/ws",
            &[
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-protocol", &offer),
            ],
            None,
        )
        .await;
    assert_eq!((answer.status, answer.headers["sec-websocket-protocol"].to_str().unwrap()), (101, "sambad.v1"));
    assert_eq!(world.socket(&format!("token={}", world.admin()), &[]).await.err(), Some(401), "never by the address");
    world.stop().await;
}

/// Goal: a user's stream holds what is theirs, whatever the query or a later frame asks for, on every transport. Method: two
/// users who each ask for the other; then both get a user's own event, and only that.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_confined_to_their_user() {
    let world = World::start().await;
    let mut logins = Vec::new();
    for phone in ["+919876543210", "+919876543211", "+919876543212"] {
        logins.push(world.login(phone).await);
    }
    let (own, other, third) = (&logins[0], &logins[1], &logins[2]);
    let token = own["token"].as_str().unwrap();
    let mut socket = open(&world, &format!("user={}", other["id"].as_str().unwrap()), token).await;
    socket.say(&json!({ "type": "subscribe", "user": other["id"] })).await;
    let subscribed = socket.next_of("subscribed").await;
    assert_eq!(subscribed["data"]["user"], own["id"], "it is told what it gets");
    socket.say(&json!({ "type": "subscribe" })).await;
    assert_eq!(socket.next_of("subscribed").await["data"]["user"], own["id"]);
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let request = format!(
        "GET /api/events/stream?user={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n",
        other["id"].as_str().unwrap()
    );
    stream.write_all(request.as_bytes()).await.unwrap();

    for (from, to, content) in [(other, third, "not theirs"), (other, own, "theirs")] {
        let message = json!({ "fromUserId": from["id"], "toUserId": to["id"], "content": content });
        assert_eq!(world.post("/api/messages", &world.service(), &message).await.status, 201);
    }
    assert_eq!(socket.next_of("message_sent").await["data"]["content"], "theirs");
    let mut text = String::new();
    soon("event", async {
        let mut bytes = [0; 4096];
        while !text.contains("theirs\"") {
            let read = stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    })
    .await;
    assert!(!text.contains("not theirs"), "{text}");
    world.stop().await;
}

/// Goal: a session is told before its token ends, goes on by a new one of the same person without a break, and otherwise ends
/// with it. Method: tokens that last seconds; another's token, a bad one, a good one; then none.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_by_new_tokens_and_end_without() {
    let world = World::start_with(|config| {
        if let AuthConfig::Token(tokens) = &mut config.auth {
            tokens.token_ttl = Duration::from_secs(4);
        }
    })
    .await;
    let (login, other) = (world.login("+919876543210").await, world.login("+919876543211").await);
    let mut socket = open(&world, "", login["token"].as_str().unwrap()).await;
    let expiring = socket.next_of("token_expiring").await;
    assert_eq!(expiring["data"]["expires_at"], login["token_expires_at"]);
    for (bad, code) in [(other["token"].as_str().unwrap(), "forbidden"), ("abc", "unauthorized")] {
        socket.say(&json!({ "type": "auth", "token": bad })).await;
        assert_eq!(socket.next_of("error").await["code"], code);
    }
    let next = world.post_as_nobody("/api/users/refresh", &json!({ "refresh_token": login["refresh_token"] })).await.json();
    socket.say(&json!({ "type": "auth", "token": next["token"] })).await;
    assert_eq!(socket.next_of("authenticated").await["data"]["expires_at"], next["token_expires_at"]);
    assert_eq!(socket.next_of("token_expiring").await["data"]["expires_at"], next["token_expires_at"]);
    assert_eq!(socket.next().await, Err(4501));
    let ends = next["token_expires_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(Timestamp::now() >= ends, "not before its end");
    world.stop().await;
}

/// Goal: a revocation ends every kind of session within 5 s, also one that another process asks for. Method: the real command
/// on the server's database, with a socket, a stream and a poll open.
#[tokio::test(flavor = "multi_thread")]
async fn revocation_ends_sessions() {
    let world = World::start().await;
    let token = world.admin();
    let mut socket = open(&world, "", &token).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let request =
        format!("GET /api/events/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 16];
    stream.read_exact(&mut head).await.unwrap();
    let poll = world.get("/api/events?wait=30", &token);
    let revoke = async {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"));
        command.args(["token", "revoke", &token, "--database", &world.server.database()]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let revoked = Instant::now();
        assert_eq!(socket.next().await, Err(4501));
        let mut rest = Vec::new();
        soon("end of the stream", stream.read_to_end(&mut rest)).await.unwrap();
        assert!(ends_with(&rest, 4501, "unauthorized"), "{}", String::from_utf8_lossy(&rest));
        // A browser's EventSource asks again, by whatever cookie it has then, and gives up if that is refused.
        assert!(!String::from_utf8_lossy(&rest).contains("retry:"));
        revoked.elapsed()
    };
    let (poll, took) = tokio::join!(poll, revoke);
    assert_eq!(poll.status, 401, "{poll:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.stop().await;
}

/// Goal: an admin's sessions end with the logout. Method: a socket by cookie.
#[tokio::test(flavor = "multi_thread")]
async fn the_logout_ends_an_admins_sessions() {
    let world = World::start().await;
    world.add_admin(PASSWORD_HASH).await;
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let mut socket = world.socket("", &[("cookie", &cookie)]).await.expect("the cookie is good");
    assert_eq!(socket.next().await.unwrap()["type"], "connected");
    assert_eq!(world.send("POST", "/api/admin/logout", &[("cookie", &cookie)], None).await.status, 200);
    assert_eq!(socket.next().await, Err(4501));
    world.stop().await;
}

/// Goal: an admin closes a session of any transport, whose client is told not to come back; one that is not there is said not
/// to be. Method: a socket, a stream and a poll, each closed by the id in the list.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_closes_sessions() {
    let world = World::start().await;
    let admin = world.keys.token(&[Role::Admin], "operator");
    let mut socket = open(&world, "", &admin).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let request =
        format!("GET /api/events/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {admin}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let poll = world.get("/api/events?wait=30", &admin);
    let close = async {
        let mut closed = std::collections::BTreeMap::new();
        while closed.len() < 3 {
            let list = world.get("/api/admin/sessions", &admin).await.json();
            for session in list["sessions"].as_array().unwrap() {
                let [(name, value)] = bearer(&admin);
                let path = format!("/api/admin/sessions/{}", session["session"].as_str().unwrap());
                let answer = world.send("DELETE", &path, &[(name, &value)], None).await;
                if answer.status == 200 {
                    closed.insert(session["session"].to_string(), session["transport"].to_string());
                    let again = soon("second answer", world.send("DELETE", &path, &[(name, &value)], None)).await;
                    assert!([200, 404].contains(&again.status), "{again:?}");
                }
            }
        }
        let kinds: std::collections::BTreeSet<&String> = closed.values().collect();
        assert_eq!(kinds.len(), 3, "{closed:?}");
    };
    let (poll, ()) = tokio::join!(poll, close);
    assert_eq!((poll.status, poll.code().as_str()), (403, "forbidden"));
    assert_eq!(socket.next().await, Err(4503));
    let mut rest = Vec::new();
    soon("end of the stream", stream.read_to_end(&mut rest)).await.unwrap();
    assert!(ends_with(&rest, 4503, "forbidden"), "{}", String::from_utf8_lossy(&rest));
    world.stop().await;
}

/// Goal: a token revoked before a session begins begins none. Method: revoke, wait for a request to be refused, connect.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_begins_no_session() {
    let world = World::start().await;
    let token = world.admin();
    let id = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(&token).unwrap()["jti"].as_str().unwrap().to_owned();
    world.change(AccessChange::Revoke { id, expires_at: Timestamp::now().plus(Duration::from_secs(60)) }).await;
    soon("refusal", async {
        while world.get("/api/users", &token).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let [(name, value)] = bearer(&token);
    assert_eq!(world.socket("", &[(name, &value)]).await.err(), Some(401));
    world.stop().await;
}
