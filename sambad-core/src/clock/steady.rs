//! Which wall time is believed: arithmetic on what was read, without a clock.

use std::time::Duration;

use crate::time::Timestamp;

/// A step that is believed at once: what NTP corrects by a step, a leap second, and a slow way to the database.
pub(super) const TOLERANCE: Duration = Duration::from_secs(2);
/// In how long believed steps may add up to [`TOLERANCE`].
const TOLERANCE_PERIOD: Duration = Duration::from_secs(60);
/// What two clocks that are both right may drift apart: one part in this many. The kernel slews by 500 ppm at most.
const DRIFT_PARTS: u32 = 2000;

/// How rarely a step that is not believed is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// A point through which a clock runs.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    elapsed: Duration,
    wall: Timestamp,
}

impl Anchor {
    fn at(self, elapsed: Duration) -> Timestamp {
        let earlier = self.elapsed.saturating_sub(elapsed);
        self.wall.plus(elapsed.saturating_sub(self.elapsed)).minus(earlier)
    }

    /// Microseconds by which `wall` lies outside of what this clock showed meanwhile.
    fn distance(self, before: Duration, after: Duration, wall: Timestamp) -> i64 {
        let (from, to) = (self.at(before).as_micros(), self.at(after).as_micros());
        wall.as_micros().saturating_sub(wall.as_micros().clamp(from, to))
    }
}

/// What an observation changed, as far as it is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The source made a step that elapsed time does not explain.
    Doubted { step_s: i64 },
    /// It is back where it was believed to be.
    Returned,
    /// It kept to its step for long enough.
    Adopted { step_s: i64 },
}

/// A clock that runs by elapsed time from a point that was believed.
#[derive(Debug)]
pub(super) struct Steady {
    settle: Duration,
    anchor: Anchor,
    /// What may still be believed at once.
    slack: Duration,
    /// When the source last agreed.
    agreed_at: Duration,
    /// Since when the source has made no step that was believed later.
    even_since: Duration,
    /// Where a source that made a step says that it is.
    doubted: Option<Anchor>,
    /// Whether that was told, and when it was last told of any step: a clock that leaps about must not fill the log.
    told: bool,
    told_at: Option<Duration>,
    /// How far age was judged, and when; `None` of a database that no clock was ever trusted with.
    aged: Option<Anchor>,
}

impl Steady {
    pub(super) fn new(elapsed: Duration, wall: Timestamp, settle: Duration) -> Self {
        let anchor = Anchor { elapsed, wall };
        Self {
            settle,
            anchor,
            slack: TOLERANCE,
            agreed_at: elapsed,
            even_since: elapsed,
            doubted: None,
            told: false,
            told_at: None,
            aged: None,
        }
    }

    /// Takes over how far age was judged before the start.
    pub(super) fn resume(&mut self, elapsed: Duration, aged_at: Timestamp) {
        self.aged = Some(Anchor { elapsed, wall: aged_at });
    }

    pub(super) fn now(&self, elapsed: Duration) -> Timestamp {
        self.anchor.at(elapsed)
    }

    /// Takes note that the source said `wall` at an instant between `before` and `after`.
    pub(super) fn observe(&mut self, before: Duration, after: Duration, wall: Timestamp) -> Option<Change> {
        self.age(after);
        let step_us = self.anchor.distance(before, after, wall);
        let step = Duration::from_micros(step_us.unsigned_abs());
        let since = after.saturating_sub(self.agreed_at);
        let refilled = TOLERANCE.as_nanos().saturating_mul(since.as_nanos()) / TOLERANCE_PERIOD.as_nanos();
        let slack = self.slack.saturating_add(Duration::from_nanos(u64::try_from(refilled).unwrap_or(u64::MAX))).min(TOLERANCE);
        if step <= slack + since / DRIFT_PARTS {
            if step_us != 0 {
                self.anchor = Anchor { elapsed: after, wall: shift(self.anchor.at(after), step_us) };
            }
            self.slack = slack.saturating_sub(step);
            self.agreed_at = after;
            self.doubted = None;
            return std::mem::take(&mut self.told).then_some(Change::Returned);
        }
        let step_s = step_us / 1_000_000;
        match self.doubted {
            Some(doubted) if Duration::from_micros(doubted.distance(before, after, wall).unsigned_abs()) <= TOLERANCE => {
                if after.saturating_sub(doubted.elapsed) < self.settle {
                    return None;
                }
                self.anchor = Anchor { elapsed: after, wall };
                (self.slack, self.agreed_at, self.even_since) = (TOLERANCE, after, doubted.elapsed);
                (self.doubted, self.told) = (None, false);
                Some(Change::Adopted { step_s })
            }
            _ => {
                let first = self.doubted.replace(Anchor { elapsed: after, wall }).is_none();
                let due = self.told_at.is_none_or(|told_at| after.saturating_sub(told_at) >= TELL_INTERVAL);
                (first && due).then(|| {
                    (self.told, self.told_at) = (true, Some(after));
                    Change::Doubted { step_s }
                })
            }
        }
    }

