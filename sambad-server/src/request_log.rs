//! What surrounds every request: its id, the body of a refusal, its figures, and its line in the log.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use percent_encoding::percent_decode_str;
use sambad_core::{Phone, Receipt, Seq};
use uuid::Uuid;

use crate::auth::Principal;
use crate::config::LogRequests;
use crate::error::ApiError;
use crate::host::Host;
use crate::router::AppState;
use crate::routes::methods;
use crate::scheme::Scheme;
use crate::sessions::Remote;
use crate::unread::Unread;
use crate::{reply, well_formed};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Characters of a request id that the caller may choose.
const REQUEST_ID_CHARS_MAX: usize = 128;
/// Characters of a path that are logged.
const PATH_CHARS_MAX: usize = 200;
/// Digits without a letter between them that may be a phone.
const PHONE_DIGITS_MIN: usize = 5;
/// Times that a path may be percent-encoded: proxies and clients do so once each.
const ENCODINGS_MAX: usize = 8;
/// Characters of a method that are logged: clients may invent methods as long as a head.
const METHOD_CHARS_MAX: usize = 20;
/// The target of the lines about requests, by which a filter chooses them.
pub(crate) const REQUEST: &str = "sambad_server::request";
/// Of requests that matched no route.
const NO_ROUTE: &str = "none";
/// Lines about failed requests in a second: whoever floods a server must not fill its disk as well.
const FAILED_LINES_MAX: u64 = 100;

/// A year, for this very name: what other names of the domain do is not this server's to say.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What a write came to, which its handler leaves with the response for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    batch: u64,
    seq: Option<Seq>,
}

impl From<&Receipt> for Written {
    fn from(receipt: &Receipt) -> Self {
        Self { batch: receipt.batch, seq: receipt.seq }
    }
}

/// What is kept of a request while it is answered.
struct Asked {
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    client: Option<Remote>,
    trace: Option<String>,
    id: HeaderValue,
}

/// Gives every request an id, writes the body of every refusal, counts, and logs what came and went.
pub(crate) async fn identify(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let begun = Instant::now();
    let in_flight = state.metrics.requests.begin();
    let hsts = state.config.hsts && takes_hsts(&request);
    let is_http2 = request.version() == Version::HTTP_2;
    let (request, unread) = Unread::watch(request);
    let mut response = match well_formed::check(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    drop(in_flight);
    let refusal = response.extensions_mut().remove::<Arc<ApiError>>();
    if let Some(error) = &refusal {
        let body = Arc::clone(error).into_body(asked.id.to_str().unwrap_or_default());
        // What the router said besides, such as Allow, stays.
        let (mut head, _) = response.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.extend(body.headers().clone());
        response = Response::from_parts(head, body.into_body());
    }
    if is_http2 && matches!(refusal.as_deref(), Some(ApiError::ExpectationFailed)) {
        response = well_formed::end_by_reset(response);
    }
    let headers = response.headers_mut();
    // The router knows GET and HEAD alone, whatever answers OPTIONS.
    if matches!(refusal.as_deref(), Some(ApiError::MethodNotAllowed)) || headers.contains_key(header::ALLOW) {
        let methods = methods(asked.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str), state.origins.others_may());
        headers.insert(header::ALLOW, HeaderValue::try_from(methods).expect("methods are ASCII"));
    }
    if state.drain.has_begun() {
        headers.append(header::CONNECTION, HeaderValue::from_static("close"));
    }
    unread.announce(headers);
    if hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    reply::guard(headers);
    asked.note(&state, &response, refusal.as_deref(), begun.elapsed());
    response.headers_mut().insert(X_REQUEST_ID, asked.id);
    response
}

/// Whether the client came over TLS, by a name that it may insist on TLS for from now on.
fn takes_hsts(request: &Request) -> bool {
    Scheme::of_request(request.extensions()) == Scheme::Https
        && Host::of(request.headers(), request.uri()).is_some_and(Host::takes_hsts)
}

