//! What RFC 9110 to 9113 demand of every request, and hyper leaves to whoever uses it.
//!
//! A proxy in front may read such a request otherwise than this server does, so it is refused, and ends its connection.

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Version};

use crate::error::ApiError;
use crate::host::Host;

/// Refuses a request that is none, or that expects what the server cannot do.
pub(crate) fn check(request: &Request) -> Result<(), ApiError> {
    check_host(request)?;
    check_coding(request.headers())?;
    check_expectation(request)
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

/// `100-continue` is met by hyper over HTTP/1.1, and by nobody over HTTP/2, where the client would wait for ever.
///
/// Source: RFC 9110, 10.1.1.
fn check_expectation(request: &Request) -> Result<(), ApiError> {
    let mut expectations = request.headers().get_all(EXPECT).iter();
    let Some(expectation) = expectations.next() else { return Ok(()) };
    let is_known = expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") && expectations.next().is_none();
    match request.version() {
        Version::HTTP_09 | Version::HTTP_10 => Ok(()),
        Version::HTTP_11 if is_known => Ok(()),
        // Without a body nobody waits.
        _ if is_known && request.body().is_end_stream() => Ok(()),
        _ => Err(ApiError::ExpectationFailed),
    }
}
