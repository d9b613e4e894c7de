//! A shard that takes its inputs in an order that the seed decides.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::StreamExt;

use super::chance::Chance;
use super::socket::FakeSocket;
use crate::ws::shard::turn::{Input, Shard};

/// Runs `shard` to its end, then looks at what it has left.
pub(super) async fn run(mut shard: Shard<FakeSocket>, chance: Chance) {
    loop {
        let input = next_input(&mut shard, &chance).await;
        if !shard.handle(input).await {
            break;
        }
    }
    assert!(shard.sessions.is_empty(), "sessions left behind: {}", shard.sessions.len());
    assert!(shard.audience.by_kinds.is_empty() && shard.audience.by_user.is_empty(), "an audience without sessions");
}

/// As the shard's own `next_input`, but that tokio's `select!` asks a thread's generator where to begin.
async fn next_input(shard: &mut Shard<FakeSocket>, chance: &Chance) -> Input<FakeSocket> {
    let Shard { requests, head, blocked, reading, ready, .. } = shard;
    let mut grown = pin!(head.changed());
    poll_fn(|cx| {
        let mut order = [0, 1, 2, 3, 4];
        chance.shuffle(&mut order);
        for source in order {
            let input = match source {
                0 => requests.poll_recv(cx).map(|request| Some(Input::Request(request))),
                1 => grown.as_mut().poll(cx).map(|changed| changed.ok().map(|()| Input::Grown)),
                2 => blocked.poll_next_unpin(cx).map(|unblocked| unblocked.map(Input::Unblocked)),
                3 => reading.poll_next_unpin(cx).map(|page| page.map(Input::Page)),
                _ if ready.is_empty() => Poll::Pending,
                _ => Poll::Ready(Some(Input::Ready)),
            };
            if let Poll::Ready(Some(input)) = input {
                return Poll::Ready(input);
            }
        }
        Poll::Pending
    })
    .await
}
