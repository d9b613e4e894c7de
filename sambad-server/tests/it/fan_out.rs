//! One event to many sockets: nothing lands inside a frame, nobody is forgotten, nobody stays behind.

use std::sync::Arc;

use futures_util::future::join_all;
use sambad_core::{Command, Limits, UserRef};
use sambad_server::ServerConfig;
use sambad_server::config::ClientLimits;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Dashboard, Ended, World, soon};

/// Sends messages of many lengths from a user to themselves, past HTTP, eight at a time.
async fn send_messages(world: &World, user: &str, n: usize) {
    let user = UserRef::Id(user.parse().expect("an id"));
    for begun in (0..n).step_by(8) {
        let writes = (begun..n.min(begun + 8)).map(|number| {
            let (from, to, content) = (user.clone(), user.clone(), "x".repeat(1 + number * 37 % 3_000));
            let command = Command::SendMessage { from, to, content, message_type: "text".into() };
            world.server.sambad().execute(command, None)
        });
        for receipt in join_all(writes).await {
            receipt.expect("the store takes the message");
        }
    }
}

/// Goal: pongs, answers and the close stand between frames, never inside one. Method: a client whose socket is nearly always
/// full asks with every event it reads; a strict reader parses what comes, and every answer must be among it.
#[tokio::test(flavor = "multi_thread")]
async fn answers_stand_between_frames() {
    const N: usize = 1_500;
    let clients = ClientLimits { session_frames_per_s: 0, ..ClientLimits::default() };
    let config = ServerConfig { clients, ..ServerConfig::default() };
    let world = Arc::new(World::start_with(config, Limits { tail_bytes_max: 64 << 10, ..Limits::default() }).await);
    let user = world.api.user("+919876543210").await;
    let mut client = Dashboard::with_small_buffer(world.server.address(), "").await;
    let writer = tokio::spawn({
        let world = Arc::clone(&world);
        async move { send_messages(&world, &user, N).await }
    });
    let (mut events, mut asked, mut answered) = (0, 0, 0);
    while events < N || answered < asked {
        let frame = client.frame().await;
        match frame["type"].as_str() {
            Some("message_sent") => {
                events += 1;
                assert_eq!(frame["seq"], events + 1);
                client.send(Message::Ping(vec![b'p'; events % 126].into())).await;
                if events % 3 == 0 {
                    client.send(json!({"type": "ping"}).to_string()).await;
                    asked += 1;
                }
            }
            Some("pong") => answered += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
    soon("end of the writer", writer).await.expect("the writer does not panic");
    assert_eq!(asked, N / 3);
    assert!(matches!(client.close(1000).await, Ended::Closed(1000, _)), "the close is answered");
    world.sessions(0).await;
    Arc::into_inner(world).expect("the writer is gone").finish().await;
}

/// Goal: sessions that change their filter, say goodbye or vanish while events pour in leave nothing behind. Method: waves of
/// each under load, the server's own count of sockets afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_leave_nothing_behind() {
    const WAVES: usize = 6;
    const WAVE: usize = 30;
    let world = Arc::new(World::start().await);
    let user = world.api.user("+919876543210").await;
    let other = world.api.user("+919876543211").await;
    let writer = tokio::spawn({
        let (world, user) = (Arc::clone(&world), user.clone());
        async move { send_messages(&world, &user, 3_000).await }
    });
    let mut stayed = Vec::new();
    for wave in 0..WAVES {
        let queries = ["", "after=0", "types=message_sent", &format!("user={user}"), &format!("user={other}&after=0")];
        let mut sessions: Vec<Dashboard> = Vec::new();
        for number in 0..WAVE {
            sessions.push(world.dashboard(queries[(wave + number) % queries.len()]).await);
        }
        for (number, mut session) in sessions.into_iter().enumerate() {
            session.send(json!({"type": "subscribe", "user": if number % 2 == 0 { &user } else { &other }}).to_string()).await;
            match number % 3 {
                0 => drop(session),
                1 => {
                    session.send(Message::Close(None)).await;
                    while session.text().await.is_ok() {}
                }
                _ => stayed.push(session),
            }
        }
    }
    soon("end of the writer", writer).await.expect("the writer does not panic");
    world.sessions(u64::try_from(stayed.len()).expect("a count")).await;
    drop(stayed);
    world.sessions(0).await;
    Arc::into_inner(world).expect("the writer is gone").finish().await;
}
