//! How often which value came, exactly enough to add up and to read any percentile from.

use serde::{Deserialize, Serialize};

/// Counts of values, of which each stands in its bucket: buckets are 1 wide below 2,048, and from there 1/1,024 of their value
/// or less, as those of an HDR histogram of three digits from 1 up. In JSON an array of `[value, count]`, each the least value of its
/// bucket, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Distribution(Vec<(u64, u64)>);

/// Values below this stand for themselves alone.
const EXACT_BELOW: u64 = 2048;

/// Values are at most this: an hour in microseconds, and a little more.
pub const VALUE_MAX: u64 = 3_600_000_000;

impl Distribution {
    /// The least value of the bucket that `value` is in.
    #[must_use]
    pub fn bucket(value: u64) -> u64 {
        let value = value.min(VALUE_MAX);
        if value < EXACT_BELOW {
            return value;
        }
        let shift = value.ilog2() - 10;
        value >> shift << shift
    }

    /// Of values with their counts, in any order.
    #[must_use]
    pub fn of(counts: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut found: Vec<(u64, u64)> =
            counts.into_iter().map(|(value, count)| (Self::bucket(value), count)).collect();
        found.sort_unstable_by_key(|(value, _)| *value);
        found.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = earlier.1.saturating_add(later.1);
            }
            same
        });
        found.retain(|(_, count)| *count > 0);
        Self(found)
    }

    /// Each bucket that holds something: its least value, and how many.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// How many values.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that so many percent (0 to 100) of all do not pass, by nearest rank: the greatest one of its bucket, as an HDR
    /// histogram has it. None when there are no values.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        // A hair less, so that 99 % of 100, which is a little more than 99 in binary, is the 99th.
        let wanted = percent.clamp(0.0, 100.0) / 100.0 * self.total() as f64 * (1.0 - 1e-12);
        let mut below = 0u64;
        let reaches = |(_, count): &(u64, u64)| {
            below = below.saturating_add(*count);
            below as f64 >= wanted
        };
        let found = self.counts().find(reaches).or(self.0.last().copied());
        found.map(|(value, _)| greatest(value))
    }

    /// The values of both.
    pub fn add(&mut self, other: &Self) {
        if !other.0.is_empty() {
            *self = Self::of(self.counts().chain(other.counts()));
        }
    }
}

/// Of the bucket whose least value this is.
fn greatest(least: u64) -> u64 {
    if least < EXACT_BELOW {
        return least;
    }
    least.saturating_add((1 << (least.ilog2() - 10)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_three_digits() {
        for (value, bucket) in [
            (0, 0),
            (1, 1),
            (2047, 2047),
            (2048, 2048),
            (2049, 2048),
            (2050, 2050),
            (4099, 4096),
            (123_457, 123_456),
        ] {
            assert_eq!(Distribution::bucket(value), bucket, "{value}");
            assert_eq!(Distribution::bucket(bucket), bucket);
        }
        assert_eq!(Distribution::bucket(u64::MAX), Distribution::bucket(VALUE_MAX));
    }

    #[test]
    fn adding_is_exact() {
        let mut sum = Distribution::of([(5, 1), (3, 2), (5, 1), (9, 0)]);
        assert_eq!(serde_json::to_string(&sum).unwrap(), "[[3,2],[5,2]]");
        sum.add(&Distribution::of([(4, 7), (5, 1)]));
        assert_eq!(sum.counts().collect::<Vec<_>>(), [(3, 2), (4, 7), (5, 3)]);
        assert_eq!(sum.total(), 12);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let hundred = Distribution::of((1..=100).map(|value| (value, 1)));
        for (percent, value) in
            [(-1.0, 1), (0.0, 1), (1.0, 1), (50.0, 50), (99.0, 99), (99.5, 100), (200.0, 100)]
        {
            assert_eq!(hundred.percentile(percent), Some(value), "{percent}");
        }
        assert_eq!(Distribution::of([(4097, 1)]).percentile(50.0), Some(4099));
        assert_eq!(Distribution::default().percentile(50.0), None);
        let foreign: Distribution = serde_json::from_str(&format!("[[{},1]]", u64::MAX)).unwrap();
        assert_eq!(foreign.percentile(50.0), Some(u64::MAX));
        let many = Distribution::of([(1, u64::MAX), (2, u64::MAX)]);
        assert_eq!(many.percentile(100.0), Some(1), "the sum stays at its end");
    }
}