impl Asked {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            client: request.extensions().get::<Remote>().copied(),
            trace: trace_id(headers).map(str::to_owned),
            id: headers.get(X_REQUEST_ID).filter(|value| acceptable(value)).cloned().unwrap_or_else(new_id),
        }
    }

    /// Counts the request, and logs it if such requests are.
    fn note(&self, state: &AppState, response: &Response, refusal: Option<&ApiError>, took: Duration) {
        let requests = &state.metrics.requests;
        let (status, route) = (response.status(), self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str));
        requests.answered(&self.method, self.route.as_ref().map(MatchedPath::as_str), status.as_u16(), took);
        if let Some(reason) = refusal.and_then(ApiError::refusal) {
            requests.refused(reason);
        }
        let failed = status.is_client_error() || status.is_server_error();
        let wanted = match state.config.log_requests {
            LogRequests::All => true,
            LogRequests::Failed => failed && state.lines.take_or(|left_out| tell_left_out(state, left_out)),
            LogRequests::None => false,
        };
        if wanted {
            self.log(response, route, status, refusal, took);
        }
    }

    /// Writes the line. No query, header or body is in it: those hold what is nobody else's business.
    fn log(&self, response: &Response, route: &str, status: StatusCode, refusal: Option<&ApiError>, took: Duration) {
        let principal = response.extensions().get::<Principal>();
        let written = response.extensions().get::<Written>();
        tracing::info!(
            target: REQUEST,
            request_id = self.id.to_str().unwrap_or_default(),
            trace_id = self.trace,
            method = method(&self.method),
            route,
            path = path(self.uri.path()),
            status = status.as_u16(),
            code = refusal.map(ApiError::code),
            elapsed_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            client = self.client.map(tracing::field::display),
            roles = principal.map(roles),
            subject = principal.map(|principal| &*principal.subject),
            batch = written.map(|written| written.batch),
            seq = written.and_then(|written| written.seq).map(|seq| seq.0),
            "request"
        );
    }
}

fn roles(principal: &Principal) -> String {
    principal.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
}

fn tell_left_out(state: &AppState, lines: u64) {
    state.metrics.requests.lines_left_out.inc_by(lines);
    tracing::warn!(target: REQUEST, lines, "log lines about failed requests were dropped");
}

fn acceptable(value: &HeaderValue) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn new_id() -> HeaderValue {
    HeaderValue::try_from(Uuid::now_v7().to_string()).expect("a UUID is ASCII")
}

/// The trace that a request belongs to; `None` if it says nothing that can be trusted to be one.
///
/// Source: W3C Trace Context, 3.2: lower case, no zeros, one header, and of versions to come what version 00 has.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    const VERSION_00_CHARS: usize = 55;
    let mut values = headers.get_all(TRACEPARENT).iter();
    let text = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let mut parts = text.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, chars: usize| part.len() == chars && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let named = |part: &str| part.bytes().any(|b| b != b'0');
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && named(trace) && hex(parent, 16) && named(parent);
    let whole = hex(flags, 2) && (version != "00" || text.len() == VERSION_00_CHARS);
    (valid && whole).then_some(trace)
}

/// A method as it is logged. It is ASCII.
fn method(method: &Method) -> &str {
    method.as_str().get(..METHOD_CHARS_MAX).unwrap_or(method.as_str())
}

/// A path as it is logged: segments that may hold a phone are masked, unless they are to be shown, and a long path is cut.
fn path(path: &str) -> String {
    if Phone::is_shown_in_logs() {
        return path.chars().take(PATH_CHARS_MAX).collect();
    }
    // Masked before it is cut: a part of a phone does not look like one.
    let masked = path.split('/').map(|segment| if may_hold_phone(segment) { "***" } else { segment });
    masked.flat_map(|segment| ['/'].into_iter().chain(segment.chars())).skip(1).take(PATH_CHARS_MAX).collect()
}

/// Whether a segment may hold a phone, however often it is percent-encoded and in whatever digits: some digits with nothing but what
/// people put between them. Ids are none.
fn may_hold_phone(segment: &str) -> bool {
    // An encoded digit has a digit in it, so that most segments are done with here.
    if segment.is_ascii() && segment.bytes().filter(u8::is_ascii_digit).count() < PHONE_DIGITS_MIN {
        return false;
    }
    let mut text = Cow::Borrowed(segment);
    for _ in 0..ENCODINGS_MAX {
        let decoded = match percent_decode_str(&text).decode_utf8_lossy() {
            Cow::Owned(decoded) => decoded,
            Cow::Borrowed(_) => break,
        };
        text = Cow::Owned(decoded);
    }
    if text.parse::<Uuid>().is_ok() {
        return false;
    }
    let mut digits = 0;
    text.chars().any(|c| {
        digits = match c {
            _ if c.is_numeric() => digits + 1,
            _ if c.is_alphabetic() => 0,
            // Whatever else may stand in between: blanks, hyphens, brackets, what cannot be seen.
            _ => digits,
        };
        digits >= PHONE_DIGITS_MIN
    })
}

/// How many lines may still be written this second.
#[derive(Debug)]
pub(crate) struct Lines {
    since: Instant,
    /// The second since then, and the lines of it, those that were left out included: one number, so that both change at once.
    spent: AtomicU64,
}

