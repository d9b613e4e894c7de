//! Work of which only so much is done at a time, so that whoever brings much of it does not keep the machine from others.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::Semaphore;

/// Drives `future`, of which each step takes a turn.
///
/// A turn is given back while the future waits: who is slow, or says nothing, holds none.
pub(crate) async fn by_turns<F: Future>(turns: &Semaphore, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let turn = turns.acquire().await.expect("nobody closes it");
        let step = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        drop(turn);
        if let Poll::Ready(output) = step {
            return output;
        }
        // Whatever wakes the future wakes this task.
        let mut waited = false;
        poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Goal: those who wait for something keep nobody from a turn, and come to their end. Method: one turn; a future that waits,
    /// another one beside it, then what the first one waits for.
    #[tokio::test]
    async fn whoever_waits_holds_no_turn() {
        let turns = std::sync::Arc::new(Semaphore::new(1));
        let (tell, told) = oneshot::channel();
        let waiting = tokio::spawn({
            let turns = std::sync::Arc::clone(&turns);
            async move { by_turns(&turns, told).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(by_turns(&turns, async { turns.available_permits() }).await, 0);
        tell.send("told").unwrap();
        assert_eq!(waiting.await.unwrap(), Ok("told"));
        assert_eq!(turns.available_permits(), 1);
    }
}
