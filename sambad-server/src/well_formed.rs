//! What RFC 9110 to 9113 demand of every request, and hyper leaves to whoever uses it.
//!
//! A proxy in front may read such a request otherwise than this server does, so it is refused, and ends its connection.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Version};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tokio::time::{sleep, timeout};

use crate::error::ApiError;
use crate::host::Host;

/// How long a client over HTTP/2 may wait to be asked for its body: curl waits for a second, others not at all.
const BODY_PATIENCE: Duration = Duration::from_secs(2);
/// How long after a refusal its stream is reset: what was not sent by then is dropped.
const RESET_DELAY: Duration = Duration::from_secs(1);

/// Refuses a request that is none, or that expects what the server cannot do.
///
/// # Cancel safety
/// The request is lost.
pub(crate) async fn check(request: Request) -> Result<Request, ApiError> {
    check_host(&request)?;
    check_coding(request.headers())?;
    check_expectation(request).await
}

/// A request names one host. HTTP/1.0 may leave it out.
///
/// Source: RFC 9112, 3.2; RFC 9113, 8.3.1.
fn check_host(request: &Request) -> Result<(), ApiError> {
    const ONE_HOST: ApiError = ApiError::Malformed("expected one valid host");
    let mut hosts = request.headers().get_all(HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok().and_then(Host::parse).ok_or(ONE_HOST)?),
        (Some(_), Some(_)) => return Err(ONE_HOST),
        (None, _) => None,
    };
    let target = match request.uri().authority() {
        Some(authority) => Some(Host::parse(authority.as_str()).ok_or(ONE_HOST)?),
        None => None,
    };
    let well_formed = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 => true,
        Version::HTTP_11 => named.is_some(),
        // Who sends both means one.
        _ => match (named, target) {
            (Some(named), Some(target)) => named.name.eq_ignore_ascii_case(target.name) && named.port == target.port,
            (named, target) => named.or(target).is_some(),
        },
    };
    if well_formed { Ok(()) } else { Err(ONE_HOST) }
}

/// A body has no transfer coding or is chunked, once. hyper looks at the last coding alone, and hands over a body that is coded
/// otherwise as it is.
///
/// Source: RFC 9112, 6.1 and 7.
fn check_coding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if is_chunked && codings.next().is_none() {
        Ok(())
    } else {
        Err(ApiError::Malformed("expected no transfer coding but chunked"))
    }
}

/// `100-continue` is met by hyper over HTTP/1.1. Over HTTP/2 hyper cannot send 100: a client that sends its body all the same, as
/// most do after a second at most, is served, and one that goes on waiting is refused.
///
/// Source: RFC 9110, 10.1.1.
async fn check_expectation(request: Request) -> Result<Request, ApiError> {
    let mut expectations = request.headers().get_all(EXPECT).iter();
    let Some(expectation) = expectations.next() else { return Ok(request) };
    let is_known = expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") && expectations.next().is_none();
    match request.version() {
        Version::HTTP_09 | Version::HTTP_10 => Ok(request),
        Version::HTTP_11 if is_known => Ok(request),
        // Without a body nobody waits.
        _ if is_known && request.body().is_end_stream() => Ok(request),
        Version::HTTP_2 if is_known => {
            let (parts, mut body) = request.into_parts();
            let first = timeout(BODY_PATIENCE, body.frame()).await.map_err(|_| ApiError::ExpectationFailed)?;
            let body = stream::iter(first).chain(BodyStream::new(body));
            Ok(Request::from_parts(parts, Body::new(StreamBody::new(body))))
        }
        _ => Err(ApiError::ExpectationFailed),
    }
}

/// Makes a refusal over HTTP/2 end its stream by a reset, behind the body: Java 17 takes no response but 100 while it waits to be
/// asked for its body, and would wait as long as the stream lasts. The connection's other streams go on.
pub(crate) fn end_by_reset(refusal: Response) -> Response {
    refusal.map(|body| {
        let reset = stream::once(async {
            sleep(RESET_DELAY).await;
            Err(axum::Error::new("the request's body was not asked for"))
        });
        Body::new(StreamBody::new(BodyStream::new(body).chain(reset)))
    })
}
