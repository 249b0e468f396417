//! One distribution: exact count, bounds and mean, and a histogram of three digits for its percentiles.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Decimal digits that are kept of each value.
const DIGITS: u8 = 3;
/// The histogram's resolution for [`DIGITS`]: values up to `2^11` each have a slot of their own, and each power of
/// two above has half as many.
const EXACT_BITS: u32 = 11;
const HALF_SLOTS: usize = 1 << (EXACT_BITS - 1);
/// Larger values are put there in the histogram; the maximum stays exact.
const VALUE_MAX: u64 = u64::MAX >> 1;

#[derive(Debug, Default)]
pub(super) struct Distribution {
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
    histogram: Option<Histogram<u64>>,
}

impl Distribution {
    /// Bytes that it will occupy more, to take a value as high as this.
    pub(super) fn growth_bytes(&self, highest: u64) -> usize {
        let now = self.histogram.as_ref().map_or(0, |_| slots(self.max));
        slots(highest).saturating_sub(now) * size_of::<u64>()
    }

    pub(super) fn add(&mut self, values: &[u64]) {
        let Some(highest) = values.iter().copied().max() else { return };
        if self.histogram.is_none() {
            self.min = u64::MAX;
            self.histogram = Histogram::new(DIGITS).ok();
        }
        let Some(histogram) = &mut self.histogram else { return };
        for &value in values {
            self.sum = self.sum.saturating_add(u128::from(value));
            self.min = self.min.min(value);
            // It fails where an address space is too small for a few hundred KiB.
            histogram.record(value.min(VALUE_MAX)).ok();
        }
        self.max = self.max.max(highest);
        self.count = self.count.saturating_add(u64::try_from(values.len()).unwrap_or(u64::MAX));
    }

    pub(super) fn summary(&self) -> Value {
        let at = |quantile| {
            let value = self.histogram.as_ref().map_or(0, |h| h.value_at_quantile(quantile));
            // A slot is as wide as three digits make it; its end may lie outside of what was seen.
            value.clamp(self.min, self.max)
        };
        json!({
            "count": self.count,
            "min": self.min,
            "max": self.max,
            "mean": self.mean(),
            "p50": at(0.5),
            "p90": at(0.9),
            "p99": at(0.99),
            "p999": at(0.999),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean has the 15 digits of its type")]
    fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }
}

/// Slots of a histogram that reaches up to this value.
fn slots(highest: u64) -> usize {
    let bits = u64::BITS - highest.min(VALUE_MAX).leading_zeros();
    let powers = usize::try_from(bits.saturating_sub(EXACT_BITS)).unwrap_or(usize::MAX);
    (powers + 2) * HALF_SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_the_one_that_the_histogram_has() {
        for highest in [0, 1, 2047, 2048, 4095, 4096, 1_000_000, u64::MAX >> 2, VALUE_MAX, u64::MAX]
        {
            let mut distribution = Distribution::default();
            assert_eq!(distribution.growth_bytes(highest), slots(highest) * 8);
            distribution.add(&[highest]);
            assert_eq!(distribution.growth_bytes(highest), 0);
            let histogram = distribution.histogram.unwrap();
            assert_eq!(histogram.distinct_values(), slots(highest), "{highest}");
        }
    }

    #[test]
    fn percentiles_have_three_digits() {
        let mut distribution = Distribution::default();
        distribution.add(&(1..=1_000_000).collect::<Vec<_>>());
        let summary = distribution.summary();
        for (name, wanted) in
            [("p50", 500_000.0), ("p90", 900_000.0), ("p99", 990_000.0), ("p999", 999_000.0)]
        {
            let found = summary[name].as_f64().unwrap();
            assert!((found - wanted).abs() <= wanted / 1000.0, "{name}: {found}");
        }
        assert_eq!(summary["mean"], json!(500_000.5));
    }
}
