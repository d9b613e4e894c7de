//! From requests to values: bodies, queries and names of users, each with its bound.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use sambad_core::{CountryCode, Error, IdempotencyKey, InvalidPhone, UserId, UserRef, WrittenPhone, limits};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserializer, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::auth::{Principal, Role};
use crate::config::ClientLimits;
use crate::error::{ApiError, brief};
use crate::object::Object;
use crate::router::AppState;

/// How deep arrays and objects of a body may nest: the contract's are two deep.
const JSON_DEPTH_MAX: usize = 32;

/// Bytes that have arrived of all bodies that are being read; beyond it a request is refused as overloaded. What is only
/// announced counts for nothing, or a few clients that send nothing could keep everybody from writing.
pub(crate) const BODIES_BYTES_MAX: usize = 32 << 20;

/// A JSON body that knows its own bound.
pub(crate) trait JsonBody: DeserializeOwned {
    fn bytes_max(limits: &ClientLimits) -> usize {
        limits.body_bytes_max
    }
    /// Whether it becomes a command, and so is refused while too many of those wait.
    const IS_WRITE: bool = true;

    /// What it asks for, as far as the body alone says it: a retry under the same idempotency key must ask for the same. The
    /// text of a phone counts, since the number that it is depends on the server. Nothing where a key has no effect.
    fn meaning(&self) -> impl Serialize {}
}

/// A JSON body that may be as large as an address book, and is only looked up.
pub(crate) trait LargeJsonBody: DeserializeOwned {}

impl<T: LargeJsonBody> JsonBody for T {
    fn bytes_max(limits: &ClientLimits) -> usize {
        limits.address_book_bytes_max
    }
    const IS_WRITE: bool = false;
}

/// The body of a POST, and the key under which a retry of it gets the first answer.
#[derive(Debug)]
pub(crate) struct Payload<T> {
    pub(crate) body: T,
    pub(crate) key: Option<IdempotencyKey>,
}

impl<T: JsonBody> FromRequest<AppState> for Payload<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let max = T::bytes_max(&state.config.clients);
        if T::IS_WRITE {
            // Before a byte of the body is read: shedding must cost less than serving.
            state.sambad.would_take(announced(&parts.headers).unwrap_or(0).min(max))?;
        }
        if !is_json(&parts.headers) {
            return Err(ApiError::UnsupportedMediaType);
        }
        if is_compressed(&parts.headers) {
            return Err(ApiError::Compressed);
        }
        let arrival = read(&parts.headers, body, max, &state.bodies);
        let (bytes, _room) =
            tokio::time::timeout(state.config.body_timeout, arrival).await.map_err(|_| ApiError::RequestTimeout)??;
        let body: T = parse(&bytes)?;
        let key = idempotency_key(&parts, &body, &bytes)?;
        Ok(Self { body, key })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// A small body that unpacks to a large one would get past every bound on bytes.
fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Reads the whole body, and keeps room for it among all bodies; one that announces too much is refused before a byte of it is
/// read.
async fn read<'a>(
    headers: &HeaderMap,
    mut body: Body,
    max: usize,
    bodies: &'a Semaphore,
) -> Result<(Bytes, SemaphorePermit<'a>), ApiError> {
    if announced(headers).is_some_and(|bytes| bytes > max) {
        return Err(ApiError::BodyTooLarge { max });
    }
    let mut room = bodies.try_acquire_many(0).map_err(|_| Error::Overloaded)?;
    let mut read = Bytes::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::InvalidJson("body ended early".into()))?;
        let Ok(bytes) = frame.into_data() else { continue };
        if read.len() + bytes.len() > max {
            return Err(ApiError::BodyTooLarge { max });
        }
        let more = u32::try_from(bytes.len()).map_err(|_| ApiError::BodyTooLarge { max })?;
        // Bodies that arrive on many connections must not add up to all of the memory.
        room.merge(bodies.try_acquire_many(more).map_err(|_| Error::Overloaded)?);
        // Most bodies are one piece, which is taken as it is; of others the buffer so far is nobody else's, and grows in place.
        read = if read.is_empty() {
            bytes
        } else {
            let mut whole = BytesMut::from(read);
            whole.extend_from_slice(&bytes);
            whole.freeze()
        };
    }
    Ok((read, room))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn idempotency_key<T: JsonBody>(parts: &Parts, body: &T, bytes: &[u8]) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = parts.headers.get("idempotency-key") else { return Ok(None) };
    let digest = |said: &[u8]| Sha256::new().chain_update(parts.uri.path()).chain_update([b'\n']).chain_update(said).finalize();
    let meaning = serde_json::to_vec(&body.meaning()).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
    // Bytes that are no ASCII become U+FFFD, which no key may contain.
    let key = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let key = IdempotencyKey::new(key, digest(&meaning).into())?.of_bytes(digest(bytes).into());
    // Two people may choose the same one, and neither learns of the other's; services act for everybody.
    let principal = parts.extensions.get::<Principal>().filter(|principal| !principal.has(Role::Service));
    Ok(Some(match principal {
        Some(principal) => key.of(&principal.subject),
        None => key,
    }))
}

