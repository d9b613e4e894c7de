//! A request to be made, and what the answer says when it is refused.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Refusal};

/// How long to wait for a complete answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A request to be made: everything but the address of the server, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout: Duration,
    pub(crate) anonymous: bool,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None, timeout: ANSWER_TIMEOUT, anonymous: false }
    }

    /// Asks as nobody in particular: what anyone is answered needs no token, and must not wait for one.
    pub(crate) fn anonymous(self) -> Self {
        Self { anonymous: true, ..self }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &str, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("request types have string keys only");
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    /// Adds a query parameter, if there is one.
    pub(crate) fn query(mut self, key: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (key, value.to_string())));
        self
    }

    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

/// A header's value, if it is there and is text.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Reads a refusal in the contract's form; a proxy's, which has another, keeps its status.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Body {
        error: String,
        code: String,
        request_id: Option<String>,
    }
    let retry_after = text(headers, "retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let header_id = text(headers, "x-request-id").map(Into::into);
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { error, code, request_id }) => {
            Refusal { status: status.as_u16(), code, message: error, request_id: request_id.or(header_id), retry_after }
        }
        Err(_) => {
            let message = status.canonical_reason().unwrap_or("refused").to_lowercase();
            Refusal { status: status.as_u16(), code: String::new(), message, request_id: header_id, retry_after }
        }
    }
    .into()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    /// Goal: refusals of the server and of a proxy in front of it are both told. Method: one of each.
    #[test]
    fn reads_refusals() {
        let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), HeaderValue::from_static("3"))]);
        let body = br#"{"error":"Too much","code":"overloaded","request_id":"r1"}"#;
        let error = refusal(StatusCode::SERVICE_UNAVAILABLE, &headers, body);
        assert_eq!(error.to_string(), "Too much (503 overloaded)");
        let Error::Api { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(3)));
        let error = refusal(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>");
        assert_eq!(error.to_string(), "bad gateway (502)");
    }
}
