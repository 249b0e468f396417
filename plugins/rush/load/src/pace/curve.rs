//! The heights of a shape over time, their integral, and its exact inverse.

use blitz_contract::load::Segment;

/// A rate over time, in pieces that are straight lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pieces: Box<[Piece]>,
    total: f64,
}

/// One straight line, with what was before it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    /// Since the start.
    begin_ns: u64,
    duration_ns: u64,
    /// The integral up to its begin.
    before: f64,
    /// The integral over it.
    own: f64,
    /// Per second.
    from: f64,
    to: f64,
}

/// Nanoseconds of a second.
const SECOND_NS: f64 = 1e9;

impl Curve {
    /// Of the segments, one after the other.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are far below 2^53")]
    pub(crate) fn new(segments: &[Segment]) -> Self {
        let (mut begin_ns, mut before) = (0_u64, 0.0);
        let mut pieces = Vec::with_capacity(segments.len());
        for segment in segments {
            let duration_ns = segment.duration_ms.saturating_mul(1_000_000);
            // In this order a rate and a duration of whole numbers give a whole number.
            let own = (segment.from + segment.to) * segment.duration_ms as f64 / 2000.0;
            let (from, to) = (segment.from, segment.to);
            pieces.push(Piece { begin_ns, duration_ns, before, own, from, to });
            begin_ns = begin_ns.saturating_add(duration_ns);
            before += own;
        }
        Self { pieces: pieces.into(), total: before }
    }

    /// The integral over all of it: how many transactions there are.
    #[cfg(test)]
    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// How many indices from 0 the curve reaches: all that are below its total, which rounding may have moved a hair.
    pub(crate) fn count(&self) -> u64 {
        whole((self.total - 1e-6 - self.total * 1e-14).ceil())
    }

    /// The integral from the start to an instant.
    #[cfg(test)]
    pub(crate) fn integral(&self, at_ns: u64) -> f64 {
        let Some(piece) = self.pieces.iter().rev().find(|piece| piece.begin_ns <= at_ns) else {
            return 0.0;
        };
        if at_ns - piece.begin_ns >= piece.duration_ns {
            return piece.before + piece.own;
        }
        let (x, d) = ((at_ns - piece.begin_ns) as f64, piece.duration_ns as f64);
        let height = piece.from + (piece.to - piece.from) * (x / d) / 2.0;
        piece.before + height * x / SECOND_NS
    }

    /// The instant at which the integral passes `amount`, from the start: the last one at which it is not above it, so that what
    /// would fall into a pause comes when it is over. `None` when the curve ends before. `hint` is where the search begins
    /// and is moved on: for ascending amounts it costs nothing.
    pub(crate) fn reach(&self, amount: f64, hint: &mut usize) -> Option<u64> {
        if self.pieces.get(*hint).is_none_or(|piece| amount < piece.before) {
            *hint = 0;
        }
        while let Some(piece) = self.pieces.get(*hint) {
            if amount < piece.before + piece.own {
                return Some(piece.begin_ns + piece.reach(amount - piece.before));
            }
            *hint += 1;
        }
        None
    }
}

impl Piece {
    /// When the integral over it is `amount`, from its begin: the root of `from x + (to - from) x^2 / 2d = amount`, in the form
    /// that loses no digits when the line is nearly flat.
    #[expect(clippy::cast_precision_loss, reason = "a day in nanoseconds is below 2^53")]
    fn reach(&self, amount: f64) -> u64 {
        let d = self.duration_ns as f64 / SECOND_NS;
        let amount = amount.max(0.0);
        let slope = (self.to - self.from) / d;
        let under = (self.from * self.from + 2.0 * amount * slope).max(0.0);
        let divisor = self.from + under.sqrt();
        if divisor <= 0.0 {
            return 0;
        }
        whole((2.0 * amount / divisor * SECOND_NS).round()).min(self.duration_ns)
    }
}

/// A number that is not negative as a whole one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates, and that is meant"
)]
pub(super) fn whole(value: f64) -> u64 {
    value as u64
}
