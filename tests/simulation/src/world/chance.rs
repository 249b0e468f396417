//! The only source of randomness: numbers that follow from a seed.

use std::time::Duration;

use crate::random::Random;

/// What happens in one world.
#[derive(Debug, Clone)]
pub(super) struct Chance {
    random: Random,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5851_f42d_4c95_7f2d);
        // Neighbouring seeds part ways in the first step.
        random.word();
        Self { random }
    }

    pub(super) fn word(&mut self) -> u64 {
        self.random.word()
    }

    /// From 0 to below 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.random.fraction()
    }

    /// A number below `many`; 0 when there is none.
    pub(super) fn below(&mut self, many: usize) -> usize {
        self.random.below(many)
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
        self.random.pick(all)
    }

    pub(super) fn bytes(&mut self) -> [u8; 16] {
        let wide = u128::from(self.word()) << 64 | u128::from(self.word());
        wide.to_le_bytes()
    }
}
