//! What of a plan one engine, and one worker of it, does.

use serde::{Deserialize, Serialize};

/// One of `of` equal parts: the users, or the transactions, whose number leaves `index` when it is divided by `of`. All
/// parts together are exactly the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// 0 to `of` - 1.
    pub index: u32,
    /// 1 or more.
    pub of: u32,
}

impl Share {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// A part of this part: of worker `index` of `of`.
    #[must_use]
    pub fn part(self, index: u32, of: u32) -> Self {
        Self {
            index: self.index.saturating_add(index.saturating_mul(self.of)),
            of: self.of.saturating_mul(of),
        }
    }

    /// How many of the first `all` numbers are in it.
    #[must_use]
    pub fn of_first(self, all: u64) -> u64 {
        let (index, of) = (u64::from(self.index), u64::from(self.of.max(1)));
        all.saturating_sub(index).div_ceil(of)
    }

    /// The number, among all, of the one that is `nth` in it.
    #[must_use]
    pub fn nth(self, nth: u64) -> u64 {
        nth.saturating_mul(u64::from(self.of)).saturating_add(u64::from(self.index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_parts_are_the_whole() {
        for (engines, workers, all) in [(1, 1, 10), (3, 2, 10), (4, 3, 1), (2, 5, 1000), (3, 3, 0)]
        {
            let mut seen = Vec::new();
            for engine in 0..engines {
                for worker in 0..workers {
                    let share = Share { index: engine, of: engines }.part(worker, workers);
                    seen.extend((0..share.of_first(all)).map(|nth| share.nth(nth)));
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..all).collect::<Vec<u64>>());
        }
    }
}
