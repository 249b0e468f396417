//! How long things take where nothing fails, drawn from a seed.

use std::time::Duration;

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
        if random.next().is_multiple_of(TAIL_ONE_IN) { delay * TAIL_TIMES } else { delay }
    }
}

/// `SplitMix64`: a few lines, and as good as this needs.
pub(super) struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 to below `count`, which is at least 1.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let wide = u128::from(self.next()) * (count as u128);
        usize::try_from(wide >> 64).expect("less than count")
    }
}
