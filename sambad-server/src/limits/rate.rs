//! How often things happen, by key.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

/// A bucket for each key, all of one size.
#[derive(Debug)]
pub(super) struct Rates<K: Hash + Eq + Clone>(Option<DefaultKeyedRateLimiter<K>>);

impl<K: Hash + Eq + Clone> Rates<K> {
    /// 0: there is no bound.
    pub(super) fn per_second(n: u32) -> Self {
        Self(NonZeroU32::new(n).map(|n| DefaultKeyedRateLimiter::keyed(Quota::per_second(n))))
    }

    /// 0: there is no bound.
    pub(super) fn per_minute(n: u32) -> Self {
        Self(NonZeroU32::new(n).map(|n| DefaultKeyedRateLimiter::keyed(Quota::per_minute(n))))
    }

    /// Takes one out of the bucket of `key`, or says how long it takes until there is one.
    pub(super) fn take(&self, key: &K) -> Result<(), Duration> {
        let Some(buckets) = &self.0 else { return Ok(()) };
        buckets.check_key(key).map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    /// Lets go of full buckets, which are as good as none.
    pub(super) fn forget(&self) {
        if let Some(buckets) = &self.0 {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is known of many addresses does not stay. Method: a hundred thousand keys with a bucket that is full again
    /// within a microsecond, and one whose bucket takes a minute.
    #[test]
    fn quiet_keys_are_forgotten() {
        let rates = Rates::per_second(1_000_000);
        assert!((0..100_000).all(|key| rates.take(&key).is_ok()));
        std::thread::sleep(Duration::from_millis(1));
        rates.forget();
        assert_eq!(rates.0.as_ref().unwrap().len(), 0);
        let rates = Rates::per_minute(1);
        assert!(rates.take(&1).is_ok());
        rates.forget();
        let wait = rates.take(&1).unwrap_err();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
        assert!(rates.take(&2).is_ok());
    }
}
