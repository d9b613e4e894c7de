//! What each operation is, and which operation an event is of: both by arithmetic, so that nothing need be remembered.
//!
//! Operation `k` says itself who acts on whom, and each event says through the phones and the text in it which `k` it is.
//! The plan depends on the seed alone. The phones carry a number of the run as well, so that runs can share a server.

use std::fmt;

use hyper::header::HeaderValue;

use super::mix::{Mix, OpKind};
use super::wire::EventText;

/// An operation's number: 0, 1, 2, … in the order planned.
pub(crate) type OpId = u64;

/// Digits of the run's number within a phone.
const RUN_DIGITS: usize = 4;
/// Digits of the user's number within a phone; with the run's they make 12 digits after the country code, 15 in all.
const INDEX_DIGITS: usize = 8;
/// Country code of all simulated users: assigned to no country, so that nobody's number is ever used.
pub(crate) const COUNTRY_CODE: &str = "+999";
/// Runs that can be told apart.
pub(crate) const RUNS: u32 = 10_000;
/// Users of a run, those who log in during it included.
pub(crate) const INDEXES: u64 = 100_000_000;

/// One operation, ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// The user of this number logs in for the first time.
    Login { user: u64 },
    /// `actor` adds `other`.
    Contact { actor: u64, other: u64 },
    /// `actor` writes to `other`.
    Message { actor: u64, other: u64 },
}

/// Whose an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Of an operation of this run.
    Op(OpId),
    /// Of this run, but of no operation that can have been planned.
    Impossible,
    /// Of somebody else.
    Foreign,
}

/// Plans operations; the same everywhere in a run.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    mix: Mix,
    seed: u64,
    /// Told apart from other runs on the same server by this number below [`RUNS`].
    run: u32,
    users: u64,
}

/// A phone number of a simulated user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserPhone {
    run: u32,
    index: u64,
}

impl UserPhone {
    /// The number without its country code.
    pub(crate) fn national(&self) -> String {
        format!("{:0RUN_DIGITS$}{:0INDEX_DIGITS$}", self.run, self.index)
    }
}

impl fmt::Display for UserPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{COUNTRY_CODE}{:0RUN_DIGITS$}{:0INDEX_DIGITS$}", self.run, self.index)
    }
}

impl Workload {
    /// `users` must be at least 2.
    pub(crate) fn new(mix: Mix, seed: u64, run: u32, users: u64) -> Self {
        Self { mix, seed, run, users }
    }

    pub(crate) fn phone(&self, index: u64) -> UserPhone {
        UserPhone { run: self.run, index }
    }

    pub(crate) fn users(&self) -> u64 {
        self.users
    }

    /// Contacts that there are to be made: each pair once.
    pub(crate) fn contacts_max(users: u64) -> u64 {
        users * users.saturating_sub(1)
    }

    /// Operation `k`: users take turns, and each adds first the next one, in the next round the one after, and so on.
    pub(crate) fn op(&self, k: OpId) -> Op {
        let n = self.users;
        let drawn = mixed(self.seed, k);
        let actor = k % n;
        match self.mix.pick(drawn) {
            OpKind::Login if n + k < INDEXES => Op::Login { user: n + k },
            OpKind::Contact if k < Self::contacts_max(n) => Op::Contact { actor, other: (actor + 1 + k / n) % n },
            // All pairs are contacts, or all phones users, by now (only a closed loop goes on so far): they write instead.
            OpKind::Login | OpKind::Contact | OpKind::Message => {
                let distance = 1 + (drawn >> 32) % (n - 1);
                Op::Message { actor, other: (actor + distance) % n }
            }
        }
    }

    /// The text of operation `k`'s message.
    pub(crate) fn content(&self, k: OpId) -> String {
        format!("message {k} of run {}", self.run)
    }

    /// The idempotency key of operation `k`.
    pub(crate) fn key(&self, k: OpId) -> HeaderValue {
        HeaderValue::try_from(format!("sambad-bench-{}-{k}", self.run)).expect("digits and letters are visible")
    }

    /// Finds the operation that an event is of. Whether it is one that was sent is for the ledger to say.
    pub(crate) fn origin(&self, event: &EventText<'_>) -> Origin {
        let data = &event.data;
        match &*event.event_type {
            "user_created" => match self.index(data.username.as_deref()) {
                Some(index) if index >= self.users => self.checked(index - self.users, Op::Login { user: index }),
                Some(_) => Origin::Impossible,
                None => Origin::Foreign,
            },
            "contact_added" => {
                let (actor, other) = (data.user_username.as_deref(), data.contact_user_username.as_deref());
                match (self.index(actor), self.index(other)) {
                    (Some(actor), Some(other)) => self.contact(actor, other),
                    _ => Origin::Foreign,
                }
            }
            "message_sent" => {
                let (Some(actor), Some(other)) =
                    (self.index(data.from_username.as_deref()), self.index(data.to_username.as_deref()))
                else {
                    return Origin::Foreign;
                };
                let content = data.content.as_deref().unwrap_or_default();
                let k = content.strip_prefix("message ").and_then(|rest| rest.split_once(' ')).and_then(|(k, _)| k.parse().ok());
                match k.filter(|k| self.content(*k) == content) {
                    Some(k) => self.checked(k, Op::Message { actor, other }),
                    None => Origin::Impossible,
                }
            }
            _ => Origin::Foreign,
        }
    }

