//! Every time and bound of reconciling, with its reason.

use std::time::Duration;

/// The times and bounds of [`decide`](super::decide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// An engine whose document has not changed for so long is silent: it rewrites it each 60 s, so that is three times, and
    /// something for a store that was slow.
    pub engine_silent: Duration,
    /// An engine said that it goes, and so long after its machine is still there: to go and to power off takes seconds.
    pub leaves_within: Duration,
    /// Between the mark and the end of an orphan: an engine that is still there has rewritten its document in the meantime,
    /// and whoever looks at the provider's console can put [`TAG_KEEP`](crate::instance::TAG_KEEP) on it.
    pub orphan_again: Duration,
    /// Nothing younger is terminated, whatever the fleet's file says of registration.
    pub age_min: Duration,
    /// An engine that is silent and was asked to drain has had its time: its jobs went to others long ago, but its last beat
    /// names them for ever. As long as the longest job may take.
    pub drain: Duration,
    /// What passes at most between two rounds. Where more has, this side slept, or its clock was set: neither is a reason to
    /// think that engines were silent so long. Less than a third of [`Rules::engine_silent`], so that it takes several looks.
    pub step_max: Duration,
    /// Where more than so many of 100 look wrong at once it is rather our sight that is: cluster-autoscaler has the same 45.
    pub wrong_percent_max: usize,
    /// Of fewer machines and engines no share is taken: one of two is nothing unusual.
    pub wrong_of_min: usize,
    /// Terminations of a round: whatever is wrong with all of this, somebody can stop it after so many.
    pub terminations_max: usize,
    /// An operator has looked, and the circuit breaker holds nothing. All other rules stay.
    pub is_forced: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            engine_silent: Duration::from_secs(200),
            leaves_within: Duration::from_secs(180),
            orphan_again: Duration::from_secs(60),
            age_min: Duration::from_secs(60),
            drain: Duration::from_secs(3_600),
            step_max: Duration::from_secs(60),
            wrong_percent_max: 45,
            wrong_of_min: 3,
            terminations_max: 50,
            is_forced: false,
        }
    }
}

impl Rules {
    /// The same proportions, `factor` times as fast (1 to 1,000), for engines that are, too.
    #[must_use]
    pub fn faster(factor: u32) -> Self {
        let normal = Self::default();
        let factor = factor.clamp(1, 1000);
        Self {
            engine_silent: normal.engine_silent / factor,
            leaves_within: normal.leaves_within / factor,
            orphan_again: normal.orphan_again / factor,
            age_min: normal.age_min / factor,
            drain: normal.drain / factor,
            step_max: normal.step_max / factor,
            ..normal
        }
    }
}

/// Whole milliseconds, at least one: no rule is met by a time of none.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
