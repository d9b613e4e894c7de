//! How many new phones one principal may ask for in a day.
//!
//! Whoever sends a phone and learns whether it has an account can find all accounts, if they may send any number of phones. A
//! phone that was asked for before tells nothing new: only the first time counts, so that an app may send the same address book
//! at every start.
//!
//! **Invariant:** the database holds digests alone. A phone's has 28 bits and depends on who asks: dozens of phones have the same
//! one, so that nobody reads an address book from the table. The price is that a new phone is taken for a known one with a
//! probability of 1 in 268 million for each known phone: with all that can be known, less than one in 3,000.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};

use crate::id::UserId;
use crate::phone::Phone;
use crate::time::{Day, Timestamp};

/// How many days a phone is remembered that is not asked for again.
pub const REMEMBERED_DAYS: i64 = 30;
/// How many phones of one principal are remembered from one day to the next: those that were asked for last.
pub const REMEMBERED_MAX: i64 = 50_000;
/// After how many days it is noted that a phone was asked for again: not each time, which would be a write.
pub(crate) const NOTED_AGAIN_DAYS: i64 = 7;

/// Phones of a request that are kept in memory, at most: what single messages and contacts ask for.
const RECENT_REQUEST_MAX: usize = 16;
/// Phones in each half of what is kept in memory; about 1 MB.
const RECENT_MAX: usize = 32_768;

/// On whose account phones are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// A user, or a service that acts for one.
    User(UserId),
    /// A service that acts for nobody in particular, by its name.
    Service(Arc<str>),
    /// A client without a name, by its address.
    Address(String),
}

/// How many phones an asker may ask for that they never asked for before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneBudget {
    /// Who asks.
    pub asker: Asker,
    /// New phones in a day, UTC. 0: any number, and nothing is counted.
    pub per_day: u32,
}

/// What askers and phones are made unrecognisable with.
pub(crate) struct DiscoveryKey(hmac::Key);

impl DiscoveryKey {
    pub(crate) fn new(key: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))
    }

    /// What the database knows `asker` and `phones` by.
    pub(crate) fn digest(&self, asker: &Asker, phones: &[Phone]) -> AskedPhones {
        let asker = match asker {
            Asker::User(id) => format!("user {id}"),
            Asker::Service(name) => format!("service {name}"),
            Asker::Address(address) => format!("address {address}"),
        };
        let name = hmac::sign(&self.0, format!("asker {asker}").as_bytes());
        let own_key = hmac::sign(&self.0, format!("phones of {asker}").as_bytes());
        let phone = |phone: &Phone| {
            let digest = Sha256::new().chain_update(own_key.as_ref()).chain_update(phone.as_str()).finalize();
            i32::from_be_bytes([digest[0] & 0x0f, digest[1], digest[2], digest[3]])
        };
        let mut phones: Vec<i32> = phones.iter().map(phone).collect();
        phones.sort_unstable();
        phones.dedup();
        let asker = name.as_ref().first_chunk().map_or(0, |first| i64::from_be_bytes(*first));
        AskedPhones { asker, phones }
    }
}

impl std::fmt::Debug for DiscoveryKey {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiscoveryKey").finish_non_exhaustive()
    }
}

/// Phones that somebody asks for, as the database knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPhones {
    pub(crate) asker: i64,
    /// Ascending, each once.
    pub(crate) phones: Vec<i32>,
}

/// What the database holds of an asker and of some phones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AskedBefore {
    /// When new phones were last counted, and how many of that day.
    pub(crate) spent: Option<(Day, i64)>,
    /// Those of the phones that were asked for before, and when that was noted.
    pub(crate) known: Vec<(i32, Day)>,
}

/// What is to be written so that phones may be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spending {
    /// The day that it counts for.
    pub(crate) day: Day,
    /// New phones of that day, these included.
    pub(crate) spent: i64,
    /// How many of them are of this request.
    pub(crate) new: i64,
    /// New phones, and those whose note is old.
    pub(crate) phones: Vec<i32>,
}

impl AskedBefore {
    /// What `asked` comes to on the day `today`.
    pub(crate) fn spending(&self, asked: &AskedPhones, today: Day) -> Spending {
        // Clocks of servers differ: around midnight the day of the one that is ahead counts, or two would count afresh by turns.
        let (day, before) = match self.spent {
            Some((day, spent)) if day == today || day.minus(1) == today => (day, spent),
            _ => (today, 0),
        };
        let stale = day.minus(NOTED_AGAIN_DAYS).number();
        let fresh: HashSet<i32> =
            self.known.iter().filter(|(_, noted)| noted.number() > stale).map(|(phone, _)| *phone).collect();
        let new = i64::try_from(asked.phones.len().saturating_sub(self.known.len())).unwrap_or(i64::MAX);
        let phones = asked.phones.iter().copied().filter(|phone| !fresh.contains(phone)).collect();
        Spending { day, spent: before.saturating_add(new), new, phones }
    }
}

impl Spending {
    /// Whether it is more than may be spent in a day; known phones are always free.
    pub(crate) fn exceeds(&self, per_day: u32) -> bool {
        self.new > 0 && self.spent > i64::from(per_day)
    }
}

/// How long it is from `now` until the next day begins.
pub(crate) fn until_tomorrow(now: Timestamp) -> Duration {
    const DAY_US: i64 = 86_400_000_000;
    let left = DAY_US - now.as_micros().rem_euclid(DAY_US);
    Duration::from_micros(left.unsigned_abs())
}

