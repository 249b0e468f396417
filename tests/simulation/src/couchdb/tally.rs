//! What the replies of the copies to one write come to.
//!
//! 201 as soon as `w` copies made the same revision. Otherwise the coordinator waits for all: any that took it make
//! a 202, and *keep it*; 409 when all refused; 500 when none could be asked. A copy that hangs is waited for until
//! [`QUORUM_TIMEOUT`](super::QUORUM_TIMEOUT).
//!
//! Source: `fabric_doc_update.erl` of CouchDB 3.5.0.

use super::cluster::COPIES_MAX;
use super::revision::Rev;

/// What a client is told of its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 201: as many copies as were asked for have it.
    Created(Rev),
    /// 202: fewer have it, and keep it.
    Accepted(Rev),
    /// 409: no copy took it.
    Conflict,
    /// 500: no copy could be asked, or none answered in time. A copy that hangs may store it later.
    Unavailable,
    /// The connection was refused: nothing is stored.
    Refused,
}

impl Answer {
    /// The revision that was stored.
    #[must_use]
    pub fn stored(self) -> Option<Rev> {
        match self {
            Answer::Created(rev) | Answer::Accepted(rev) => Some(rev),
            Answer::Conflict | Answer::Unavailable | Answer::Refused => None,
        }
    }
}

/// What the coordinator heard of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// None yet.
    Waiting,
    Stored(Rev),
    Conflict,
    /// There will be none.
    Failed,
}

/// The replies of the copies to one write.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) replies: [Reply; COPIES_MAX],
    w: usize,
}

impl Tally {
    pub(super) fn new(w: usize) -> Self {
        Self { replies: [Reply::Failed; COPIES_MAX], w }
    }

    /// The answer, when it is decided or there is no more time.
    pub(super) fn answer(&self, out_of_time: bool) -> Option<Answer> {
        let (mut waiting, mut conflict, mut last) = (false, false, None);
        for (place, reply) in self.replies.iter().enumerate() {
            match *reply {
                Reply::Waiting => waiting = true,
                Reply::Conflict => conflict = true,
                Reply::Failed => {}
                Reply::Stored(rev) => {
                    // Copies may disagree only where a deleted document begins again.
                    let same = self.replies[..=place].iter().filter(|r| **r == *reply).count();
                    if same >= self.w {
                        return Some(Answer::Created(rev));
                    }
                    last = Some(rev);
                }
            }
        }
        if waiting && !out_of_time {
            return None;
        }
        Some(match last {
            Some(rev) => Answer::Accepted(rev),
            None if conflict => Answer::Conflict,
            None => Answer::Unavailable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_answered_as_couchdb_answers() {
        let rev = |hash| Rev { generation: 1, hash };
        let stored = Reply::Stored(rev(1));
        let (no, away, open) = (Reply::Conflict, Reply::Failed, Reply::Waiting);
        let created = Some(Answer::Created(rev(1)));
        let accepted = Some(Answer::Accepted(rev(1)));
        for (w, replies, answer) in [
            (1, [stored, open, open], created),
            (2, [stored, open, open], None),
            (2, [stored, open, stored], created),
            (2, [stored, no, open], None),
            (2, [stored, no, no], accepted),
            (3, [stored, stored, open], None),
            (3, [stored, stored, away], accepted),
            (4, [stored, stored, stored], accepted),
            (2, [no, no, open], None),
            (2, [no, no, no], Some(Answer::Conflict)),
            (2, [no, away, away], Some(Answer::Conflict)),
            (1, [away, away, away], Some(Answer::Unavailable)),
            // A deleted document began again over two tombstones.
            (2, [stored, Reply::Stored(rev(2)), away], Some(Answer::Accepted(rev(2)))),
        ] {
            let mut tally = Tally::new(w);
            tally.replies[..3].copy_from_slice(&replies);
            assert_eq!(tally.answer(false), answer, "w={w}: {replies:?}");
        }
        let mut tally = Tally::new(3);
        tally.replies[..3].copy_from_slice(&[stored, stored, open]);
        assert_eq!(tally.answer(true), accepted, "out of time");
    }
}