/// Reads a JSON object, naming the field in which it is not what was expected.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if nests_deeper(bytes, JSON_DEPTH_MAX) {
        return Err(ApiError::InvalidJson(format!("nested deeper than {JSON_DEPTH_MAX}")));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let source = error.into_inner();
        if source.is_data() {
            let field = if field == "." { "body".to_owned() } else { field };
            Error::field(field, brief(without_position(&source.to_string()))).into()
        } else {
            ApiError::InvalidJson(brief(&source.to_string()))
        }
    })?;
    deserializer.end().map_err(|error| ApiError::InvalidJson(error.to_string()))?;
    Ok(value)
}

/// Whether arrays and objects nest deeper than `max`. serde_json has a bound of its own for what it reads, and none for what it
/// passes over.
fn nests_deeper(bytes: &[u8], max: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max {
            return true;
        }
    }
    false
}

fn without_position(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}

/// A query string; every value is text until a handler asks for more.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(parse_query(parts.uri.query().unwrap_or_default())?))
    }
}

/// Reads the parameters that a query string gives. `types` is a list, which may be cut into several; anything else comes once.
pub(crate) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Error> {
    let read = serde_urlencoded::from_str(query).or_else(|error| match with_one_list(query) {
        Some(query) => serde_urlencoded::from_str(&query),
        None => Err(error),
    });
    read.map_err(|error| Error::field("query", brief(&error.to_string())))
}

/// The query with all of its lists in one, `types=a&types=b` as `types=a,b`; `None` if there are not several.
fn with_one_list(query: &str) -> Option<String> {
    const LIST: &str = "types";
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
    let (lists, mut pairs): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name == LIST);
    let items: Vec<&str> = lists.iter().map(|(_, items)| items.as_str()).filter(|items| !items.is_empty()).collect();
    pairs.push((LIST.to_owned(), items.join(",")));
    (lists.len() > 1).then(|| serde_urlencoded::to_string(pairs).ok()).flatten()
}

/// Reads an optional parameter; one that is there but empty counts as not there.
pub(crate) fn param<T: FromStr<Err: std::fmt::Display>>(name: &'static str, text: Option<&str>) -> Result<Option<T>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| Error::field(name, error.to_string()))
}

/// Reads an optional id.
pub(crate) fn id_param<T: FromStr>(field: &'static str, text: Option<&str>) -> Result<Option<T>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Error::InvalidId { field })
}

/// Reads an optional whole number within bounds; `unit` ends the message.
pub(crate) fn number_param(
    name: &'static str,
    text: Option<&str>,
    bounds: RangeInclusive<u32>,
    unit: &str,
) -> Result<Option<u32>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    let complaint = || Error::field(name, format!("expected {} to {}{unit}", bounds.start(), bounds.end()));
    number.map(Some).ok_or_else(complaint)
}

/// Reads how many rows the client requests: 1 to `max`.
pub(crate) fn limit_param(text: Option<&str>, default: u32, max: u32) -> Result<u32, Error> {
    Ok(number_param("limit", text, 1..=max, "")?.unwrap_or(default))
}

/// Requires a field of a body.
pub(crate) fn required<'a>(field: &'static str, text: Option<&'a str>) -> Result<&'a str, Error> {
    text.filter(|text| !text.trim().is_empty()).ok_or_else(|| Error::field(field, "missing"))
}

