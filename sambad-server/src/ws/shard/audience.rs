//! Who asks for what: sessions by what they have in common, so that an event finds its readers and no others are asked.

use std::collections::{BTreeMap, HashMap};

use sambad_core::{Filter, KindSet, UserId};
use slotmap::{SecondaryMap, SlotMap, new_key_type};

use super::outbound::Outbound;

new_key_type! {
    /// A session of one shard; never used again for another.
    pub(in crate::ws) struct SessionKey;
}

pub(super) type Sessions<S> = SlotMap<SessionKey, Outbound<S>>;

/// The sessions of a shard by filter.
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// Those that follow nobody in particular, by the kinds they ask for; in one order, so that a simulation repeats itself.
    pub(super) by_kinds: BTreeMap<KindSet, Vec<SessionKey>>,
    /// Those that follow one user.
    pub(super) by_user: HashMap<UserId, Vec<SessionKey>>,
    /// Where in its list each session stands, so that it leaves in constant time.
    places: SecondaryMap<SessionKey, usize>,
}

impl Audience {
    pub(super) fn add(&mut self, key: SessionKey, filter: Filter) {
        let list = match filter.user {
            Some(user) => self.by_user.entry(user).or_default(),
            None => self.by_kinds.entry(filter.kinds).or_default(),
        };
        self.places.insert(key, list.len());
        list.push(key);
    }

    pub(super) fn remove(&mut self, key: SessionKey, filter: Filter) {
        let Some(place) = self.places.remove(key) else { return };
        let emptied = match filter.user {
            Some(user) => take_out(&mut self.places, self.by_user.get_mut(&user), place),
            None => take_out(&mut self.places, self.by_kinds.get_mut(&filter.kinds), place),
        };
        match (emptied, filter.user) {
            (true, Some(user)) => drop(self.by_user.remove(&user)),
            (true, None) => drop(self.by_kinds.remove(&filter.kinds)),
            (false, _) => {}
        }
    }
}

/// Takes the session at `place` out of its list, putting the last one there; says whether the list is empty now.
fn take_out(places: &mut SecondaryMap<SessionKey, usize>, list: Option<&mut Vec<SessionKey>>, place: usize) -> bool {
    let Some(list) = list else { return false };
    list.swap_remove(place);
    if let Some(moved) = list.get(place) {
        places.insert(*moved, place);
    }
    list.is_empty()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use sambad_core::EventKind;

    /// Goal: whoever left is in no list, and whoever stayed is in exactly one. Method: many sessions under few filters come
    /// and go in a scrambled order, against a plain list of who is there.
    #[test]
    fn sessions_come_and_go_without_a_trace() {
        let user = |number: u128| Some(UserId::new(uuid::Uuid::from_u128(number)));
        let messages: KindSet = [EventKind::MessageSent].into_iter().collect();
        let filters = [
            Filter::default(),
            Filter { kinds: messages, user: None },
            Filter { user: user(1), ..Filter::default() },
            Filter { kinds: messages, user: user(1) },
            Filter { user: user(2), ..Filter::default() },
        ];
        let mut keys = SlotMap::<SessionKey, ()>::with_key();
        let mut audience = Audience::default();
        let mut there: Vec<(SessionKey, Filter)> = Vec::new();
        for round in 0..2_000_usize {
            if round * 7_919 % 5 < 3 {
                let (key, filter) = (keys.insert(()), filters[round % filters.len()]);
                audience.add(key, filter);
                there.push((key, filter));
            } else if !there.is_empty() {
                let (key, filter) = there.swap_remove(round * 31 % there.len());
                audience.remove(key, filter);
            }
        }
        assert!(there.len() > 100);
        let listed = |filter: &Filter| match filter.user {
            Some(user) => audience.by_user[&user].clone(),
            None => audience.by_kinds[&filter.kinds].clone(),
        };
        assert!(there.iter().all(|(key, filter)| listed(filter).iter().filter(|listed| *listed == key).count() == 1));
        let all = audience.by_kinds.values().chain(audience.by_user.values()).flatten().collect::<BTreeSet<_>>();
        assert_eq!(all, there.iter().map(|(key, _)| key).collect());
        for (key, filter) in there {
            audience.remove(key, filter);
        }
        assert!(audience.by_kinds.is_empty() && audience.by_user.is_empty());
    }
}
