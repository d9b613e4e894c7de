//! `/api/admin/audit`: who came in, and what was done about that.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use sambad_core::{Page, Sambad};
use serde::Deserialize;

use crate::error::ApiError;
use crate::extract::{Query, page_limit, param};
use crate::reply;

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    after: Option<String>,
}

/// `GET /api/admin/audit`: the newest first.
pub(crate) async fn list(State(sambad): State<Sambad>, uri: Uri, Query(query): Query<ListQuery>) -> Result<Response, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let before = param("after", query.after.as_deref())?.unwrap_or(i64::MAX);
    let found = sambad.audit(before, limit).await?;
    let page = found.map(|items| {
        // Entries have no holes: below the first there is none.
        let next = items.last().map(|entry| entry.n).filter(|n| items.len() as u64 == u64::from(limit) && *n > 1);
        Page { items, next: next.map(|n| n.to_string()) }
    });
    Ok(reply::page(&uri, &page))
}
