//! Answers that are compressed for clients which ask for it.
//!
//! A whole answer is compressed at once, and not while it is sent, as tower-http's layer does: what waits for a slow client is the
//! compressed bytes alone, without an encoder of some 300 KB, and `Content-Length` stays, also of HEAD.

use std::io::Write as _;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use tokio::task::yield_now;

use crate::negotiation::Coding;
use crate::reply;

/// Bytes of an answer below which compression is not worth a client's while: it fits into one packet.
const BYTES_MIN: u64 = 1 << 10;
/// Bytes that are compressed without letting others have the thread: some hundred microseconds.
const TURN_BYTES: usize = 16 << 10;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// Compresses what the handler answers, if the client wants that.
pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let coding = Coding::of(request.headers());
    let mut response = next.run(request).await;
    response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    let bytes_min = match coding {
        Coding::Identity => return response,
        Coding::Gzip => BYTES_MIN,
        Coding::GzipOnly => 1,
    };
    // Whatever has no length is a stream, which nobody may hold back.
    if response.body().size_hint().exact().is_none_or(|bytes| bytes < bytes_min) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let plain = to_bytes(body, usize::MAX).await.unwrap_or_default();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, GZIP);
    Response::from_parts(head, Body::from(packed(&plain).await))
}

async fn packed(plain: &[u8]) -> Vec<u8> {
    // JSON shrinks to an eighth or so.
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
    for turn in plain.chunks(TURN_BYTES) {
        encoder.write_all(turn).expect("memory takes every byte");
        if plain.len() > TURN_BYTES {
            yield_now().await;
        }
    }
    let mut packed = encoder.finish().expect("memory takes every byte");
    packed.shrink_to_fit();
    packed
}

/// Compresses what is compressed once and sent many times.
pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("memory takes every byte")
}

/// JSON that is the same in every answer, in both forms; all answers share their bytes.
#[derive(Debug)]
pub(crate) struct Document {
    plain: Bytes,
    packed: Bytes,
}

impl Document {
    pub(crate) fn new(text: String) -> Self {
        Self { packed: pack(text.as_bytes()).into(), plain: text.into() }
    }

    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let vary = [(VARY, HeaderValue::from_name(ACCEPT_ENCODING))];
        if Coding::of(headers) == Coding::Identity {
            return (vary, reply::json_text(self.plain.clone())).into_response();
        }
        (vary, [(CONTENT_ENCODING, GZIP)], reply::json_text(self.packed.clone())).into_response()
    }
}
