//! A closed model: when users of a share begin and end.

use blitz_contract::load::{Segment, Share};

use super::curve::whole;

/// From an instant on, so many users of the share are active. The last one that began is the first that ends, so those are the
/// users 0 to `users` - 1 of the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Since the start.
    pub(crate) at_ns: u64,
    /// How many there are from then on.
    pub(crate) users: u32,
}

/// The changes in the number of users of one share, in the order of time: on a ramp one user each, at a step many at once. At the
/// end of the shape all are gone.
///
/// User `j` of all exists while the height of the shape is above `j`; the share has those that [`Share::nth`] gives.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    pieces: Box<[Piece]>,
    share: Share,
    piece: usize,
    /// Whether the change at the begin of the piece was given.
    is_entered: bool,
    /// Of the share, after the change that was given last.
    active: u64,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    begin_ns: u64,
    duration_ns: u64,
    from: u64,
    to: u64,
}

impl Users {
    /// Of the segments; their heights are whole.
    pub(crate) fn new(segments: &[Segment], share: Share) -> Self {
        let mut begin_ns = 0_u64;
        let mut pieces: Vec<Piece> = Vec::with_capacity(segments.len() + 1);
        for segment in segments {
            let duration_ns = segment.duration_ms.saturating_mul(1_000_000);
            let (from, to) = (whole(segment.from), whole(segment.to));
            pieces.push(Piece { begin_ns, duration_ns, from, to });
            begin_ns = begin_ns.saturating_add(duration_ns);
        }
        pieces.push(Piece { begin_ns, duration_ns: 0, from: 0, to: 0 });
        Self { pieces: pieces.into(), share, piece: 0, is_entered: false, active: 0 }
    }

    /// The most that are active at once.
    pub(crate) fn peak(&self) -> u64 {
        let peak = self.pieces.iter().map(|piece| piece.from.max(piece.to)).max();
        self.share.of_first(peak.unwrap_or_default())
    }
}

impl Iterator for Users {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        while let Some(piece) = self.pieces.get(self.piece) {
            let before = self.active;
            let at_ns = if !self.is_entered {
                self.is_entered = true;
                self.active = self.share.of_first(piece.from);
                piece.begin_ns
            } else if let Some((at_ns, active)) = piece.next(self.share, self.active) {
                self.active = active;
                at_ns
            } else {
                self.piece += 1;
                self.is_entered = false;
                continue;
            };
            if self.active != before {
                let users = u32::try_from(self.active).unwrap_or(u32::MAX);
                return Some(Change { at_ns, users });
            }
        }
        None
    }
}

impl Piece {
    /// The next change within it, when so many of the share are active.
    fn next(&self, share: Share, active: u64) -> Option<(u64, u64)> {
        if self.to > self.from {
            let user = share.nth(active);
            return (user < self.to).then(|| (self.cross(user - self.from.min(user)), active + 1));
        }
        let user = share.nth(active.checked_sub(1)?);
        (user >= self.to && self.to < self.from)
            .then(|| (self.cross(self.from - user.min(self.from)), active - 1))
    }

    /// When the line has moved by so many users.
    fn cross(&self, moved: u64) -> u64 {
        let height = u128::from(self.to.abs_diff(self.from).max(1));
        let part = u128::from(self.duration_ns) * u128::from(moved) / height;
        self.begin_ns.saturating_add(u64::try_from(part).unwrap_or(self.duration_ns))
    }
}
