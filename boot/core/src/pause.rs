//! A pause after what failed: twice as long after each failure in a row.

use serde::{Deserialize, Serialize};

/// Failures in a row, and the pause after the last of them. Times of day are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Pause {
    /// How many they were.
    pub(crate) count: u32,
    /// When it is over.
    pub(crate) until_ms: u64,
    /// How long it was from the last of them on.
    pause_ms: u64,
}

impl Pause {
    /// How long the pause after one more failure is: `first` and `most` are the first and the longest, in milliseconds.
    pub(crate) fn next_ms(&self, (first, most): (u64, u64)) -> u64 {
        first.saturating_mul(1 << self.count.min(20)).min(most)
    }

    /// One more failure, and so long a pause after it.
    pub(crate) fn begin(&mut self, now_ms: u64, pause_ms: u64) {
        *self = Self {
            count: self.count.saturating_add(1),
            until_ms: now_ms.saturating_add(pause_ms),
            pause_ms,
        };
    }

    /// How long it still is, if it is not over. One that is longer than it was at first is of a clock that was set back since, and
    /// is over.
    pub(crate) fn left_ms(&self, now_ms: u64) -> Option<u64> {
        let left = self.until_ms.saturating_sub(now_ms);
        (1..=self.pause_ms).contains(&left).then_some(left)
    }
}
