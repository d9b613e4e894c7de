//! What one HTTP/2 connection has yet to send: whose client takes nothing is seen here.

use std::collections::HashMap;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// The answers of one connection of which bytes were handed out and not taken.
///
/// The watch sits at the bytes because nothing else knows: the socket of a client that opens no window accepts pings and the
/// answers of other streams, a body is gone when its last bytes were handed out, which is before they were sent, and a stream of
/// events with nothing to say looks like one whose client is asleep. A body that waits for something has no bytes here.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    answers: Mutex<HashMap<u64, Waiting>>,
    // Relaxed: numbers that differ are enough.
    next: AtomicU64,
}

/// The bytes of one answer.
#[derive(Debug)]
struct Waiting {
    pieces: u32,
    /// When the client last took some, or there were none.
    since: Instant,
}

impl Outbox {
    /// Resolves when a client has taken no byte of an answer for `patience` although there were some.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let now = Instant::now();
            let oldest = self.answers().values().map(|waiting| waiting.since).min();
            let due = oldest.unwrap_or(now) + patience;
            if due <= now {
                return;
            }
            // Nothing can be due earlier: what is handed out from now on has all its time.
            sleep_until(due).await;
        }
    }

    /// A map of numbers is whole whatever happened to the thread that changed it.
    fn answers(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer whose bytes are watched until they are sent.
#[derive(Debug)]
pub(crate) struct Watched<B> {
    body: B,
    outbox: Arc<Outbox>,
    answer: u64,
}

impl<B> Watched<B> {
    pub(crate) fn new(body: B, outbox: Arc<Outbox>) -> Self {
        let answer = outbox.next.fetch_add(1, Ordering::Relaxed);
        Self { body, outbox, answer }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Watched<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let watched = |bytes| Piece::new(bytes, Arc::clone(&self.outbox), self.answer);
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(watched))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer on their way: hyper keeps them until the client's windows let them go, and drops them when they went or
/// never will.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    outbox: Arc<Outbox>,
    answer: u64,
}

impl Piece {
    fn new(bytes: Bytes, outbox: Arc<Outbox>, answer: u64) -> Self {
        outbox.answers().entry(answer).or_insert_with(|| Waiting { pieces: 0, since: Instant::now() }).pieces += 1;
        Self { bytes, outbox, answer }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }

    fn advance(&mut self, n: usize) {
        self.bytes.advance(n);
        if let Some(waiting) = self.outbox.answers().get_mut(&self.answer).filter(|_| n > 0) {
            waiting.since = Instant::now();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut answers = self.outbox.answers();
        if let Some(waiting) = answers.get_mut(&self.answer) {
            waiting.pieces -= 1;
            if waiting.pieces == 0 {
                answers.remove(&self.answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::{advance, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const MOMENT: Duration = Duration::from_secs(20);

    /// Goal: an answer of which nothing is taken is seen, and no other: not one that is taken slowly, and not one that has
    /// nothing to give. Method: paused time; two pieces of one answer, one of them nibbled at, beside a body that waits.
    #[tokio::test(start_paused = true)]
    async fn only_what_is_not_taken_stalls() {
        let outbox = Arc::new(Outbox::default());
        let quiet = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>());
        let mut quiet = Watched::new(quiet, Arc::clone(&outbox));
        assert!(timeout(MOMENT, quiet.frame()).await.is_err());
        let frames = ["first", "second"].map(|text| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(text))));
        let mut body = Watched::new(StreamBody::new(futures_util::stream::iter(frames)), Arc::clone(&outbox));
        let mut piece = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
        let (mut first, second) = (piece().await, piece().await);
        drop(body);
        for _ in 0..4 {
            assert!(timeout(MOMENT, outbox.stalled(PATIENCE)).await.is_err());
            first.advance(1);
        }
        drop(first);
        assert!(timeout(MOMENT, outbox.stalled(PATIENCE)).await.is_err());
        advance(MOMENT).await;
        assert!(timeout(Duration::ZERO, outbox.stalled(PATIENCE)).await.is_ok());
        drop(second);
        assert!(timeout(PATIENCE * 9, outbox.stalled(PATIENCE)).await.is_err());
        assert!(outbox.answers().is_empty());
    }
}
