//! Shares in what all have together: each may hold so much at once, so that nobody has all of it. Counted while they are held.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What each holds. Only those who hold something are in it.
type Held<K> = Arc<Mutex<HashMap<K, u32>>>;

/// The shares of one thing. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Shares<K = String> {
    max: u32,
    held: Held<K>,
}

/// A part of what one may hold, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Eq + Hash = String> {
    held: Held<K>,
    whose: K,
    count: u32,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// Nobody holds more than `max` at once.
    pub(crate) fn new(max: u32) -> Self {
        Self { max, held: Held::default() }
    }

    /// So much more for this one; `None` when it would be more than it may hold.
    pub(crate) fn take(&self, whose: K, count: u32) -> Option<Share<K>> {
        let mut held = lock(&self.held);
        let now = held.get(&whose).copied().unwrap_or(0).checked_add(count)?;
        if now > self.max {
            return None;
        }
        held.insert(whose.clone(), now);
        drop(held);
        Some(Share { held: Arc::clone(&self.held), whose, count })
    }
}

impl<K: Eq + Hash> Share<K> {
    /// Gives back all but this much.
    pub(crate) fn keep(&mut self, count: u32) {
        let back = self.count.saturating_sub(count);
        self.count -= back;
        self.give(back);
    }

    fn give(&self, back: u32) {
        let mut held = lock(&self.held);
        if let Some(own) = held.get_mut(&self.whose) {
            *own = own.saturating_sub(back);
            if *own == 0 {
                held.remove(&self.whose);
            }
        }
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.give(self.count);
    }
}

fn lock<K>(held: &Held<K>) -> MutexGuard<'_, HashMap<K, u32>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holds_so_much_and_nobody_is_remembered_who_holds_nothing() {
        let shares = Shares::new(3);
        let take = |whose: &str, count| shares.take(whose.to_owned(), count);
        let one = take("acme", 1).unwrap();
        let mut two = take("acme", 2).unwrap();
        assert!(take("acme", 1).is_none());
        assert!(take("acme", u32::MAX).is_none());
        let other = take("other", 3).unwrap();
        two.keep(1);
        two.keep(2);
        let three = take("acme", 1).unwrap();
        assert!(take("acme", 1).is_none(), "what was kept is held");
        drop((one, two, three, other));
        assert!(lock(&shares.held).is_empty());
    }
}
