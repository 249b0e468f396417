//! Numbers that a seed decides: the same seed plans the same faults and the same jobs.

use std::time::Duration;

use blitz_simulation::random::Random;

/// What one part of a run draws.
#[derive(Debug)]
pub(crate) struct Chance(Random);

impl Chance {
    /// The numbers of a seed; `part` keeps those who share a seed from drawing the same ones.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        Self(Random::new(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.word()
    }

    /// From 0 to `end`, which is left out.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True so many times of 100.
    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Between the two, in whole milliseconds.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let ms = u64::try_from(high.saturating_sub(low).as_millis()).unwrap_or(u64::MAX);
        low + Duration::from_millis(self.below(ms.saturating_add(1)))
    }
}
