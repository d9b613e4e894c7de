//! How many things there are at a time, by key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is open at a time under each key, up to a bound. A key that nothing is open under takes no memory.
#[derive(Debug)]
pub(crate) struct Tally<K: Eq + Hash> {
    /// 0: there is no bound, and nothing is counted.
    max: u32,
    counts: Arc<Mutex<HashMap<K, u32>>>,
}

/// One of the things that are counted; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<K: Eq + Hash> {
    key: K,
    counts: Arc<Mutex<HashMap<K, u32>>>,
}

/// There are as many under that key as there may be.
#[derive(Debug)]
pub(crate) struct Full;

impl<K: Eq + Hash + Clone> Tally<K> {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, counts: Arc::default() }
    }

    /// Counts one more under `key`; `None` when nothing is to be counted.
    pub(crate) fn enter(&self, key: Option<K>) -> Result<Option<Counted<K>>, Full> {
        let Some(key) = key.filter(|_| self.max > 0) else { return Ok(None) };
        match lock(&self.counts).entry(key.clone()) {
            Entry::Occupied(count) if *count.get() >= self.max => return Err(Full),
            Entry::Occupied(mut count) => *count.get_mut() += 1,
            Entry::Vacant(count) => drop(count.insert(1)),
        }
        Ok(Some(Counted { key, counts: Arc::clone(&self.counts) }))
    }
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// A map of numbers is whole whatever happened to the thread that changed it.
fn lock<K>(counts: &Mutex<HashMap<K, u32>>) -> MutexGuard<'_, HashMap<K, u32>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a key has its bound, whatever others do, and leaves nothing behind. Method: two keys, one full, one let go.
    #[test]
    fn each_key_has_its_bound() {
        let tally = Tally::new(2);
        let first = tally.enter(Some("a")).unwrap();
        let second = tally.enter(Some("a")).unwrap();
        assert!(tally.enter(Some("a")).is_err());
        assert!(tally.enter(Some("b")).unwrap().is_some());
        drop(first);
        drop((tally.enter(Some("a")).unwrap(), second));
        assert!(lock(&tally.counts).is_empty());
    }

    /// Goal: 0 means no bound. Method: many under one key, none of which is kept.
    #[test]
    fn zero_is_no_bound() {
        let tally = Tally::new(0);
        assert!((0..100).all(|_| tally.enter(Some("a")).is_ok_and(|counted| counted.is_none())));
        assert!(Tally::new(1).enter(None::<&str>).unwrap().is_none());
    }
}
