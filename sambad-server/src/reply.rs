//! From results to responses: the cursor header, page links, receipts.

use axum::Json;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sambad_core::model::Snapshot;
use sambad_core::{Cursor, Page, Receipt};
use serde::Serialize;

use crate::extract::next_link;
use crate::request_log::Written;

pub(crate) const SAMBAD_CURSOR: HeaderName = HeaderName::from_static("sambad-cursor");
/// When a poll that was answered because the server goes is to come back.
pub(crate) const RECONNECT_AFTER_MS: HeaderName = HeaderName::from_static("sambad-reconnect-after-ms");
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Adds what every response has: no browser guesses its type, and no cache keeps it, unless it says that one may.
pub(crate) fn guard(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A response with the log position it belongs to.
pub(crate) fn at(cursor: Cursor, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    let value = HeaderValue::try_from(cursor.to_string()).expect("a cursor is ASCII");
    response.headers_mut().insert(SAMBAD_CURSOR, value);
    response
}

/// What was read, as JSON.
pub(crate) fn snapshot<T: Serialize>(snapshot: &Snapshot<T>) -> Response {
    at(snapshot.cursor, Json(&snapshot.value))
}

/// A page of a list, with the address of the next one.
pub(crate) fn page<T: Serialize>(uri: &Uri, snapshot: &Snapshot<Page<T>>) -> Response {
    let mut response = at(snapshot.cursor, Json(&snapshot.value.items));
    if let Some(link) = snapshot.value.next.as_deref().and_then(|next| HeaderValue::try_from(next_link(uri, next)).ok()) {
        response.headers_mut().insert(LINK, link);
    }
    response
}

/// The answer to an accepted write.
pub(crate) fn receipt(receipt: &Receipt, status: StatusCode, body: impl Serialize) -> Response {
    let mut response = at(receipt.cursor, (status, Json(body)));
    response.extensions_mut().insert(Written::from(receipt));
    if receipt.replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// JSON that is text already.
pub(crate) fn json_text(text: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text.into()).into_response()
}
