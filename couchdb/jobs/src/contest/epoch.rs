//! Whose a job or a claim is, by the home epoch that it carries.
//!
//! An engine stays at one home under one epoch, and claims there only. What was admitted for an earlier home may have begun
//! there: it is run here only if it may run twice, and only after a while in which what came of it can arrive. What a later
//! home has is no business of this one; whoever hears of it will soon hear that the region has moved.
//!
//! Between the epochs of two homes is that of engines that left the first by themselves and are to come back: what they
//! claimed is again that home's once they have, and is judged there by silence like any other claim.

use std::time::Duration;

use blitz_contract::Retry;

use super::Config;
use crate::guards::Guard;
use crate::run::Run;
use crate::spec::Spec;

impl Config {
    /// Whether a job was admitted for a later home than this one.
    pub(super) fn is_later(&self, spec: &Spec) -> bool {
        self.guards.has(Guard::LaterEpoch) && spec.home_epoch > self.epoch
    }

    /// Whether a run came to be as it is at a later home.
    pub(super) fn is_of_later_home(&self, run: &Run) -> bool {
        let last = self.epoch.saturating_add(u32::from(!self.only_safe));
        self.guards.has(Guard::LaterEpoch) && run.epoch() > last
    }

    /// Whether a job is left to others: it must not run twice, and may have begun at the home for which it was admitted.
    pub(super) fn leaves(&self, spec: &Spec) -> bool {
        if spec.retry == Retry::Safe {
            return false;
        }
        let home = self.epoch.saturating_sub(u32::from(self.only_safe));
        let is_earlier = spec.home_epoch < home && self.guards.has(Guard::EarlierEpochNever);
        is_earlier || self.only_safe && self.guards.has(Guard::ProvisionalSafeOnly)
    }

    /// From when on a job that is heard of `now` may be claimed, and its time counts. `began` is when this stay heard of its
    /// first job.
    pub(super) fn settled(&self, now: Duration, began: Duration, spec: &Spec) -> Duration {
        if spec.home_epoch >= self.epoch || !self.guards.has(Guard::SettleFirst) {
            return now;
        }
        // Who has been away from a home that does not answer for so long is the first to hear of what comes to the hub.
        let is_of_this_home = self.only_safe && spec.home_epoch.saturating_add(1) == self.epoch;
        let from = if is_of_this_home { began } else { now };
        from.saturating_add(self.timing.settle).max(now)
    }
}
