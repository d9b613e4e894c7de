//! Phones that principals have asked for: what is counted, what is remembered, and for how long.

use std::time::Duration;

use super::*;
use crate::discovery::{REMEMBERED_DAYS, REMEMBERED_MAX};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn asked(asker: i64, phones: std::ops::Range<i32>) -> AskedPhones {
    AskedPhones { asker, phones: phones.collect() }
}

impl Fixture {
    async fn change(&mut self, changes: Vec<AccessChange>) -> Vec<AccessOutcome> {
        let actor = Actor { name: String::new(), remote: String::new() };
        let changes: Vec<_> = changes.into_iter().map(|change| (change, actor.clone())).collect();
        self.writer.set_clock(Clock::fixed(self.clock));
        self.writer.change_access(&changes).await.unwrap()
    }

    /// How many of `phones` were new; `None` when they were too many.
    async fn ask(&mut self, asked: AskedPhones, per_day: u32) -> Option<u64> {
        match self.change(vec![AccessChange::AskPhones { asked, per_day }]).await.remove(0) {
            AccessOutcome::PhonesAsked { new } => Some(new),
            AccessOutcome::TooManyNewPhones => None,
            other => panic!("{other:?}"),
        }
    }

    async fn known(&self, asked: AskedPhones) -> usize {
        self.store.asked_before(&asked).await.unwrap().known.len()
    }
}

on_every_database!(
    new_phones_count_once_and_all_or_none,
    a_new_day_is_a_new_budget,
    phones_are_forgotten_in_time,
    no_more_than_so_many_are_remembered,
);

/// Goal: only new phones count, and a request that is too much counts nothing. Method: requests up to a budget, beyond it and
/// repeated; of two askers; several in one transaction.
async fn new_phones_count_once_and_all_or_none(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    assert_eq!(fixture.ask(asked(1, 0..6), 10).await, Some(6));
    assert_eq!(fixture.ask(asked(1, 3..10), 10).await, Some(4));
    assert_eq!(fixture.ask(asked(1, 9..11), 10).await, None);
    assert_eq!(fixture.known(asked(1, 0..100)).await, 10);
    assert_eq!(fixture.ask(asked(1, 0..10), 10).await, Some(0));
    assert_eq!(fixture.ask(asked(1, 10..11), 11).await, Some(1), "the budget is the server's");
    assert_eq!(fixture.ask(asked(-2, 0..10), 10).await, Some(10));
    let ask = |phones| AccessChange::AskPhones { asked: asked(3, phones), per_day: 5 };
    let outcomes = fixture.change(vec![ask(0..3), ask(2..6), ask(2..5)]).await;
    let new = |new| AccessOutcome::PhonesAsked { new };
    assert_eq!(outcomes, [new(3), AccessOutcome::TooManyNewPhones, new(2)]);
}

/// Goal: the next day has its own budget, and what was known stays so. Method: a second before midnight and at midnight.
async fn a_new_day_is_a_new_budget(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    fixture.clock = "2025-01-15T23:59:59Z".parse().unwrap();
    assert_eq!((fixture.ask(asked(1, 0..10), 10).await, fixture.ask(asked(1, 10..11), 10).await), (Some(10), None));
    fixture.later(Duration::from_secs(1));
    assert_eq!((fixture.ask(asked(1, 0..20), 10).await, fixture.ask(asked(1, 20..21), 10).await), (Some(10), None));
    // A server whose clock is behind sees the day of the one that is ahead.
    fixture.clock = "2025-01-15T23:59:59.9Z".parse().unwrap();
    assert_eq!(fixture.ask(asked(1, 20..21), 10).await, None);
}

/// Goal: a phone that is asked for now and then is known for ever, one that is not is forgotten, and nothing is left of those who
/// ask no more. Method: two phones, one of them every few days; upkeep after the time that phones are remembered.
async fn phones_are_forgotten_in_time(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    assert_eq!(fixture.ask(asked(1, 0..2), 10).await, Some(2));
    assert_eq!(fixture.ask(asked(2, 0..2_000), 10_000).await, Some(2_000));
    let days = u32::try_from(REMEMBERED_DAYS).unwrap();
    for _ in 0..days {
        fixture.later(DAY);
        assert_eq!(fixture.ask(asked(1, 0..1), 10).await, Some(0));
    }
    // With the first note of a new day, phones of the same asker go.
    fixture.later(7 * DAY);
    assert_eq!(fixture.ask(asked(1, 0..1), 10).await, Some(0));
    assert_eq!(fixture.known(asked(1, 0..2)).await, 1);
    assert_eq!(fixture.ask(asked(1, 1..2), 10).await, Some(1));
    // Those of somebody who asks no more go with upkeep, in portions.
    for _ in 0..3 {
        fixture.change(vec![AccessChange::Tidy]).await;
    }
    let before = fixture.store.asked_before(&asked(2, 0..2_000)).await.unwrap();
    assert_eq!((before.spent, before.known.len()), (None, 0));
    assert_eq!(fixture.known(asked(1, 0..2)).await, 2);
}

/// Goal: what is kept of one asker has a bound. Method: more phones than it on two days; on the third those of the second are
/// there, and of the first as many as fit.
async fn no_more_than_so_many_are_remembered(database: TestDatabase) {
    let mut fixture = Fixture::on(database).await;
    let (first, second) = (30_000, 30_000);
    assert!(i64::from(first + second) > REMEMBERED_MAX);
    assert_eq!(fixture.ask(asked(1, 0..first), 1 << 20).await, Some(30_000));
    fixture.later(DAY);
    assert_eq!(fixture.ask(asked(1, first..first + second), 1 << 20).await, Some(30_000));
    fixture.later(DAY);
    assert_eq!(fixture.ask(asked(1, 100_000..100_001), 1 << 20).await, Some(1));
    assert_eq!(fixture.known(asked(1, first..first + second)).await, 30_000);
    assert_eq!(fixture.known(asked(1, 0..first)).await, usize::try_from(REMEMBERED_MAX).unwrap() - 30_000);
}