    /// The operation that makes this contact: the inverse of [`op`](Self::op).
    fn contact(&self, actor: u64, other: u64) -> Origin {
        let n = self.users;
        if actor >= n || other >= n || actor == other {
            return Origin::Impossible;
        }
        let round = (other + n - actor - 1) % n;
        self.checked(round * n + actor, Op::Contact { actor, other })
    }

    /// `k`, if `op` is what it was planned to be.
    fn checked(&self, k: OpId, op: Op) -> Origin {
        if self.op(k) == op { Origin::Op(k) } else { Origin::Impossible }
    }

    /// The number of one of this run's users.
    fn index(&self, phone: Option<&str>) -> Option<u64> {
        let (run, index) = phone?.strip_prefix(COUNTRY_CODE)?.split_at_checked(RUN_DIGITS)?;
        let digits = index.len() == INDEX_DIGITS && index.bytes().all(|byte| byte.is_ascii_digit());
        (digits && run.parse() == Ok(self.run)).then(|| index.parse().ok())?
    }
}

impl Op {
    /// The users whose app sessions hear of it.
    pub(crate) fn involved(self) -> [Option<u64>; 2] {
        match self {
            Self::Login { user } => [Some(user), None],
            Self::Contact { actor, other } | Self::Message { actor, other } => [Some(actor), Some(other)],
        }
    }
}

/// A number that looks random and depends on its inputs alone.
///
/// Source: S. Vigna, splitmix64.
fn mixed(seed: u64, k: u64) -> u64 {
    let mut z = seed.wrapping_add((k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn workload(users: u64) -> Workload {
        Workload::new("login=1,contact=6,message=3".parse().unwrap(), 42, 17, users)
    }

    /// The event that an operation causes, as a server tells it.
    fn event(workload: &Workload, k: OpId) -> String {
        let phone = |index| workload.phone(index).to_string();
        let (event_type, data) = match workload.op(k) {
            Op::Login { user } => ("user_created", format!(r#"{{"id":"x","username":"{}"}}"#, phone(user))),
            Op::Contact { actor, other } => {
                ("contact_added", format!(r#"{{"user_username":"{}","contact_user_username":"{}"}}"#, phone(actor), phone(other)))
            }
            Op::Message { actor, other } => (
                "message_sent",
                format!(
                    r#"{{"from_username":"{}","to_username":"{}","content":"{}"}}"#,
                    phone(actor),
                    phone(other),
                    workload.content(k)
                ),
            ),
        };
        format!(r#"{{"type":"{event_type}","data":{data},"timestamp":"2025-01-15T12:00:00.000000Z","seq":1}}"#)
    }

    /// Goal: every event names its operation. Method: there and back, also past the last pair.
    #[test]
    fn events_name_their_operation() {
        for users in [2, 10, 64] {
            let workload = workload(users);
            for k in 0..3000 {
                let text = event(&workload, k);
                assert_eq!(workload.origin(&EventText::parse(&text).unwrap()), Origin::Op(k), "{users}: {text}");
            }
        }
    }

    /// Goal: no contact is made twice, nobody adds themselves. Method: all operations until the pairs are used up.
    #[test]
    fn contacts_are_distinct() {
        let workload = workload(11);
        let contacts: Vec<_> = (0..600).map(|k| workload.op(k)).filter(|op| matches!(op, Op::Contact { .. })).collect();
        let distinct: HashSet<_> = contacts.iter().map(|op| op.involved()).collect();
        assert_eq!(distinct.len(), contacts.len());
        assert!(distinct.iter().all(|[a, b]| a != b && a.unwrap() < 11 && b.unwrap() < 11));
        assert_eq!(Workload::contacts_max(11), 110);
    }

    /// Goal: the same seed is the same plan, another seed another. Method: two workloads of each.
    #[test]
    fn the_seed_is_the_plan() {
        let ops = |seed, run| {
            let workload = Workload::new("contact=1,message=1".parse().unwrap(), seed, run, 50);
            (0..200).map(|k| workload.op(k)).collect::<Vec<_>>()
        };
        assert_eq!(ops(1, 3), ops(1, 4));
        assert_ne!(ops(1, 3), ops(2, 3));
    }

    /// Goal: what is not ours, or cannot be, is called so. Method: events of another run, of nobody, of the wrong plan.
    #[test]
    fn tells_others_events() {
        let ours = workload(10);
        let others = Workload { run: 18, ..ours.clone() };
        let garbled =
            (0..).map(|k| event(&ours, k)).find(|text| text.contains("message_sent")).unwrap().replace("of run", "of fun");
        let swapped = event(&ours, 0).replace("user_username", "x").replace("contact_x", "user_username");
        for (text, expected) in [
            (event(&others, 5), Origin::Foreign),
            (swapped, Origin::Foreign),
            (garbled, Origin::Impossible),
            (r#"{"type":"user_created","data":{"username":"+919876543210"},"seq":1}"#.to_owned(), Origin::Foreign),
            (r#"{"type":"user_created","data":{"username":"+999001700000003"},"seq":1}"#.to_owned(), Origin::Impossible),
            (
                r#"{"type":"contact_added","data":{"user_username":"+999001700000003","contact_user_username":"+999001700000003"},"seq":1}"#.to_owned(),
                Origin::Impossible,
            ),
            (r#"{"type":"who_knows","data":{},"seq":1}"#.to_owned(), Origin::Foreign),
        ] {
            assert_eq!(ours.origin(&EventText::parse(&text).unwrap()), expected, "{text}");
        }
    }
}