/// What was asked for lately, in two halves of a bounded size: when one is full, the other is forgotten. All of it is of one day.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    day: i64,
    young: HashSet<(i64, i32)>,
    old: HashSet<(i64, i32)>,
}

impl Recent {
    /// Whether all of `asked` was asked for today, as far as is remembered.
    pub(crate) fn knows(&self, asked: &AskedPhones, today: Day) -> bool {
        let known = |phone: &i32| {
            let key = (asked.asker, *phone);
            self.young.contains(&key) || self.old.contains(&key)
        };
        self.day == today.number() && asked.phones.iter().all(known)
    }

    /// Remembers `asked`; address books are too large for it, and are sent once at the start of an app.
    pub(crate) fn note(&mut self, asked: &AskedPhones, today: Day) {
        if asked.phones.len() > RECENT_REQUEST_MAX {
            return;
        }
        if self.day != today.number() {
            *self = Self { day: today.number(), ..Self::default() };
        }
        if self.young.len() + asked.phones.len() > RECENT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.extend(asked.phones.iter().map(|phone| (asked.asker, *phone)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phones(range: std::ops::Range<u32>) -> Vec<Phone> {
        range.map(|n| format!("+9190{n:08}").parse().unwrap()).collect()
    }

    /// Goal: digests tell neither asker nor phone, are the same each time, and differ by asker and by key. Method: the same phone
    /// by several askers; 20,000 phones, of which nearly all have a digest of their own.
    #[test]
    fn digests_are_of_one_asker_and_key() {
        let key = DiscoveryKey::new("secret");
        let (asha, service) = (Asker::User(UserId::new(uuid::Uuid::nil())), Asker::Service("backend".into()));
        let one = phones(0..1);
        assert_eq!(key.digest(&asha, &one), key.digest(&asha, &one));
        let others =
            [key.digest(&service, &one), DiscoveryKey::new("other").digest(&asha, &one), key.digest(&asha, &phones(1..2))];
        assert!(others.iter().all(|other| other.phones != key.digest(&asha, &one).phones));
        assert!(others[..2].iter().all(|other| other.asker != key.digest(&asha, &one).asker));
        let many = key.digest(&asha, &phones(0..20_000)).phones;
        assert!(many.len() > 19_980 && many.iter().all(|phone| (0..1 << 28).contains(phone)), "{}", many.len());
        assert_eq!(key.digest(&asha, &[one.clone(), one].concat()).phones.len(), 1);
    }

    /// Goal: only new phones count, old notes are renewed, and no day begins twice. Method: a table around the bounds.
    #[test]
    fn new_phones_count_once() {
        let asked = AskedPhones { asker: 1, phones: vec![1, 2, 3] };
        let today = Day::from_number(100);
        for (spent, known, expected) in [
            (None, &[][..], (100, 3, 3, vec![1, 2, 3])),
            (Some((100, 5)), &[(1, 100), (2, 94)], (100, 6, 1, vec![3])),
            (Some((100, 5)), &[(1, 100), (2, 93), (3, 94)], (100, 5, 0, vec![2])),
            (Some((99, 5)), &[(1, 99)], (100, 2, 2, vec![2, 3])),
            // Another server's clock is ahead at midnight; a day that lies further ahead was a clock that went wrong.
            (Some((101, 5)), &[], (101, 8, 3, vec![1, 2, 3])),
            (Some((102, 5)), &[], (100, 3, 3, vec![1, 2, 3])),
        ] {
            let known = known.iter().map(|(phone, day)| (*phone, Day::from_number(*day))).collect();
            let before = AskedBefore { spent: spent.map(|(day, spent)| (Day::from_number(day), spent)), known };
            let Spending { day, spent, new, phones } = before.spending(&asked, today);
            assert_eq!((day.number(), spent, new, phones), expected, "{before:?}");
        }
    }

    /// Goal: what is over the budget is refused, known phones never. Method: both sides of the bound.
    #[test]
    fn known_phones_are_free() {
        let spending = |spent, new| Spending { day: Day::from_number(1), spent, new, phones: Vec::new() };
        assert!(!spending(10, 1).exceeds(10) && spending(11, 1).exceeds(10) && !spending(11, 0).exceeds(10));
    }

    /// Goal: the day ends at midnight UTC. Method: the first, the last and a middle microsecond.
    #[test]
    fn tomorrow_begins_at_midnight() {
        for (now, left) in [("2025-01-15T00:00:00Z", 86_400), ("2025-01-15T23:59:59Z", 1), ("2025-01-15T12:00:00Z", 43_200)] {
            assert_eq!(until_tomorrow(now.parse().unwrap()), Duration::from_secs(left), "{now}");
        }
    }

    /// Goal: what is kept in memory is of today, and bounded. Method: many askers, the next day, and an address book.
    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut recent, today) = (Recent::default(), Day::from_number(100));
        let asked = |asker| AskedPhones { asker, phones: vec![1, 2] };
        for asker in 0..1_000_000 {
            recent.note(&asked(asker), today);
        }
        assert!(recent.knows(&asked(999_999), today) && !recent.knows(&asked(0), today));
        assert!(recent.young.len() <= RECENT_MAX && recent.old.len() <= RECENT_MAX);
        assert!(!recent.knows(&asked(999_999), Day::from_number(101)));
        recent.note(&asked(1), Day::from_number(101));
        assert!(recent.old.is_empty() && recent.young.len() == 2);
        let book = AskedPhones { asker: 7, phones: (0..100).collect() };
        recent.note(&book, Day::from_number(101));
        assert!(!recent.knows(&book, Day::from_number(101)));
    }
}
