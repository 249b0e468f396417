//! Where one job stands with this engine.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::Retry;
use blitz_couchdb::Revision;

use super::taken::Taken;
use super::{Config, Why};
use crate::guards::Guard;
use crate::run::{ATTEMPTS_MAX, Claim, Run};
use crate::spec::Spec;

/// A write that was not decided is tried again after this long, doubled up to the ceiling.
pub(super) const WRITE_AGAIN: Duration = Duration::from_millis(100);
pub(super) const WRITE_AGAIN_MAX: Duration = Duration::from_secs(2);

/// A job that this engine knows of.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) spec: Arc<Spec>,
    /// From when on it may be claimed, and its time counts: since it was heard of, or since what came of it at an earlier
    /// home can be here.
    pub(super) from: Duration,
    pub(super) cancelled: bool,
    /// The newest run that was heard of or written, with its revision.
    pub(super) run: Option<(Revision, Run)>,
    /// Its run cannot be read: it is left alone.
    pub(super) is_unreadable: bool,
    pub(super) phase: Phase,
    /// Its place in the queue.
    pub(super) queued: Option<Duration>,
    /// The claim that was tried first, and when: the lease of a claim that is tried again counts from there.
    pub(super) tried: Option<(Run, Duration)>,
    /// That claim was answered as lost, and its leaf is being removed: it is no claim when the feed still tells it.
    pub(super) has_yielded: bool,
    /// What the feed told while our claim was answered as won: what came of the run, should asking again find that the
    /// claim lost. The feed does not tell it again.
    pub(super) doubted: Option<(Revision, Run)>,
    /// When a claim was sent that was not heard of on the feed yet.
    pub(super) unheard: Option<Duration>,
    /// No verdict on its claim before this instant.
    pub(super) judge_from: Duration,
    /// The revision that our newest claim replaced: a feed that goes back may tell it again.
    pub(super) replaced: Option<Revision>,
    /// Its database was replaced: nothing is written of it, and it is forgotten when it has stopped.
    pub(super) void: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// Waits for a slot, for the plugin, or for its run to be open again; not before the instant.
    Waiting { not_before: Duration },
    /// Our claim is on its way. `heard`: what came of the run meanwhile, and was not our claim.
    Claiming { run: Run, over: Option<Revision>, sent: Duration, heard: Option<(Revision, Run)> },
    /// It is ours, and its start fence is on its way. `fenced`: meanwhile it became another's.
    Fencing { hold: Hold, fenced: bool },
    /// We run it.
    Running { hold: Hold, stopping: Option<Why> },
    /// It has stopped here, and its end or its giving back is being written.
    Closing { hold: Hold, run: Run, write: Closing },
    /// Our verdict on another's claim is on its way.
    Judging { run: Run },
}

/// A claim that is ours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hold {
    pub(super) claim: Claim,
    pub(super) revision: Revision,
    /// The lease counts from the sending of the last beat that was acknowledged and named it.
    pub(super) lease_from: Duration,
    /// When the first beat was sent that named it: earlier ones say nothing of it.
    pub(super) named_from: Option<Duration>,
}

/// Where the last write of a held job stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Closing {
    Sent { next_wait: Duration },
    Due { at: Duration, next_wait: Duration },
}

impl Hold {
    /// Whether a watcher may take it soon.
    pub(super) fn is_over(&self, now: Duration, config: &Config) -> bool {
        self.over_at(config).is_some_and(|at| at <= now)
    }

    /// When its lease is over, if no beat is acknowledged until then.
    pub(super) fn over_at(&self, config: &Config) -> Option<Duration> {
        let stops = config.guards.has(Guard::SelfStop);
        stops.then(|| self.lease_from.saturating_add(config.timing.stop))
    }
}

impl Phase {
    /// The claim that is ours, once it is.
    pub(super) fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Fencing { hold, .. }
            | Self::Running { hold, .. }
            | Self::Closing { hold, .. } => Some(hold),
            _ => None,
        }
    }

    pub(super) fn hold_mut(&mut self) -> Option<&mut Hold> {
        match self {
            Self::Fencing { hold, .. }
            | Self::Running { hold, .. }
            | Self::Closing { hold, .. } => Some(hold),
            _ => None,
        }
    }

    /// The claim that beats speak for: not of a job that is being given back.
    pub(super) fn beating(&self) -> Option<&Hold> {
        match self {
            Self::Closing { run, .. } if !run.is_final() => None,
            Self::Running { stopping: Some(why), .. } if why.is_loss() => None,
            phase => phase.hold(),
        }
    }
}

impl Known {
    pub(super) fn new(spec: Arc<Spec>, from: Duration) -> Self {
        Self {
            spec,
            from,
            cancelled: false,
            run: None,
            is_unreadable: false,
            phase: Phase::Waiting { not_before: from },
            queued: None,
            tried: None,
            has_yielded: false,
            doubted: None,
            unheard: None,
            judge_from: Duration::ZERO,
            replaced: None,
            void: false,
        }
    }

    pub(super) fn may_retry(&self) -> bool {
        self.spec.retry == Retry::Safe
    }

    pub(super) fn deadline(&self) -> Duration {
        self.from.saturating_add(self.spec.timeout())
    }

    /// How many slots it takes of an engine that has so many: at least one, at most all.
    pub(super) fn weight(&self, slots: u32) -> u32 {
        self.spec.limits.slots.unwrap_or(1).clamp(1, slots.max(1))
    }

    /// Whether its claim is judged by its engine's silence.
    pub(super) fn is_judged(&self, config: &Config) -> bool {
        let is_later = self.run.as_ref().is_some_and(|(_, run)| config.is_of_later_home(run));
        !is_later && !config.leaves(&self.spec)
    }

    /// Whether this engine could run it, were it open.
    pub(super) fn is_fit(&self, config: &Config, plugins: &HashSet<String>, taken: &Taken) -> bool {
        // Tasks of one run in one region go to distinct engines.
        !self.void
            && !self.is_unreadable
            && !self.cancelled
            && !config.leaves(&self.spec)
            && !taken.forbids(&self.spec)
            && plugins.contains(&self.spec.sha256)
    }

    /// From when on this engine may try to claim the job; `None` while it may not at all.
    pub(super) fn claimable_from(
        &self,
        config: &Config,
        plugins: &HashSet<String>,
        taken: &Taken,
    ) -> Option<Duration> {
        let Phase::Waiting { not_before } = self.phase else { return None };
        let free = match &self.run {
            None => true,
            Some((_, run @ Run::Open { last, .. })) => {
                last.attempt < ATTEMPTS_MAX && !config.is_of_later_home(run)
            }
            Some(_) => false,
        };
        (free && self.is_fit(config, plugins, taken)).then(|| not_before.max(self.from))
    }
}
