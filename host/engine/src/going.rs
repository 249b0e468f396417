//! How a stay goes on, from its first job to its last word. Pure.

use std::time::Duration;

use blitz_jobs::timing::JOB_TIMEOUT_MAX;

/// Giving jobs back may take this long; then the watchers notice.
pub(crate) const GIVE_BACK: Duration = Duration::from_secs(3);

/// What runs at a home that was left may go on for so long: the longest job there is, and an hour in which its end can be
/// written.
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(JOB_TIMEOUT_MAX.as_secs() + 3600);

/// The engine is to leave: it was ordered to, or its machine is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Why, for people.
    pub(crate) why: String,
    /// How long the jobs that run may go on; the rest is given back.
    pub(crate) time: Duration,
}

impl Leave {
    /// In no hurry: with the last job.
    pub(crate) fn with_the_last_job(why: String) -> Self {
        Self { why, time: LINGER_MAX }
    }

    /// Says so in the log.
    pub(crate) fn say(&self) {
        let Self { why, time } = self;
        tracing::warn!(why, jobs_may_go_on_s = time.as_secs(), "takes no more jobs and leaves");
    }
}

/// What a stay is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Take jobs.
    Claim,
    /// Take none, and be ready to take some again.
    Rest,
    /// Take none any more, and end with the last job.
    Wind,
    /// The region has moved: give back what may run twice, and end with the last of the other jobs.
    Leave,
    /// The engine ends: jobs may go on for so long.
    Go { drain: Duration },
}

impl Order {
    /// Whether the stay ends by it.
    pub(crate) fn is_last(self) -> bool {
        !matches!(self, Self::Claim | Self::Rest)
    }
}

/// How the stay goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// It takes jobs.
    On,
    /// It takes none for now, and lets those that run go on.
    Rests,
    /// It takes none, and lets those that run end until the instant.
    Drains { until: Duration },
    /// It gives back what it has, until the instant.
    GivesBack { until: Duration },
    /// It has nothing more.
    Over,
}

impl Going {
    /// What follows from an order at this instant. Who gives back is told nothing else.
    pub(crate) fn obey(self, now: Duration, order: Order) -> Self {
        let drains = |time| Self::Drains { until: now + time };
        match (self, order) {
            (Self::GivesBack { .. } | Self::Over, _) => self,
            (_, Order::Claim) => Self::On,
            (_, Order::Rest) => Self::Rests,
            (_, Order::Wind | Order::Leave) => drains(LINGER_MAX),
            (_, Order::Go { drain }) => drains(drain),
        }
    }

    /// What follows at this instant. `is_idle`: it holds no job; `is_replaced`: another process has its id, so that
    /// its jobs must not wait for their end.
    pub(crate) fn next(self, now: Duration, is_idle: bool, is_replaced: bool) -> Self {
        match self {
            Self::On | Self::Rests if !is_replaced => self,
            Self::Drains { until } if !is_replaced && !is_idle && now < until => self,
            Self::GivesBack { until } if !is_idle && now < until => self,
            Self::GivesBack { .. } | Self::Over => Self::Over,
            Self::Drains { .. } if is_idle => Self::Over,
            Self::On | Self::Rests | Self::Drains { .. } => {
                Self::GivesBack { until: now + GIVE_BACK }
            }
        }
    }

    /// When it goes on in another way, whatever happens until then.
    pub(crate) fn until(self) -> Option<Duration> {
        match self {
            Self::Drains { until } | Self::GivesBack { until } => Some(until),
            Self::On | Self::Rests | Self::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_drain_ends_with_the_last_job_or_gives_back_what_does_not_end() {
        let drains = Going::Drains { until: 30 * S };
        assert_eq!(Going::On.next(S, true, false), Going::On);
        assert_eq!(drains.next(29 * S, false, false), drains);
        assert_eq!(drains.next(2 * S, true, false), Going::Over);
        let gives_back = Going::GivesBack { until: 30 * S + GIVE_BACK };
        assert_eq!(drains.next(30 * S, false, false), gives_back);
        assert_eq!(gives_back.next(31 * S, false, false), gives_back);
        assert_eq!(gives_back.next(31 * S, true, false), Going::Over);
        assert_eq!(gives_back.next(30 * S + GIVE_BACK, false, false), Going::Over);
        assert_eq!(Going::Over.next(S, false, true), Going::Over);
    }

    #[test]
    fn one_that_was_replaced_gives_back_at_once() {
        let gives_back = Going::GivesBack { until: S + GIVE_BACK };
        for going in [Going::On, Going::Rests, Going::Drains { until: 30 * S }] {
            assert_eq!(going.next(S, false, true), gives_back);
        }
        assert_eq!(gives_back.next(S, true, true), Going::Over);
        assert_eq!(gives_back.until(), Some(S + GIVE_BACK));
    }

    #[test]
    fn a_stay_that_rests_goes_on_and_one_that_winds_ends_with_its_last_job() {
        let rests = Going::On.obey(S, Order::Rest);
        assert_eq!(rests.next(900 * S, true, false), Going::Rests);
        assert_eq!(rests.obey(S, Order::Claim), Going::On);
        for order in [Order::Wind, Order::Leave] {
            let ends = rests.obey(S, order);
            assert_eq!(ends.next(900 * S, false, false), ends);
            assert_eq!(ends.next(900 * S, true, false), Going::Over);
            assert_eq!(ends.obey(S, Order::Claim), Going::On, "wanted again before its end");
            let goes = ends.obey(S, Order::Go { drain: 30 * S });
            assert_eq!(goes, Going::Drains { until: 31 * S });
        }
        let gives_back = Going::GivesBack { until: S };
        assert_eq!(gives_back.obey(S, Order::Claim), gives_back);
        assert!(Order::Wind.is_last() && !Order::Rest.is_last());
    }
}
