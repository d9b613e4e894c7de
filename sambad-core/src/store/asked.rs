//! Which phones principals have asked for, whatever the database: the decision here, the statements there.

use crate::access::AccessOutcome;
use crate::discovery::{AskedBefore, AskedPhones, REMEMBERED_DAYS, REMEMBERED_MAX, Spending};
use crate::time::{Day, Timestamp};

/// Phones deleted with each row of another kind that one change deletes: they come in address books.
const TIDIED_FACTOR: usize = 16;

/// The statements, all in one transaction that has changes of access to itself.
pub(super) trait AskedRows {
    async fn asked_before(&mut self, asked: &AskedPhones) -> Result<AskedBefore, sqlx::Error>;
    /// Forgets phones of `asker` that were noted on `forgotten` or before, and of the others all but the `kept` last noted.
    async fn forget_asked(&mut self, asker: i64, forgotten: Day, kept: i64) -> Result<(), sqlx::Error>;
    async fn note_asked(&mut self, asker: i64, spending: &Spending) -> Result<(), sqlx::Error>;
    /// Forgets askers for whom nothing was noted since `forgotten`, `limit` rows of each kind at most.
    async fn tidy_asked(&mut self, forgotten: Day, limit: usize) -> Result<(), sqlx::Error>;
}

/// Counts phones, all or none of them.
///
/// Changes of access take their turn, also those of several servers: no two of them see the same rest of a budget.
pub(super) async fn ask(
    rows: &mut impl AskedRows,
    asked: &AskedPhones,
    per_day: u32,
    now: Timestamp,
    aged: Option<Timestamp>,
) -> Result<AccessOutcome, sqlx::Error> {
    let before = rows.asked_before(asked).await?;
    let spending = before.spending(asked, now.day());
    if spending.exceeds(per_day) {
        return Ok(AccessOutcome::TooManyNewPhones);
    }
    if before.spent.is_some_and(|(day, _)| day != spending.day) {
        // Once a day: it looks at all that is remembered of an asker.
        rows.forget_asked(asked.asker, forgotten(aged), REMEMBERED_MAX).await?;
    }
    rows.note_asked(asked.asker, &spending).await?;
    Ok(AccessOutcome::PhonesAsked { new: spending.new.unsigned_abs() })
}

/// Deletes what is forgotten of those who ask no more.
pub(super) async fn tidy(rows: &mut impl AskedRows, aged: Timestamp, limit: usize) -> Result<(), sqlx::Error> {
    rows.tidy_asked(forgotten(Some(aged)), limit * TIDIED_FACTOR).await
}

/// What was noted that day or before is forgotten: nothing while the clock is not trusted.
fn forgotten(aged: Option<Timestamp>) -> Day {
    aged.map_or(Day::from_number(i64::MIN), |aged| aged.day().minus(REMEMBERED_DAYS))
}