impl Lines {
    /// Lines in a second that fit beside the second in one number.
    const SECOND: u64 = 1 << 32;

    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), spent: AtomicU64::new(0) }
    }

    /// Whether one more line may be written now. The first of a second is told how many were left out in the one before.
    fn take_or(&self, left_out: impl FnOnce(u64)) -> bool {
        self.take_at(self.since.elapsed().as_secs(), FAILED_LINES_MAX, left_out)
    }

    /// Whether one more of `lines_max` lines may be written in `second`.
    pub(crate) fn take_at(&self, second: u64, lines_max: u64, left_out: impl FnOnce(u64)) -> bool {
        let next = |spent: u64| Some(if spent / Self::SECOND == second { spent + 1 } else { second * Self::SECOND + 1 });
        // Relaxed: the number stands for itself. The update cannot be refused.
        let before = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        let (of, lines) = (before / Self::SECOND, before % Self::SECOND);
        if of == second {
            return lines < lines_max;
        }
        if lines > lines_max {
            left_out(lines - lines_max);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only what W3C Trace Context allows is taken for a trace. Method: a table around its rules.
    #[test]
    fn traces_are_validated() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
            }
            trace_id(&headers).map(str::to_owned)
        };
        assert_eq!(of(&[&good]).as_deref(), Some(TRACE));
        let later = good.replacen("00", "cc", 1) + "-what-comes";
        assert_eq!(of(&[&later]).as_deref(), Some(TRACE), "a later version may say more");
        let refused = [
            String::new(),
            TRACE.to_owned(),
            good.to_uppercase(),
            good.replacen("00", "ff", 1),
            good.replace(TRACE, &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace("4736", "473"),
            good.replace("4736", "473g"),
            format!("{good}-more"),
            good.replace("-01", ""),
            good.replace("-01", "-1"),
            good.replacen("00", "cc", 1) + "more",
        ];
        for bad in &refused {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
        assert_eq!(of(&[&good, &good]), None, "two are none");
    }

    /// Goal: no phone gets into a log by way of a path, and ids stay readable. Method: a table.
    #[test]
    fn phones_in_paths_are_masked() {
        let id = "0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b";
        for (asked, logged) in [
            ("/api/users/+919876543210", "/api/users/***"),
            ("/api/users/%2B919876543210", "/api/users/***"),
            ("/api/users/98765%2043210", "/api/users/***"),
            ("/api/users/%2b1(555)123-4567", "/api/users/***"),
            ("/api/users/%39%38%37%36%35%34%33%32%31%30", "/api/users/***"),
            ("/api/users/%252B919876543210", "/api/users/***"),
            ("/api/users/%25252B91%2525209876543210", "/api/users/***"),
            ("/api/users/9876543210", "/api/users/***"),
            ("/api/users/98765.43210", "/api/users/***"),
            ("/api/users/98765%C2%A043210", "/api/users/***"),
            ("/api/users/98765%E2%80%9143210", "/api/users/***"),
            ("/api/users/%EF%BC%99%EF%BC%98%EF%BC%97%EF%BC%96%EF%BC%95%EF%BC%94", "/api/users/***"),
            ("/api/users/９８７６５４３２１０", "/api/users/***"),
            ("/api/users/%E0%A5%AF%E0%A5%AE%E0%A5%AD%E0%A5%AC%E0%A5%AB", "/api/users/***"),
            ("/api/users/tel:+919876543210", "/api/users/***"),
            ("/api/users/phone=919876543210;x", "/api/users/***"),
            ("/api/users/98%00765%FF43210", "/api/users/***"),
            ("/api/users/98765%2F43210", "/api/users/***"),
            ("/api/contacts", "/api/contacts"),
            ("/", "/"),
            ("/v1/2024", "/v1/2024"),
        ] {
            assert_eq!(path(asked), logged);
        }
        assert_eq!(path(&format!("/api/users/{id}")), format!("/api/users/{id}"));
        assert_eq!(path(&"/x".repeat(9_000)).len(), PATH_CHARS_MAX);
        let cut = path(&format!("/{}/+919876543210", "x".repeat(PATH_CHARS_MAX - 6)));
        assert!(cut.ends_with("x/***"), "{cut}");
    }

    /// Goal: a flood of failures is a hundred lines a second, and what was left out is told once. Method: three seconds, of
    /// which the first has too many.
    #[test]
    fn lines_are_bounded() {
        let (lines, told) = (Lines::new(), std::cell::Cell::new(0));
        let written =
            |second: u64, asked: u64| (0..asked).filter(|_| lines.take_at(second, 100, |n| told.set(told.get() + n))).count();
        assert_eq!((written(0, 250), told.get()), (100, 0));
        assert_eq!((written(3, 50), told.get()), (50, 150));
        assert_eq!((written(4, 101), told.get()), (100, 150));
        assert_eq!((written(5, 1), told.get()), (1, 151));
    }
}
