//! What a keeper may end, by the home epoch that a job and its run carry.

use std::time::Duration;

use crate::guards::{Guard, Guards};
use crate::timing::Timing;

/// The home that is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    pub(super) epoch: u32,
    pub(super) timing: Timing,
    pub(super) guards: Guards,
}

/// Whose a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// This home's: it waits, is run or given back, and is ended, here.
    Ours,
    /// It must not run twice, was admitted for an earlier home, and has nothing here that came of it after that: nobody here
    /// begins it, and its engine beats elsewhere.
    Former,
    /// A later home's, of which this keeper has not heard yet. What was admitted for it is not ended here, and may wait
    /// long to be heard of there; what it has run has all its time.
    Later,
}

impl Home {
    /// Whose a job is that was admitted under the epoch `admitted`, and whose run came to be under `run`.
    pub(super) fn whose(&self, admitted: u32, may_retry: bool, run: Option<u32>) -> Whose {
        // Who left this home without being told writes with the epoch after it, and is to come back.
        let last = self.epoch.saturating_add(1);
        let is_later = admitted > self.epoch || run.is_some_and(|run| run > last);
        if is_later && self.guards.has(Guard::LaterEpoch) {
            return Whose::Later;
        }
        let is_former = admitted < self.epoch && run.is_none_or(|run| run < self.epoch);
        if is_former && !may_retry && self.guards.has(Guard::EarlierEpochNever) {
            return Whose::Former;
        }
        Whose::Ours
    }

    /// From when on a job's time counts that is heard of `now`: of one that was admitted for an earlier home engines wait
    /// before they claim it, since what came of it there may be on its way.
    pub(super) fn settled(&self, now: Duration, admitted: u32) -> Duration {
        let is_earlier = admitted < self.epoch;
        if is_earlier && self.guards.has(Guard::SettleFirst) {
            return now.saturating_add(self.timing.settle);
        }
        now
    }
}
