//! Requests whose response precedes the end of their body: a refused write, above all.
//!
//! Over HTTP/1.x such a connection cannot serve another request, and hyper closes it without a header. A pooled client would
//! send its next request into the closed connection; `Connection: close` prevents that.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Whether the body of a request was read to its end.
pub(crate) struct Unread(Option<Arc<AtomicBool>>);

impl Unread {
    /// Begins to watch the body of a request, where that decides about its connection.
    pub(crate) fn watch(request: Request) -> (Request, Self) {
        let is_http1 = request.version() <= Version::HTTP_11;
        if !is_http1 || request.body().is_end_stream() {
            return (request, Self(None));
        }
        let ended = Arc::new(AtomicBool::new(false));
        let watched = request.map(|body| Body::new(Watched { body, ended: Arc::clone(&ended) }));
        (watched, Self(Some(ended)))
    }

    /// Announces the end of the connection if the body was not read.
    pub(crate) fn announce(&self, headers: &mut HeaderMap) {
        // Relaxed: the task that read the body is the one that reads this.
        if self.0.as_ref().is_some_and(|ended| !ended.load(Ordering::Relaxed)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

struct Watched {
    body: Body,
    ended: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || (polled.is_ready() && self.body.is_end_stream()) {
            self.ended.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