/// Takes a name for what it is; an empty one is none.
pub(crate) fn name(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What is there and not blank.
pub(crate) fn said(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// How a body names a user, as one spelling of a UUID; a phone stays as it was written.
pub(crate) fn named(text: Option<&str>) -> Option<String> {
    said(text).map(|text| text.parse::<UserId>().map_or_else(|_| text.to_owned(), |id| id.to_string()))
}

/// Digits with which a text that names nobody is taken for a phone: a UUID has more.
const PHONE_CHARS_MAX: usize = 31;

/// Reads how a user is named: a UUID, or a phone; without a country code it is one of `default`'s country.
pub(crate) fn user_ref(field: &'static str, text: &str, default: &CountryCode) -> Result<UserRef, Error> {
    let text = text.trim();
    if let Ok(id) = text.parse::<UserId>() {
        return Ok(UserRef::Id(id));
    }
    let text = &*without_repeated_spaces(text);
    WrittenPhone::read(text, default).map(UserRef::Phone).map_err(|reason| match reason {
        _ if text.starts_with('+') => Error::InvalidPhone { field, reason },
        InvalidPhone::NotANumber => Error::InvalidId { field },
        _ if text.chars().count() > PHONE_CHARS_MAX => Error::InvalidId { field },
        _ => Error::InvalidPhone { field, reason },
    })
}

/// A body full of spaces must not wait for the committer.
fn without_repeated_spaces(text: &str) -> Cow<'_, str> {
    if text.len() <= PHONE_CHARS_MAX {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// As [`user_ref`]; a number without a country code is one of whoever acts.
pub(crate) fn recipient_ref(field: &'static str, text: &str, default: &CountryCode) -> Result<UserRef, Error> {
    let text = &*without_repeated_spaces(text.trim());
    let user = user_ref(field, text, default);
    let is_complete = matches!(user, Ok(UserRef::Id(_))) || text.starts_with(['+', '＋']) || text.contains(':');
    let is_number = !matches!(user, Err(Error::InvalidId { .. })) && text.chars().count() <= PHONE_CHARS_MAX;
    if is_complete || !is_number { user } else { Ok(UserRef::National(text.to_owned())) }
}

/// Reads a phone; without a country code it is one of `default`'s country.
pub(crate) fn phone(field: &'static str, text: &str, default: &CountryCode) -> Result<WrittenPhone, Error> {
    WrittenPhone::read(text, default).map_err(|reason| Error::InvalidPhone { field, reason })
}

/// Reads a field of a body that holds a phone or a country code: programs send it as a number, too, which is its digits.
pub(crate) fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(DigitsVisitor)
}

struct DigitsVisitor;

impl<'de> Visitor<'de> for DigitsVisitor {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a string or a whole number")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
}

/// The one variable segment of a path, decoded.
#[derive(Debug)]
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        segment.map(|Path(text)| Self(text)).map_err(|_| Error::InvalidId { field: "id" }.into())
    }
}

/// The address of the next page: this request's, continued after `next`.
pub(crate) fn next_link(uri: &Uri, next: &str) -> String {
    let query: Vec<(String, String)> = serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    let kept = query.iter().filter(|(name, _)| name != "after").map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs: Vec<(&str, &str)> = kept.chain([("after", next)]).collect();
    let query = serde_urlencoded::to_string(pairs).expect("pairs of strings can be encoded");
    format!("<{}?{query}>; rel=\"next\"", uri.path())
}

/// The page size of lists of rows.
pub(crate) fn page_limit(text: Option<&str>) -> Result<u32, Error> {
    limit_param(text, limits::PAGE_ROWS_DEFAULT, limits::PAGE_ROWS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: depth is what nests, not what is written in texts. Method: a table, around the bound.
    #[test]
    fn depth_counts_what_nests() {
        for (text, deeper) in [
            ("[[[1]]]", false),
            ("[[[[1]]]]", true),
            ("[[[1]],[[2]],[[3]]]", false),
            (r#"{"a":{"b":[1]}}"#, false),
            (r#"{"a":{"b":[{}]}}"#, true),
            (r#""[[[[""#, false),
            (r#"["[[[[\"[[[[", "\\", "]"]"#, false),
            (r#"["\\",[[[1]]]]"#, true),
            ("]]]][[[[", true),
        ] {
            assert_eq!(nests_deeper(text.as_bytes(), 3), deeper, "{text}");
        }
    }
}
