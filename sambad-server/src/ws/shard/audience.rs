//! Who asks for what: sessions by what they have in common, so that an event finds its readers and no others are asked.

use std::collections::HashMap;

use sambad_core::{Filter, KindSet, UserId};
use slotmap::{SecondaryMap, SlotMap, new_key_type};

use super::outbound::Outbound;

new_key_type! {
    /// A session of one shard; never used again for another.
    pub(in crate::ws) struct SessionKey;
}

pub(super) type Sessions = SlotMap<SessionKey, Outbound>;

/// The sessions of a shard by filter.
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// Those that follow nobody in particular, by the kinds they ask for.
    pub(super) by_kinds: HashMap<KindSet, Vec<SessionKey>>,
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
