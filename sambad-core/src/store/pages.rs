//! From rows to pages, whatever the database that they come from.

use crate::cursor::{LogBounds, Seq};
use crate::event::EventRow;
use crate::kind::{Filter, KindSet};
use crate::limits::SLICE_BYTES_MAX;
use crate::store::{LogPage, Page};

/// Rows looked at in one page when only some kinds are asked for: a rare kind must not cost a statement a row.
const SCANNED_ROWS: u32 = 512;

/// Decodes `rows`, of which one more than `limit` was asked for, into a page; `token` is what the page after a row is asked by.
pub(super) fn page<R, T, E>(
    mut rows: Vec<R>,
    limit: u32,
    decode: impl Fn(&R) -> Result<T, E>,
    token: impl Fn(&R) -> Result<String, E>,
) -> Result<Page<T>, E> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(token).transpose()? } else { None };
    Ok(Page { items: rows.iter().map(decode).collect::<Result<_, E>>()?, next })
}

/// Whatever begins with `prefix` sorts before this text, which ends in a character that no phone and no name holds.
pub(super) fn past_prefix(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

/// How many rows of the log are looked at for a page of `limit`.
pub(super) fn scanned_max(filter: &Filter, limit: u32) -> u32 {
    if filter.kinds == KindSet::ALL { limit } else { limit.max(SCANNED_ROWS) }
}

/// Makes a page of the rows after `after` that were looked at: up to [`scanned_max`] of them, or fewer where they came to
/// [`SLICE_BYTES_MAX`].
pub(super) fn log_page(bounds: LogBounds, mut rows: Vec<EventRow>, after: Seq, filter: &Filter, limit: u32) -> LogPage {
    let bytes: usize = rows.iter().map(|event| event.data.len()).sum();
    let cut_off = bytes >= SLICE_BYTES_MAX || u32::try_from(rows.len()).is_ok_and(|count| count == scanned_max(filter, limit));
    let mut through = match rows.last() {
        Some(last) if cut_off => last.seq,
        _ => bounds.head.max(after),
    };
    rows.retain(|event| filter.matches(event.kind, event.involved));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() > limit {
        rows.truncate(limit);
        through = rows.last().map_or(after, |last| last.seq);
    }
    LogPage { bounds, rows, through }
}
