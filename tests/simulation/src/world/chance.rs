//! The only source of randomness: numbers that follow from a seed.

use std::time::Duration;

/// `SplitMix64`: small, fast, and equal on every machine.
#[derive(Debug, Clone)]
pub(super) struct Chance {
    state: u64,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Self { state: seed ^ 0x5851_f42d_4c95_7f2d };
        // Neighbouring seeds part ways in the first step.
        chance.word();
        chance
    }

    pub(super) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `many`; 0 when there is none.
    pub(super) fn below(&mut self, many: usize) -> usize {
        let wide = u128::from(self.word()) * u128::try_from(many).unwrap_or(0);
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, of_hundred: f64) -> bool {
        self.fraction() * 100.0 < of_hundred
    }

    /// A duration between two, evenly.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.fraction())
    }

    /// A duration with this mean, as the waiting times of a Poisson process.
    pub(super) fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.fraction()).ln())
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let place = self.below(all.len());
        all.get(place)
    }

    pub(super) fn bytes(&mut self) -> [u8; 16] {
        let wide = u128::from(self.word()) << 64 | u128::from(self.word());
        wide.to_le_bytes()
    }
}