    /// Whether the source has agreed with elapsed time for long enough, and does now.
    fn is_trusted(&self) -> bool {
        self.doubted.is_none() && self.agreed_at.saturating_sub(self.even_since) >= self.settle
    }

    /// Lets age go on: as fast as elapsed time, and while the clock is trusted twice as fast until it has caught up with it.
    fn age(&mut self, elapsed: Duration) {
        let trusted = self.is_trusted();
        let now = self.now(elapsed);
        match &mut self.aged {
            Some(aged) => {
                let passed = elapsed.saturating_sub(aged.elapsed);
                let by_itself = aged.wall.plus(passed);
                let wall = if trusted { by_itself.plus(passed).min(now.max(by_itself)) } else { by_itself };
                *aged = Anchor { elapsed: elapsed.max(aged.elapsed), wall };
            }
            None if trusted => self.aged = Some(Anchor { elapsed, wall: now }),
            None => {}
        }
    }

    /// The instant from which the age of what may live for `ttl` is counted; `None` while the clock is not trusted.
    pub(super) fn aged(&mut self, elapsed: Duration, ttl: Duration) -> Option<Timestamp> {
        self.age(elapsed);
        let aged = self.aged.filter(|_| self.is_trusted())?;
        let now = self.now(elapsed);
        // Whatever is stamped otherwise than this clock would stamp it is older than that.
        if elapsed.saturating_sub(self.even_since) >= ttl { Some(now) } else { Some(aged.wall.min(now)) }
    }
}

