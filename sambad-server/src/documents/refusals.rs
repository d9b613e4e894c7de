//! Which refusals there are, by status: what `error` makes of failures.

/// Statuses with the codes that a body of that status can have, and when it comes.
pub(super) const REFUSALS: [(u16, &[&str], &str); 15] = [
    (
        400,
        &["invalid_json", "invalid_field", "invalid_id", "invalid_phone", "malformed_request", "self_contact"],
        "The request is invalid. `error` names the field.",
    ),
    (401, &["unauthorized"], "Credentials are missing, invalid, expired or revoked."),
    (403, &["forbidden"], "The credentials do not allow this request, or it is from a page of another origin."),
    (404, &["not_found", "user_not_found", "contact_not_found"], "The resource does not exist."),
    (405, &["method_not_allowed"], "The path does not have this method. The header `Allow` lists its methods."),
    (408, &["request_timeout"], "The body did not arrive in time."),
    (410, &["cursor_gone"], "The log cannot serve this position. Reload your state, then continue from `cursor`."),
    (413, &["body_too_large"], "The body is too large."),
    (415, &["unsupported_media_type"], "The body is not `application/json`, or is compressed."),
    (417, &["expectation_failed"], "The server does not support this `Expect` header. Repeat the request without it."),
    (422, &["idempotency_key_reused"], "The `Idempotency-Key` was used for another request."),
    (426, &["upgrade_required"], "This path needs a WebSocket handshake."),
    (429, &["rate_limited"], "A rate limit or quota is exceeded. Retry after `Retry-After` seconds."),
    (500, &["internal"], "An internal error. The server's log has the details under `request_id`."),
    (
        503,
        &["unavailable", "overloaded"],
        "The server is overloaded, shutting down, or its database is unavailable. Retry after `Retry-After` seconds.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use sambad_core::{ContactId, Cursor, Epoch, Error, InvalidPhone, ResyncReason, Seq};
    use uuid::Uuid;

    use super::*;
    use crate::error::ApiError;

    /// One failure of each sort; the compiler asks for new ones of the server's here.
    fn failures() -> Vec<ApiError> {
        let core = [
            Error::InvalidPhone { field: "phone", reason: InvalidPhone::NotANumber },
            Error::InvalidId { field: "id" },
            Error::field("name", "too long"),
            Error::SelfContact,
            Error::UserNotFound { role: "user" },
            Error::ContactNotFound { id: ContactId::new(Uuid::nil()) },
            Error::IdempotencyKeyReused,
            Error::CursorGone { reason: ResyncReason::EpochChanged },
            Error::TooManyNewPhones { retry_after: Duration::ZERO },
            Error::Overloaded,
            Error::Unavailable(None),
            Error::OutcomeUnknown(None),
            Error::Internal { what: "x".into(), source: None },
        ];
        let own = [
            ApiError::CursorGone {
                gone: Error::CursorGone { reason: ResyncReason::EpochChanged },
                head: Cursor { epoch: Epoch(1), seq: Seq(1) },
            },
            ApiError::InvalidJson("x".into()),
            ApiError::Malformed("x"),
            ApiError::ExpectationFailed,
            ApiError::NoSuchPath,
            ApiError::MethodNotAllowed,
            ApiError::RequestTimeout,
            ApiError::BodyTooLarge { max: 1 },
            ApiError::UnsupportedMediaType,
            ApiError::UpgradeRequired("x"),
            ApiError::TooManySessions,
            ApiError::NoSuchSession,
            ApiError::Draining,
            ApiError::Unauthorized("x"),
            ApiError::Forbidden("x"),
            ApiError::RateLimited { retry_after: Duration::ZERO },
            ApiError::TooManyHandshakes { retry_after: Duration::ZERO },
            ApiError::Compressed,
        ];
        for error in &own {
            match error {
                ApiError::Core(_)
                | ApiError::CursorGone { .. }
                | ApiError::InvalidJson(_)
                | ApiError::Malformed(_)
                | ApiError::ExpectationFailed
                | ApiError::NoSuchPath
                | ApiError::MethodNotAllowed
                | ApiError::RequestTimeout
                | ApiError::BodyTooLarge { .. }
                | ApiError::UnsupportedMediaType
                | ApiError::UpgradeRequired(_)
                | ApiError::TooManySessions
                | ApiError::NoSuchSession
                | ApiError::Draining
                | ApiError::Unauthorized(_)
                | ApiError::Forbidden(_)
                | ApiError::TooManyHandshakes { .. }
                | ApiError::Compressed
                | ApiError::RateLimited { .. } => {}
            }
        }
        core.into_iter().map(ApiError::from).chain(own).collect()
    }

    /// Goal: the document has every refusal and no other. Method: status and code of one failure of each sort.
    #[test]
    fn every_refusal_is_documented() {
        let documented: BTreeSet<(u16, &str)> =
            REFUSALS.iter().flat_map(|(status, codes, _)| codes.iter().map(|code| (*status, *code))).collect();
        let made: BTreeSet<(u16, &str)> = failures().iter().map(|error| (error.status().as_u16(), error.code())).collect();
        assert_eq!(documented, made);
    }

    /// Goal: the page of error codes has every code with its status and no other. Method: its table against the one here.
    #[test]
    fn every_code_is_in_the_reference() {
        let rows = crate::documents::documented("Error codes");
        let rows: Vec<(u16, &str)> = rows.iter().map(|row| (row[0].parse().unwrap(), row[1].as_str())).collect();
        let known: BTreeSet<(u16, &str)> =
            REFUSALS.iter().flat_map(|(status, codes, _)| codes.iter().map(|code| (*status, *code))).collect();
        assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), known);
        assert!(rows.is_sorted_by_key(|(status, _)| *status) && rows.len() == known.len(), "{rows:?}");
    }
}
