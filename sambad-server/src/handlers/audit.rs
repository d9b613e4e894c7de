//! `/api/admin/audit`: who came in, and what was done about that.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use sambad_core::access::{AuditAction, AuditEntry};
use sambad_core::{Error, Page, Sambad};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Query, page_limit};
use crate::reply;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// The number of rows of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
    /// The position of this page, from the header `Link` of the page before.
    #[param(value_type = Option<i64>)]
    after: Option<String>,
}

/// `GET /api/admin/audit`: the newest first.
#[utoipa::path(
    get,
    path = "/api/admin/audit",
    operation_id = "audit",
    summary = "List the audit log",
    description = "Lists entries of the audit log, newest first.",
    params(ListQuery),
    responses((status = 200, description = "A page of the list. The header `Link` has the address of the next page.", body = Vec<AuditEntry>, headers(("Link" = Option<String>)))),
)]
pub(crate) async fn list(
    State(sambad): State<Sambad>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let page = || Error::field("after", "expected the page token of a `Link` header");
    let before = match query.after.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => token.parse().map_err(|_| page())?,
        None => i64::MAX,
    };
    let found = sambad.audit(before, limit).await?;
    let page = found.map(|items| {
        // Entries have no holes: below the first there is none.
        let next = items.last().map(|entry| entry.n).filter(|n| items.len() as u64 == u64::from(limit) && *n > 1);
        Page { items, next: next.map(|n| n.to_string()) }
    });
    // A page does not begin with the entry of its own reading.
    caller.count_reading(AuditAction::AuditRead, "audit log", &sambad).await?;
    Ok(reply::page(&uri, &page))
}
