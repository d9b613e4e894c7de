//! Lists longer than a page.

use std::num::NonZeroU32;

use clap::Args;
use sambad_client::{Answer, Error, PageToken};

/// Rows of one request, at most; the contract's own bound.
const PAGE_ROWS_MAX: u32 = 500;

/// How much of a list to show.
#[derive(Debug, Args)]
pub(crate) struct Paging {
    /// Show at most N rows
    #[arg(long, value_name = "N", default_value = "100")]
    limit: NonZeroU32,
    /// Show all rows
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl Paging {
    /// The whole list.
    pub(crate) const ALL: Self = Self { limit: NonZeroU32::MAX, all: true };

    /// Fetches page after page and shows each as it comes, until there are no more or enough rows.
    pub(crate) async fn each<T>(
        &self,
        mut fetch: impl AsyncFnMut(u32, Option<PageToken>) -> Result<Answer<Vec<T>>, Error>,
        mut show: impl FnMut(&Answer<Vec<T>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut left = if self.all { u32::MAX } else { self.limit.get() };
        let mut after = None;
        while left > 0 {
            let page = fetch(left.min(PAGE_ROWS_MAX), after).await?;
            show(&page)?;
            left = left.saturating_sub(u32::try_from(page.value.len()).unwrap_or(u32::MAX));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(())
    }
}
