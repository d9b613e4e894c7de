//! What the counters say, whatever the database that keeps them.

use crate::limits::{ACTIVE_DAYS, DAILY_DAYS};
use crate::model::{Analytics, DailyCounts};
use crate::time::Day;

/// How many of each there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    pub(super) users: u64,
    pub(super) contacts: u64,
    pub(super) messages: u64,
}

/// A day's counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayCounts {
    /// Since 1970.
    pub(super) day: i64,
    pub(super) counts: Totals,
    /// Users whose last activity fell on that day.
    pub(super) last_active: u64,
}

/// The last day before those that [`analytics`] asks for.
pub(super) fn before_first_day(today: Day) -> i64 {
    today.minus(DAILY_DAYS).number()
}

pub(super) fn analytics(totals: Totals, days: &[DayCounts], today: Day) -> Analytics {
    let first = before_first_day(today) + 1;
    let mut daily: Vec<DailyCounts> = (first..=today.number())
        .map(|number| DailyCounts { date: Day::from_number(number), users: 0, contacts: 0, messages: 0 })
        .collect();
    let mut active_users = 0;
    for DayCounts { day, counts, last_active } in days {
        if *day > today.minus(ACTIVE_DAYS).number() {
            active_users += last_active;
        }
        // A day after today exists when the clock went back: it has no place in the series.
        if let Some(daily) = usize::try_from(day - first).ok().and_then(|index| daily.get_mut(index)) {
            (daily.users, daily.contacts, daily.messages) = (counts.users, counts.contacts, counts.messages);
        }
    }
    let new_users = daily.last().map_or(0, |counts| counts.users);
    Analytics {
        total_users: totals.users,
        new_users,
        active_users,
        inactive_users: totals.users.saturating_sub(active_users),
        growth: percent(new_users, totals.users),
        total_contacts: totals.contacts,
        total_messages: totals.messages,
        daily,
    }
}

/// `part` of `whole` in percent, rounded to two decimals; 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    let Some(hundredths) = (u128::from(part) * 20_000 + u128::from(whole)).checked_div(2 * u128::from(whole)) else { return 0.0 };
    u32::try_from(hundredths).map_or(f64::MAX, |hundredths| f64::from(hundredths) / 100.0)
}
