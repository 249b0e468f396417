//! Time-outs without a timer for each request.
//!
//! Each lane has at most one entry here, which says when to look at it again: no later than its deadline, and no later than the
//! least time-out of the plan from when it was entered. So a lane whose entry is still ahead can begin a request without touching
//! this, since no deadline that begins later can be earlier; a busy lane is looked at once in a time-out, not once a request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When which lane is looked at. Milliseconds: a time-out is never early, and at most one late.
#[derive(Debug)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    /// The least time-out of the plan.
    interval_ns: u64,
}

const MS: u64 = 1_000_000;

impl Deadlines {
    pub(crate) fn new(min_timeout_ns: u64) -> Self {
        Self { heap: BinaryHeap::new(), interval_ns: min_timeout_ns.max(MS) }
    }

    /// Enters a lane that has no entry.
    pub(crate) fn watch(&mut self, lane: u32, now_ns: u64, deadline_ns: u64) {
        let at_ns = deadline_ns.min(now_ns.saturating_add(self.interval_ns));
        let at_ms = u32::try_from(at_ns.div_ceil(MS)).unwrap_or(u32::MAX);
        self.heap.push(Reverse((at_ms, lane)));
    }

    /// When the next one is to be looked at.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((ms, _))| u64::from(*ms) * MS)
    }

    /// Takes out the next lane whose instant has come.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<u32> {
        let Reverse((ms, lane)) = *self.heap.peek()?;
        if u64::from(ms) * MS > now_ns {
            return None;
        }
        self.heap.pop();
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_come_when_their_time_has_come() {
        let mut deadlines = Deadlines::new(10 * MS);
        deadlines.watch(1, 0, 7 * MS + 1);
        deadlines.watch(2, 0, 3600 * MS);
        deadlines.watch(3, 0, MS);
        assert_eq!(deadlines.next_ns(), Some(MS));
        assert_eq!(deadlines.take(MS - 1), None);
        assert_eq!(deadlines.take(MS), Some(3));
        assert_eq!(deadlines.take(8 * MS - 1), None, "a time-out is never early");
        assert_eq!(deadlines.take(8 * MS), Some(1));
        assert_eq!(deadlines.take(20 * MS), Some(2), "looked at before its deadline");
        assert_eq!(deadlines.next_ns(), None);
    }
}
