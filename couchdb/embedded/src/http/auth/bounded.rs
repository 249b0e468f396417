//! A map that forgets its oldest entries: what clients make a server remember stays bounded.

use std::collections::{HashMap, VecDeque};

/// A key as a keyed hash: of one length whatever a client sends, and not to be guessed by one.
pub(super) type Digest = [u8; 32];

/// At most `limit` values, the oldest going first.
#[derive(Debug)]
pub(super) struct Bounded<V> {
    limit: usize,
    values: HashMap<Digest, V>,
    order: VecDeque<Digest>,
}

impl<V> Bounded<V> {
    pub(super) fn new(limit: usize) -> Bounded<V> {
        Bounded { limit, values: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn get(&self, key: &Digest) -> Option<&V> {
        self.values.get(key)
    }

    /// The value of this key, made when it is new. One that is there keeps its age.
    pub(super) fn entry(&mut self, key: Digest, make: impl FnOnce() -> V) -> &mut V {
        if !self.values.contains_key(&key) {
            while self.values.len() >= self.limit {
                let Some(oldest) = self.order.pop_front() else { break };
                self.values.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.values.entry(key).or_insert_with(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut map = Bounded::new(3);
        for key in [1, 2, 3, 1, 4] {
            *map.entry([key; 32], || 0) += 1;
        }
        let counts: Vec<_> = (1..=4).map(|key| map.get(&[key; 32]).copied()).collect();
        assert_eq!(counts, [None, Some(1), Some(1), Some(1)]);
        assert_eq!((map.values.len(), map.order.len()), (3, 3));
    }
}
