//! Failures as clients see them: one table from kind to status, one form of body.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sambad_core::{Cursor, ErrorKind};
use serde::Serialize;

/// Seconds after which a refused client may try again.
const RETRY_AFTER_S: &str = "1";

/// Cuts out the middle of a message that repeats what was sent: nobody is sent their own megabyte back.
pub(crate) fn brief(message: &str) -> String {
    const BEGIN_CHARS: usize = 120;
    const END_CHARS: usize = 60;
    let chars = message.chars().count();
    if chars <= BEGIN_CHARS + END_CHARS {
        return message.to_owned();
    }
    let begin = message.chars().take(BEGIN_CHARS);
    begin.chain(['…']).chain(message.chars().skip(chars - END_CHARS)).collect()
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Core(#[from] sambad_core::Error),
    /// A position that cannot be served, and where to go on instead.
    #[error("{gone}")]
    CursorGone { gone: sambad_core::Error, head: Cursor },
    #[error("invalid JSON: {0}")]
    InvalidJson(String),
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    #[error("this Expect header is not supported: repeat the request without it")]
    ExpectationFailed,
    #[error("no such path")]
    NoSuchPath,
    #[error("method not allowed")]
    MethodNotAllowed,
    #[error("body did not arrive in time")]
    RequestTimeout,
    #[error("body is larger than {max} bytes")]
    BodyTooLarge { max: usize },
    #[error("expected Content-Type: application/json")]
    UnsupportedMediaType,
    #[error("expected a WebSocket upgrade: {0}")]
    UpgradeRequired(&'static str),
    #[error("compressed bodies are not accepted")]
    Compressed,
    #[error("too many sessions")]
    TooManySessions,
    #[error("too many sessions opened at once")]
    TooManyHandshakes { retry_after: Duration },
    #[error("session not found")]
    NoSuchSession,
    #[error("server is shutting down")]
    Draining,
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("too many requests")]
    RateLimited { retry_after: Duration },
}

impl ApiError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Core(error) => match error.kind() {
                ErrorKind::Invalid => StatusCode::BAD_REQUEST,
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::Conflict => StatusCode::UNPROCESSABLE_ENTITY,
                ErrorKind::Gone => StatusCode::GONE,
                ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::CursorGone { .. } => StatusCode::GONE,
            Self::InvalidJson(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::NoSuchPath | Self::NoSuchSession => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UpgradeRequired(_) => StatusCode::UPGRADE_REQUIRED,
            Self::TooManySessions | Self::TooManyHandshakes { .. } | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Core(error) | Self::CursorGone { gone: error, .. } => error.code(),
            Self::InvalidJson(_) => "invalid_json",
            Self::Malformed(_) => "malformed_request",
            Self::ExpectationFailed => "expectation_failed",
            Self::NoSuchPath | Self::NoSuchSession => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::UnsupportedMediaType | Self::Compressed => "unsupported_media_type",
            Self::UpgradeRequired(_) => "upgrade_required",
            Self::TooManySessions | Self::TooManyHandshakes { .. } => "overloaded",
            Self::Draining => "unavailable",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
        }
    }

    /// Why a request was not let in or was shed, as figures have it; `None` of one that was served, however that ended.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::TooManySessions => Some("too_many_sessions"),
            Self::Draining => Some("draining"),
            Self::Core(sambad_core::Error::TooManyNewPhones { .. }) => Some("too_many_new_phones"),
            other => match other.status() {
                StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::PAYLOAD_TOO_LARGE => Some(other.code()),
                _ => None,
            },
        }
    }

    /// Of a position that cannot be served: why, by the stable name that `resync` has for it.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Core(gone) | Self::CursorGone { gone, .. } => match gone {
                sambad_core::Error::CursorGone { reason } => Some(reason.as_str()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Of the same: where to go on.
    fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::CursorGone { head, .. } => Some(*head),
            _ => None,
        }
    }

    /// What people are told: the message with a capital, and of a server's own fault nothing but that it happened.
    pub(crate) fn message(&self) -> String {
        let message = match self {
            Self::Core(error) if error.kind() == ErrorKind::Internal => "internal error".to_owned(),
            other => other.to_string(),
        };
        let mut chars = message.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    }

    /// The response with its body, which names the request.
    pub(crate) fn into_body(self: Arc<Self>, request_id: &str) -> Response {
        let status = self.status();
        if status.is_server_error() {
            // What has a cause is told here and nowhere else. What has none is a state of the server (it sheds, drains, or cannot
            // write just now), which is told once where it begins, and not with every request that meets it.
            let error = &*self as &dyn std::error::Error;
            if error.source().is_some() || status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(request_id, error, "request failed");
            } else {
                tracing::debug!(request_id, error, "request rejected");
            }
        }
        let body =
            ErrorBody { error: self.message(), code: self.code(), request_id, reason: self.reason(), cursor: self.cursor() };
        let mut response = (status, Json(body)).into_response();
        if let Self::RateLimited { retry_after }
        | Self::TooManyHandshakes { retry_after }
        | Self::Core(sambad_core::Error::TooManyNewPhones { retry_after }) = *self
        {
            // Whole seconds, upwards: whoever comes back then is served.
            response.headers_mut().insert(RETRY_AFTER, (retry_after + Duration::from_millis(999)).as_secs().max(1).into());
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if status == StatusCode::UNAUTHORIZED {
            // Source: RFC 6750, 3.
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            // Source: RFC 9110, 15.5.22.
            // Source: RFC 6455, 4.4; RFC 9110, 7.8.
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Self::Malformed(_) = *self {
            // Nothing that follows on the connection can be taken for a request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: String,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
}

impl IntoResponse for ApiError {
    /// Leaves the error with the response: the outermost layer, which knows the request's id, writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
