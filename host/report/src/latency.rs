//! Times in microseconds: a histogram, and what is read from it.

use blitz_contract::load::Distribution;
use serde::{Deserialize, Serialize};

use crate::pile;

/// How long things took. In JSON the usual percentiles stand beside the histogram, and only the histogram is read back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Latency(Distribution);

/// [`Latency`] in JSON.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Written {
    count: u64,
    mean_us: u64,
    min_us: u64,
    p50_us: u64,
    p90_us: u64,
    p95_us: u64,
    p99_us: u64,
    p99_9_us: u64,
    max_us: u64,
    distribution: Distribution,
}

impl From<Written> for Latency {
    fn from(written: Written) -> Self {
        Self::sum([&Self(written.distribution)])
    }
}

impl From<Latency> for Written {
    fn from(latency: Latency) -> Self {
        Self {
            count: latency.count(),
            mean_us: latency.mean_us(),
            min_us: latency.min_us(),
            p50_us: latency.p50_us(),
            p90_us: latency.quantile_us(0.9),
            p95_us: latency.p95_us(),
            p99_us: latency.p99_us(),
            p99_9_us: latency.quantile_us(0.999),
            max_us: latency.max_us(),
            distribution: latency.0,
        }
    }
}

impl From<Distribution> for Latency {
    fn from(distribution: Distribution) -> Self {
        Self(distribution)
    }
}

impl Latency {
    /// All of them together.
    #[must_use]
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(pile::sum(all.into_iter().map(|one| &one.0)))
    }

    /// The histogram.
    #[must_use]
    pub fn distribution(&self) -> &Distribution {
        &self.0
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.total()
    }

    /// The time that a share of `quantile` (0 to 1) did not pass: the greatest value of its bucket, as HdrHistogram has it. 0
    /// when nothing was measured.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.ranked_us(rank(quantile, self.count()))
    }

    /// The time of the one that is `rank`th from below, from 1.
    pub(crate) fn ranked_us(&self, rank: u64) -> u64 {
        let mut below = 0u64;
        for (value, count) in self.0.counts() {
            below = below.saturating_add(count);
            if below >= rank {
                return pile::highest(value);
            }
        }
        self.max_us()
    }

    /// Half of them were faster.
    #[must_use]
    pub fn p50_us(&self) -> u64 {
        self.quantile_us(0.5)
    }

    /// One of twenty was slower.
    #[must_use]
    pub fn p95_us(&self) -> u64 {
        self.quantile_us(0.95)
    }

    /// One of a hundred was slower.
    #[must_use]
    pub fn p99_us(&self) -> u64 {
        self.quantile_us(0.99)
    }

    /// The mean, from the middles of the buckets.
    #[must_use]
    pub fn mean_us(&self) -> u64 {
        let sum = self.0.counts().fold(0u128, |sum, (value, count)| {
            sum + u128::from(u64::midpoint(value, pile::highest(value))) * u128::from(count)
        });
        u64::try_from(sum / u128::from(self.count().max(1))).unwrap_or(u64::MAX)
    }

    /// The fastest.
    #[must_use]
    pub fn min_us(&self) -> u64 {
        self.0.counts().next().map_or(0, |(value, _)| value)
    }

    /// The slowest.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.0.counts().last().map_or(0, |(value, _)| pile::highest(value))
    }
}

/// Which one from below, from 1, of `count` has so many at or below it.
pub(crate) fn rank(quantile: f64, count: u64) -> u64 {
    // A hair less, so that 0.99 of 100, which is a little more than 99 in binary, is the 99th.
    let exact = quantile.clamp(0.0, 1.0) * count as f64;
    crate::words::whole((exact - exact * 1e-12).ceil()).clamp(1, count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let latency = Latency::from(Distribution::of((1..=100).map(|n| (n, 1))));
        for (quantile, expected) in
            [(0.0, 1), (0.01, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)]
        {
            assert_eq!(latency.quantile_us(quantile), expected, "{quantile}");
        }
        assert_eq!((latency.mean_us(), latency.min_us(), latency.max_us()), (50, 1, 100));
        let none = Latency::default();
        assert_eq!((none.p99_us(), none.mean_us(), none.min_us(), none.max_us()), (0, 0, 0, 0));
        let broad = Latency::from(Distribution::of([(10_000_000, 1)]));
        assert!((10_000_000..10_010_000).contains(&broad.p50_us()));
    }

    #[test]
    fn only_the_histogram_is_believed() {
        let text = r#"{"count":9,"p99_us":1,"distribution":[[7,1],[3,2],[7,1]]}"#;
        let latency: Latency = serde_json::from_str(text).unwrap();
        assert_eq!(latency.distribution(), &Distribution::of([(3, 2), (7, 2)]));
        insta::assert_snapshot!(serde_json::to_string(&latency).unwrap());
    }
}
