//! A handful of numbers in order, each once, in place: what a state holds instead of a vector.

use super::table::Id;

/// So many leaves, late writes or fences at one copy; what does not fit is cut off the search, and counted.
pub(super) const FEW_MAX: usize = 6;

/// Up to [`FEW_MAX`] numbers, none of them 0, rising; the rest is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Few([Id; FEW_MAX]);

impl Few {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Id> + '_ {
        self.0.iter().copied().filter(|id| *id != 0)
    }

    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    pub(super) fn has(&self, id: Id) -> bool {
        id != 0 && self.0.contains(&id)
    }

    /// False when there is no room.
    #[must_use]
    pub(super) fn put(&mut self, id: Id) -> bool {
        if id == 0 || self.has(id) {
            return true;
        }
        let len = self.len();
        if len == FEW_MAX {
            return false;
        }
        let at = self.0[..len].partition_point(|other| *other < id);
        self.0[at..=len].rotate_right(1);
        self.0[at] = id;
        true
    }

    pub(super) fn take(&mut self, id: Id) {
        if let Some(at) = self.0.iter().position(|other| *other == id && id != 0) {
            self.0[at] = 0;
            self.0[at..].rotate_left(1);
        }
    }

    pub(super) fn filter(self, mut keep: impl FnMut(Id) -> bool) -> Self {
        let mut kept = Self::default();
        for (at, id) in self.iter().filter(|id| keep(*id)).enumerate() {
            kept.0[at] = id;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_in_order_and_each_once() {
        let mut few = Few::default();
        for id in [5, 2, 9, 2] {
            assert!(few.put(id));
        }
        assert_eq!(few.iter().collect::<Vec<_>>(), [2, 5, 9]);
        few.take(5);
        assert_eq!(few.iter().collect::<Vec<_>>(), [2, 9]);
        assert!((10..14).all(|id| few.put(id)));
        assert!(!few.put(20), "there is no room");
        assert_eq!(few.filter(|id| id > 9).len(), 4);
    }
}
