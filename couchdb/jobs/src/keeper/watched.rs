//! One job that has not ended, as the keeper knows it: when it is to be ended, and as what.

use std::time::Duration;

use blitz_contract::Retry;
use blitz_couchdb::Revision;

use super::epoch::{Home, Whose};
use super::{Action, Plugin};
use crate::id::JobId;
use crate::run::{Claim, Run, Step};
use crate::spec::Spec;
use crate::timing::Timing;

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) retry: Retry,
    /// The home epoch for which it was admitted.
    admitted: u32,
    queue_timeout: Duration,
    timeout: Duration,
    pub(super) plugin: Plugin,
    /// How many tasks of its run are in its region.
    tasks: usize,
    pub(super) cancelled: bool,
    pub(super) run: Option<(Revision, Run)>,
    /// Its run cannot be read, and this is its leaf.
    pub(super) unreadable: Option<Revision>,
    /// From when on its time counts here.
    pub(super) from: Duration,
    /// Since when it is queued.
    since: Duration,
    /// Its place among the looks.
    pub(super) look: Option<Duration>,
    /// A step was asked for: nothing more is before this instant.
    pub(super) asked_until: Duration,
}

impl Watched {
    /// A job that is heard of now.
    pub(super) fn new(spec: &Spec, home: &Home, now: Duration, cancelled: bool) -> Self {
        let from = home.settled(now, spec.home_epoch);
        Self {
            retry: spec.retry,
            admitted: spec.home_epoch,
            queue_timeout: spec.queue_timeout().min(spec.timeout()),
            timeout: spec.timeout(),
            plugin: Plugin::of(spec),
            tasks: spec.tasks_in_region(),
            cancelled,
            run: None,
            unreadable: None,
            from,
            since: from,
            look: None,
            asked_until: Duration::ZERO,
        }
    }

    /// Its time counts as if it were heard of now.
    pub(super) fn count_from(&mut self, now: Duration, home: &Home) {
        self.from = home.settled(now, self.admitted);
        self.since = self.from;
    }

    /// Its run has changed: it is queued since now, if it is queued at all.
    pub(super) fn wait_anew(&mut self, now: Duration) {
        self.since = now.max(self.from);
        self.asked_until = Duration::ZERO;
    }

    /// The claim that silence ends.
    pub(super) fn judged(&self, home: &Home) -> Option<&Claim> {
        match &self.run {
            Some((_, Run::Claimed { claim })) if self.whose(home) == Whose::Ours => Some(claim),
            _ => None,
        }
    }

    fn whose(&self, home: &Home) -> Whose {
        let run = self.run.as_ref().map(|(_, run)| run.epoch());
        home.whose(self.admitted, self.retry == Retry::Safe, run)
    }

    /// When its time is over, as this keeper counts it.
    fn deadline(&self) -> Duration {
        self.from.saturating_add(self.timeout)
    }

    /// When a waiting job is to be ended.
    pub(super) fn look_at(&self, home: &Home) -> Option<Duration> {
        let whose = self.whose(home);
        let at = match &self.run {
            None if whose == Whose::Later && self.unreadable.is_none() => return None,
            // A newer version may run it, or a later home: engines stop at the end of the job's time, or are dead after it.
            _ if whose == Whose::Later || self.unreadable.is_some() => {
                self.since + self.timeout + home.timing.dead
            }
            // Its end may be on its way for so long.
            _ if whose == Whose::Former && self.cancelled => self.from,
            _ if whose == Whose::Former => self.deadline(),
            Some((_, Run::Claimed { .. })) => return None,
            _ if self.cancelled => Duration::ZERO,
            // A job that was given back waits for another engine as long as it has time for.
            _ => (self.since + self.queue_timeout).min(self.deadline()),
        };
        Some(at.max(self.asked_until))
    }

    pub(super) fn step(&self, now: Duration, home: &Home, region: &str) -> Option<Step> {
        let (whose, epoch) = (self.whose(home), home.epoch);
        match &self.run {
            Some((_, run)) if whose == Whose::Later => Some(Step::Forsake {
                reason: format!(
                    "its run is of home epoch {}, and region {region} has only come to {epoch}; no end of it has come \
                     within the {} s that it had",
                    run.epoch(),
                    self.timeout.as_secs_f64()
                ),
            }),
            None if whose == Whose::Later && self.unreadable.is_none() => None,
            None if self.unreadable.is_some() => {
                let had = self.timeout.as_secs_f64();
                let reason = format!(
                    "its run could not be read within the {had} s that it had, so that nobody knows whether it began"
                );
                Some(Step::Expire { reason })
            }
            _ if whose == Whose::Former => Some(self.forsake(region)),
            Some((_, Run::Claimed { .. })) => None,
            _ if self.cancelled => Some(Step::CancelWaiting),
            Some((_, run)) if now >= self.deadline() => {
                let had = self.timeout.as_secs_f64();
                let last = run.reason().unwrap_or("it was given back");
                Some(Step::Expire {
                    reason: format!("the {had} s that it had are over, and nobody runs it: {last}"),
                })
            }
            _ => {
                let waited = self.queue_timeout.as_secs_f64();
                let reason = match self.tasks {
                    0 | 1 => format!("no engine of region {region} took the job within {waited} s"),
                    tasks => format!(
                        "no engine of region {region} that is free of the other tasks of its run took the job within \
                         {waited} s: the {tasks} tasks go to as many engines, one to each"
                    ),
                };
                Some(Step::Expire { reason })
            }
        }
    }

    /// Nobody here may begin it, and nothing was heard of its end.
    fn forsake(&self, region: &str) -> Step {
        let when = if self.cancelled {
            "it was cancelled, and no end of it has come from there".to_owned()
        } else {
            format!("no end of it has come from there within {} s", self.timeout.as_secs_f64())
        };
        let reason = format!(
            "region {region} has moved to another home after the job was admitted, and {when}: nobody knows whether it \
             began"
        );
        Step::Forsake { reason }
    }

    pub(super) fn write(
        &mut self,
        now: Duration,
        timing: &Timing,
        job: &JobId,
        step: Step,
    ) -> Option<Action> {
        self.asked_until = now + timing.beat;
        let run = Run::after(self.run.as_ref().map(|(_, run)| run), step).ok()?;
        let known = self.run.as_ref().map(|(revision, _)| revision);
        let over = known.or(self.unreadable.as_ref()).cloned();
        Some(Action::Write { job: job.clone(), over, run })
    }
}