fn shift(at: Timestamp, by_us: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(by_us))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(300);
    const HOUR: u64 = 3600;
    const NOON: i64 = 1_800_000_000;

    fn at(wall_s: i64) -> Timestamp {
        Timestamp::from_micros(wall_s * 1_000_000)
    }

    /// A clock that began at noon, a second after the machine did, with age judged up to that instant.
    fn steady() -> Steady {
        let mut steady = Steady::new(Duration::from_secs(1), at(NOON), SETTLE);
        steady.resume(Duration::from_secs(1), at(NOON));
        steady
    }

    /// Looks at a source that is `ahead_s` ahead of the truth once a second, from second `from` to second `to` after noon.
    fn look(steady: &mut Steady, (from, to): (u64, u64), ahead_s: i64) {
        for second in from..=to {
            let elapsed = Duration::from_secs(second + 1);
            steady.observe(elapsed, elapsed, at(NOON + second as i64 + ahead_s));
        }
    }

    /// Seconds by which the clock, and the age of what may live a day, lie ahead of the truth at second `second`.
    fn ahead(steady: &mut Steady, second: u64) -> (i64, Option<i64>) {
        let elapsed = Duration::from_secs(second + 1);
        let truth = NOON + second as i64;
        let of = |at: Timestamp| at.as_micros() / 1_000_000 - truth;
        (of(steady.now(elapsed)), steady.aged(elapsed, Duration::from_secs(86_400)).map(of))
    }

    /// Goal: a step counts only once it has lasted, whatever its size and direction. Method: a table of steps that come after an
    /// hour and go after some time; the clock while they last, and half an hour later.
    #[test]
    fn a_step_counts_once_it_has_lasted() {
        const Y_1970: i64 = -NOON;
        const Y_2106: i64 = 4_294_967_296 - NOON;
        for step in [26 * 3600, -26 * 3600, 3600, 10, -10, Y_1970, Y_2106, 10 * 366 * 86_400] {
            for (lasts, adopted) in [(2, false), (299, false), (301, true), (HOUR, true)] {
                let mut steady = steady();
                look(&mut steady, (0, HOUR), 0);
                assert_eq!(ahead(&mut steady, HOUR), (0, Some(0)));
                look(&mut steady, (HOUR + 1, HOUR + 1 + lasts), step);
                let (now, aged) = ahead(&mut steady, HOUR + 1 + lasts);
                assert_eq!(now, if adopted { step } else { 0 }, "{step} for {lasts}");
                if adopted {
                    assert!(aged.is_some_and(|aged| aged <= lasts as i64), "{step} for {lasts}: {aged:?}");
                } else {
                    assert_eq!(aged, None, "nothing is old while the clock is doubted");
                }
                look(&mut steady, (HOUR + 2 + lasts, HOUR + 2 + lasts + HOUR / 2), 0);
                let (now, aged) = ahead(&mut steady, HOUR + 2 + lasts + HOUR / 2);
                assert_eq!(now, 0, "{step} for {lasts}");
                assert!(aged.is_some_and(|aged| aged <= 0), "{step} for {lasts}: {aged:?}");
            }
        }
    }

    /// Goal: what clocks do that are well kept is believed at once. Method: NTP that slews at its fastest, a leap second, a
    /// correction of a second, a machine that slept (elapsed time counts it) and a database that is asked once a day.
    #[test]
    fn small_corrections_are_believed_at_once() {
        let mut slewed = steady();
        for second in 0..=100_000_u64 {
            let elapsed = Duration::from_secs(second + 1);
            let wall = Timestamp::from_micros(at(NOON + second as i64).as_micros() + second as i64 * 500);
            assert_eq!(slewed.observe(elapsed, elapsed, wall), None);
        }
        assert_eq!(ahead(&mut slewed, 100_000).0, 50);
        for step in [-1, 1, 2] {
            let mut stepped = steady();
            look(&mut stepped, (0, HOUR), 0);
            look(&mut stepped, (HOUR + 1, HOUR + 1), step);
            assert_eq!(ahead(&mut stepped, HOUR + 1).0, step);
        }
        let mut slept = steady();
        look(&mut slept, (0, 400), 0);
        look(&mut slept, (400 + 7 * 86_400, 400 + 7 * 86_400), 0);
        assert_eq!(ahead(&mut slept, 400 + 7 * 86_400), (0, Some(0)));
        let mut asked = steady();
        for day in 0..10 {
            look(&mut asked, (day * 86_400, day * 86_400), 5 * day as i64);
        }
        assert_eq!(ahead(&mut asked, 9 * 86_400), (45, Some(45)));
    }

    /// Goal: a clock that is asked slowly is not doubted for that. Method: answers that took seconds, said anywhere between.
    #[test]
    fn a_slow_answer_says_nothing_against_the_clock() {
        let mut steady = steady();
        for said in [0, 5, 30] {
            let change = steady.observe(Duration::from_secs(1), Duration::from_secs(31), at(NOON + said));
            assert_eq!((change, steady.now(Duration::from_secs(31))), (None, at(NOON + 30)));
        }
        let change = steady.observe(Duration::from_secs(1), Duration::from_secs(31), at(NOON + 60));
        assert_eq!(change, Some(Change::Doubted { step_s: 30 }));
    }

    /// Goal: nothing is old before the clock is trusted, and a week without a server is made good within a week of running, or as
    /// soon as the clock has run for as long as a thing may live. Method: a start after a week; age at instants of two lifetimes.
    #[test]
    fn age_lags_after_a_start_and_catches_up() {
        const WEEK: i64 = 7 * 86_400;
        let lag = |second: u64, ttl: u64| {
            let mut steady = Steady::new(Duration::from_secs(1), at(NOON), SETTLE);
            steady.resume(Duration::from_secs(1), at(NOON - WEEK));
            for looked in (0..=second).step_by(60) {
                look(&mut steady, (looked, looked), 0);
            }
            let aged = steady.aged(Duration::from_secs(second + 1), Duration::from_secs(ttl));
            aged.map(|aged| NOON + second as i64 - aged.as_micros() / 1_000_000)
        };
        let (hour, month) = (HOUR, 30 * 86_400);
        assert_eq!(lag(240, hour), None);
        assert!(lag(300, hour).is_some_and(|lag| (WEEK - 60..=WEEK).contains(&lag)));
        assert_eq!(lag(hour, hour), Some(0));
        assert!(lag(hour, month).is_some_and(|lag| (WEEK - 3600..=WEEK - 3200).contains(&lag)));
        assert_eq!(lag(WEEK as u64 + 600, month), Some(0));
    }

    /// Goal: a clock that leaps about does not fill the log. Method: a source that is elsewhere with each of a thousand looks, ten a
    /// second, and right with every third.
    #[test]
    fn a_clock_that_leaps_about_is_told_of_rarely() {
        let (mut steady, mut told) = (steady(), 0);
        for look in 0..1000_i64 {
            let elapsed = Duration::from_millis(1000 + 100 * look.unsigned_abs());
            let ahead_us = if look % 3 == 0 { 0 } else { 1_000_000_000 * look };
            let wall = Timestamp::from_micros(at(NOON).as_micros() + 100_000 * look + ahead_us);
            told += u32::from(steady.observe(elapsed, elapsed, wall).is_some());
        }
        assert_eq!(told, 4, "doubted and returned, in two minutes");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Goal: however a source behaves, age never runs faster than twice as fast as elapsed time, but for what is certainly
        /// older; and the clock moves by elapsed time but for corrections that were believed. Method: random steps at random
        /// instants.
        #[test]
        fn no_source_makes_things_older_than_twice_the_time(
            steps in prop::collection::vec((1_u64..600, -200_000_i64..200_000, 0_u8..4), 1..60),
        ) {
            let mut steady = steady();
            let (mut second, mut offset) = (0, 0);
            let ttl = Duration::from_secs(400 * 86_400);
            for (pause, step, moves) in steps {
                second += pause;
                offset += if moves == 0 { step } else { 0 };
                let elapsed = Duration::from_secs(second + 1);
                let before = steady.now(elapsed);
                let change = steady.observe(elapsed, elapsed, at(NOON + second as i64 + offset));
                let moved = steady.now(elapsed).since(before).max(before.since(steady.now(elapsed)));
                let adopted = matches!(change, Some(Change::Adopted { .. }));
                prop_assert!(adopted || moved <= TOLERANCE + Duration::from_secs(pause), "{change:?} moved by {moved:?}");
                if let Some(aged) = steady.aged(elapsed, ttl) {
                    prop_assert!(aged <= at(NOON + 2 * second as i64));
                    prop_assert!(aged <= steady.now(elapsed));
                }
            }
        }
    }
}
