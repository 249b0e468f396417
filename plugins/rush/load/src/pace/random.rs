//! A small seeded generator of random numbers: 8 bytes of state, a few instructions a number, good enough for arrivals
//! and for values of variables, and not for secrets.

/// `SplitMix64`. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Random(u64);

/// Of the golden ratio: what each step adds.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// With the same seed it gives the same numbers.
    #[cfg(test)]
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of its own for each combination of the parts.
    pub(crate) fn of(parts: &[u64]) -> Self {
        Self(parts.iter().fold(0, |seed, part| {
            let mut next = Self(seed ^ part);
            next.draw()
        }))
    }

    /// Any number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// A number of more than 0 and at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
    pub(crate) fn unit(&mut self) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        ((self.draw() >> 11) + 1) as f64 / STEPS
    }

    /// A waiting time between events that come once in a unit of time.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }
}
