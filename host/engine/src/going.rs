//! How an engine goes on, from its first job to its last word. Pure.

use std::time::Duration;

/// Giving jobs back may take this long; then the watchers notice.
pub(crate) const GIVE_BACK: Duration = Duration::from_secs(3);

/// How the engine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// It takes jobs.
    On,
    /// It takes none, and lets those that run end until the instant.
    Drains { until: Duration },
    /// It gives back what it has, until the instant.
    GivesBack { until: Duration },
    /// It has nothing more.
    Over,
}

impl Going {
    /// What follows at this instant. `is_idle`: it holds no job; `is_replaced`: another process has its id, so that
    /// its jobs must not wait for their end.
    pub(crate) fn next(self, now: Duration, is_idle: bool, is_replaced: bool) -> Self {
        match self {
            Self::On if !is_replaced => self,
            Self::Drains { until } if !is_replaced && !is_idle && now < until => self,
            Self::GivesBack { until } if !is_idle && now < until => self,
            Self::GivesBack { .. } | Self::Over => Self::Over,
            Self::Drains { .. } if is_idle => Self::Over,
            Self::On | Self::Drains { .. } => Self::GivesBack { until: now + GIVE_BACK },
        }
    }

    /// When it goes on in another way, whatever happens until then.
    pub(crate) fn until(self) -> Option<Duration> {
        match self {
            Self::Drains { until } | Self::GivesBack { until } => Some(until),
            Self::On | Self::Over => None,
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
        for going in [Going::On, Going::Drains { until: 30 * S }] {
            assert_eq!(going.next(S, false, true), gives_back);
        }
        assert_eq!(gives_back.next(S, true, true), Going::Over);
        assert_eq!(gives_back.until(), Some(S + GIVE_BACK));
    }
}
