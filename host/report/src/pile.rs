//! Adding many histograms at little cost: they are kept as they came, and added up when there are enough of them.

use blitz_contract::load::Distribution;

/// Histograms that wait to be added up: enough that the dense array is worth its clearing, few enough to hold.
const WAITING_MAX: usize = 16;
/// Up to here a bucket holds one value; see [`Distribution`].
const EXACT_BELOW: u64 = 2048;
/// Buckets of one power of two.
const HALF: u64 = EXACT_BELOW / 2;
/// With fewer pairs than this, sorting them is faster than a dense array.
const FEW: usize = 64;

/// How a sum is kept while it is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// As an array of all buckets: nothing is faster to add to. For the few sums that everything goes into.
    Dense,
    /// As few pairs, which are added up from time to time. For the sums of each part, of which there may be many.
    Sparse,
}

/// A sum of histograms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pile {
    sum: Distribution,
    waiting: Vec<Distribution>,
    dense: Rolling,
}

impl Pile {
    pub(crate) fn add(&mut self, more: &Distribution, keep: Keep) {
        if more.is_empty() {
            return;
        }
        if keep == Keep::Dense {
            self.dense.add(more);
            return;
        }
        self.waiting.push(more.clone());
        if self.waiting.len() >= WAITING_MAX {
            self.settle();
        }
    }

    /// From here on it takes no more room than its pairs.
    pub(crate) fn settle(&mut self) {
        if !self.waiting.is_empty() || !self.dense.0.is_empty() {
            *self = Self { sum: self.sum(), ..Self::default() };
        }
    }

    #[cfg(test)]
    pub(crate) fn is_dense(&self) -> bool {
        !self.dense.0.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sum.is_empty() && self.waiting.is_empty() && self.dense.0.is_empty()
    }

    pub(crate) fn sum(&self) -> Distribution {
        Self::sum_of(&[self])
    }

    pub(crate) fn sum_of(all: &[&Self]) -> Distribution {
        let sparse = || all.iter().flat_map(|pile| std::iter::once(&pile.sum).chain(&pile.waiting));
        let mut dense = all.iter().filter(|pile| !pile.dense.0.is_empty());
        let Some(first) = dense.next() else { return sum(sparse()) };
        let mut whole = Rolling(first.dense.0.clone());
        dense.for_each(|pile| whole.add(&pile.dense.sum()));
        sparse().for_each(|one| whole.add(one));
        whole.sum()
    }

    /// Rounds the values to two digits, for what is kept long.
    pub(crate) fn coarsen(&mut self) {
        self.settle();
        self.sum = Distribution::of(self.sum.counts().map(|(value, count)| (coarse(value), count)));
    }
}

/// A sum from which histograms are taken away again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rolling(Vec<u64>);

impl Rolling {
    pub(crate) fn add(&mut self, more: &Distribution) {
        let last = more.counts().map(|(value, _)| value).max().map_or(0, |most| index(most) + 1);
        if self.0.len() < last {
            self.0.resize(last, 0);
        }
        for (value, count) in more.counts() {
            let slot = &mut self.0[index(value)];
            *slot = slot.saturating_add(count);
        }
    }

    /// Takes away one that was added.
    pub(crate) fn remove(&mut self, less: &Distribution) {
        for (value, count) in less.counts() {
            if let Some(slot) = self.0.get_mut(index(value)) {
                *slot = slot.saturating_sub(count);
            }
        }
    }

    pub(crate) fn sum(&self) -> Distribution {
        of_dense(&self.0)
    }
}

fn of_dense(dense: &[u64]) -> Distribution {
    let found = dense.iter().enumerate().filter(|(_, count)| **count > 0);
    Distribution::of(found.map(|(place, count)| (value_at(place), *count)))
}

/// The sum of all of them. Also puts in order what a foreign one has out of order.
pub(crate) fn sum<'a>(all: impl Iterator<Item = &'a Distribution>) -> Distribution {
    let all: Vec<&Distribution> = all.filter(|one| !one.is_empty()).collect();
    let pairs: usize = all.iter().map(|one| one.counts().len()).sum();
    if pairs < FEW {
        return Distribution::of(all.iter().flat_map(|one| one.counts()));
    }
    let last = all.iter().flat_map(|one| one.counts()).map(|(value, _)| index(value)).max();
    let mut dense = vec![0u64; last.unwrap_or(0) + 1];
    for (value, count) in all.iter().flat_map(|one| one.counts()) {
        let slot = &mut dense[index(value)];
        *slot = slot.saturating_add(count);
    }
    of_dense(&dense)
}

/// Which bucket a value is in, from 0.
fn index(value: u64) -> usize {
    let value = Distribution::bucket(value);
    let place = if value < EXACT_BELOW {
        value
    } else {
        let shift = u64::from(value.ilog2()) - 10;
        HALF * shift + (value >> shift)
    };
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The least value of a bucket.
fn value_at(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT_BELOW {
        return index;
    }
    let shift = index / HALF - 1;
    (index - HALF * shift) << shift
}

/// The greatest value that is in the bucket of `value`.
pub(crate) fn highest(value: u64) -> u64 {
    if value < EXACT_BELOW { value } else { value + (1 << (value.ilog2() - 10)) - 1 }
}

/// The middle of the bucket of two digits.
fn coarse(value: u64) -> u64 {
    if value < 256 {
        return value;
    }
    let shift = value.ilog2() - 7;
    (value >> shift << shift) + (1 << (shift - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other() {
        let mut last = None;
        for value in (0..100_000).chain([1 << 20, (1 << 30) + 5, 3_600_000_000]) {
            let place = index(value);
            assert_eq!(value_at(place), Distribution::bucket(value), "{value}");
            assert!(value <= highest(Distribution::bucket(value)), "{value}");
            assert_eq!(index(highest(Distribution::bucket(value))), place, "{value}");
            if value < 100_000 {
                assert!(last.is_none_or(|last| place == last || place == last + 1), "{value}");
                last = Some(place);
            }
        }
    }

    #[test]
    fn a_pile_is_the_plain_sum() {
        let (mut pile, mut dense) = (Pile::default(), Pile::default());
        let mut plain = Distribution::default();
        for round in 0..40u64 {
            let one = Distribution::of((0..round * 5).map(|n| (n * n * 37 + round, n + 1)));
            plain.add(&one);
            pile.add(&one, Keep::Sparse);
            dense.add(&one, Keep::Dense);
            assert_eq!(pile.sum(), plain, "after {round}");
            assert_eq!(dense.sum(), plain, "after {round}");
            if round == 20 {
                dense.settle();
            }
        }
        pile.settle();
        assert_eq!(pile.sum(), plain);
        let mut twice = plain.clone();
        twice.add(&plain);
        assert_eq!(Pile::sum_of(&[&pile, &dense]), twice);
        pile.coarsen();
        assert_eq!(pile.sum().total(), plain.total());
        for (value, _) in plain.counts() {
            assert!(coarse(value).abs_diff(value) * 128 <= value, "{value}");
        }
    }
}
