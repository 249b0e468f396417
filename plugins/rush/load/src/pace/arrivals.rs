//! An open model: when each transaction of a share is due.

use blitz_contract::load::{Segment, Share};

use super::curve::Curve;
use super::random::Random;

/// The instants at which the transactions of one share are due, ascending.
///
/// Even ones: transaction `k` of the share is number [`Share::nth`]`(k)` of all, and is due when the integral of the rate passes
/// that number. Poisson: the share draws arrivals of its own, of the rate divided by the number of shares, by adding waiting times of mean
/// 1 and passing `of` times their sum through the same inverse; independent Poisson processes together are one, whose
/// rate is their sum. How many there are is then random, as it is in the process.
///
/// A copy is cheap and gives the same instants again: one may count what is due while another, behind it, is what is sent.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    curve: std::sync::Arc<Curve>,
    share: Share,
    /// How many of the share came before `next`.
    index: u64,
    /// Of all shares; not used by Poisson arrivals.
    count: u64,
    hint: usize,
    next: Option<u64>,
    poisson: Option<Poisson>,
}

#[derive(Debug, Clone)]
struct Poisson {
    random: Random,
    /// Of waiting times of mean 1.
    sum: f64,
}

impl Arrivals {
    /// Of a rate; `seed` is the plan's, and used only by Poisson arrivals.
    pub(crate) fn new(segments: &[Segment], poisson: bool, seed: u64, share: Share) -> Self {
        let curve = Curve::new(segments);
        let poisson = poisson.then(|| Poisson {
            random: Random::of(&[seed, u64::from(share.index), u64::from(share.of)]),
            sum: 0.0,
        });
        let count = curve.count();
        let curve = std::sync::Arc::new(curve);
        let mut made = Self { curve, share, index: 0, count, hint: 0, next: None, poisson };
        made.next = made.find();
        made
    }

    /// When the next one is due, in nanoseconds since the start; `None` after the last.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next
    }

    /// Number of the next one among those of the share, from 0.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// Takes it, and finds the one after it.
    pub(crate) fn advance(&mut self) {
        if self.next.is_some() {
            self.index += 1;
            self.next = self.find();
        }
    }

    /// Takes all that are due at an instant; says how many.
    pub(crate) fn advance_to(&mut self, now_ns: u64) -> u64 {
        let before = self.index;
        while self.next.is_some_and(|due| due <= now_ns) {
            self.advance();
        }
        self.index - before
    }

    #[expect(clippy::cast_precision_loss, reason = "no plan has 2^53 transactions")]
    fn find(&mut self) -> Option<u64> {
        if let Some(poisson) = &mut self.poisson {
            poisson.sum += poisson.random.exponential();
            return self.curve.reach(poisson.sum * f64::from(self.share.of.max(1)), &mut self.hint);
        }
        let number = self.share.nth(self.index);
        if number >= self.count {
            return None;
        }
        self.curve.reach(number as f64, &mut self.hint)
    }
}
