//! How long things take where nothing fails, drawn from a seed.

use std::time::Duration;

use crate::random::Random;

/// From a commit until an engine hears of it: at least, and what comes on top on average.
pub(super) const FEED: Delay =
    Delay { least: Duration::from_millis(5), mean: Duration::from_millis(10) };

/// From sending a write until its answer: the same.
pub(super) const PUT: Delay =
    Delay { least: Duration::from_millis(2), mean: Duration::from_millis(4) };

/// One delay in a hundred is so many times as long: garbage collection, a lost packet.
const TAIL_ONE_IN: u64 = 100;
const TAIL_TIMES: u32 = 10;

/// A delay: never less than the least, and exponentially distributed above it.
pub(super) struct Delay {
    least: Duration,
    mean: Duration,
}

impl Delay {
    pub(super) fn draw(&self, random: &mut Random) -> Duration {
        let delay = self.least + self.mean.mul_f64(-(1.0 - random.fraction()).ln());
        if random.word().is_multiple_of(TAIL_ONE_IN) { delay * TAIL_TIMES } else { delay }
    }
}
