//! Readers slower than the writers: fed from the stored log at their own pace, nobody else delayed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sambad_core::{Command, Limits, UserRef};
use sambad_server::ServerConfig;

use crate::harness::{Dashboard, World, soon};

/// A tail so short that whoever does not keep up reads from the store.
pub(crate) fn short_tail() -> Limits {
    Limits { tail_bytes_max: 16 << 10, ..Limits::default() }
}

/// Writes `n` messages past HTTP, which is not what is tested here, `wave` at a time.
pub(crate) async fn flood(world: &World, user: &str, n: usize, wave: usize) {
    let user = UserRef::Id(user.parse().expect("an id"));
    let content: Arc<str> = "x".repeat(400).into();
    for begun in (0..n).step_by(wave) {
        let writes = (begun..n.min(begun + wave)).map(|_| {
            let (from, to) = (user.clone(), user.clone());
            let command = Command::SendMessage { from, to, content: content.to_string(), message_type: "text".into() };
            world.server.sambad().execute(command, None)
        });
        for receipt in join_all(writes).await {
            receipt.expect("the store takes the message");
        }
    }
}

/// Goal: a reader that stands still costs nobody anything and loses nothing. Method: 20,000 events (14 MB, far beyond what
/// the kernel holds) while it does not read; a healthy reader has them all before it begins; then it reads all, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything_and_delays_nobody() {
    const N: u64 = 20_000;
    let config = ServerConfig { stall_timeout: Duration::from_secs(600), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    let mut slow = Dashboard::with_small_buffer(world.server.address(), "").await;
    let mut healthy = world.dashboard("").await;
    let reader = tokio::spawn(async move {
        for seq in 2..N + 2 {
            let frame = healthy.text().await.expect("the session is open");
            assert!(frame.ends_with(&format!(r#","seq":{seq}}}"#)), "{frame} is not {seq}");
        }
    });
    flood(&world, &user, 20_000, 500).await;
    soon("end of the healthy reader", reader).await.expect("the healthy reader does not panic");
    for seq in 2..N + 2 {
        let frame = slow.text().await.expect("the session is open");
        assert!(frame.ends_with(&format!(r#","seq":{seq}}}"#)), "{frame} is not {seq}");
    }
    slow.nothing_more(&world.api).await;
    world.finish().await;
}

/// Goal: a socket that takes nothing is given up, and its client resumes without loss. Method: a short patience, a flood, and
/// a reader that begins when its session is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_socket_is_given_up_and_resumed() {
    const N: u64 = 15_000;
    let config = ServerConfig { stall_timeout: Duration::from_secs(1), ..ServerConfig::default() };
    let world = World::start_with(config, short_tail()).await;
    let user = world.api.user("+919876543210").await;
    let mut stalled = Dashboard::with_small_buffer(world.server.address(), "").await;
    flood(&world, &user, 15_000, 500).await;
    world.sessions(0).await;
    let mut seen = 1;
    while let Ok(frame) = stalled.text().await {
        seen += 1;
        assert!(frame.ends_with(&format!(r#","seq":{seen}}}"#)), "{frame} is not {seen}");
    }
    assert!(seen < N, "the socket took everything: nothing stalled");
    let mut resumed = world.dashboard(&format!("after={seen}")).await;
    let rest = usize::try_from(N + 1 - seen).expect("a short log");
    assert_eq!(resumed.seqs(rest).await, (seen + 1..=N + 1).collect::<Vec<u64>>());
    resumed.expect("live").await;
    world.finish().await;
}

/// Goal: a filter that passes little passes it all, however deep the store. Method: three needles in a log far longer than the tail.
#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_filter_finds_its_events_in_the_store() {
    let world = World::start_with(ServerConfig::default(), short_tail()).await;
    let users = world.api.users(2).await;
    let mut needles = Vec::new();
    for _ in 0..3 {
        flood(&world, &users[0], 5000, 500).await;
        needles.push(world.api.send_message(&users[0], &users[1], "needle").await.seq().expect("a message has a seq"));
    }
    flood(&world, &users[0], 5000, 500).await;
    let mut dashboard = world.dashboard(&format!("after=0&user={}", users[1])).await;
    assert_eq!(dashboard.seqs(4).await, [vec![2], needles].concat());
    assert_eq!(dashboard.expect("live").await["data"]["cursor"], world.api.cursor().await);
    world.finish().await;
}
