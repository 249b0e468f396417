//! How what this engine asked for was answered.

use std::time::Duration;

use blitz_contract::Retry;
use blitz_couchdb::Revision;

use super::phase::{Closing, Hold, Phase, WRITE_AGAIN, WRITE_AGAIN_MAX};
use super::{Action, Contest, Why};
use crate::guards::Guard;
use crate::id::JobId;
use crate::run::{End, Run, Step};
use crate::start::Start;
use crate::writing::Answer;

impl Contest {
    /// A write was answered.
    pub fn write_answered(&mut self, now: Duration, job: &JobId, answer: Answer) -> Vec<Action> {
        self.writes.remove(job);
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        let later = now + self.config.timing.beat;
        match (known.phase.clone(), answer) {
            (Phase::Claiming { run, over, sent, heard: None }, Answer::Won(revision))
                if !known.is_unreadable =>
            {
                // The lease counts from the first try: that may be the one which is stored.
                let tried = known.tried.take().filter(|(tried, _)| *tried == run);
                let lease_from = tried.map_or(sent, |(_, sent)| sent);
                known.replaced = over;
                known.doubted = None;
                return self.won(now, job, revision, run, lease_from);
            }
            // It won, and the feed says that another did: what is stored now tells.
            (Phase::Claiming { run, heard, .. }, Answer::Won(_)) => {
                known.is_unreadable = false;
                known.doubted = heard.or(known.doubted.take());
                return vec![self.claim(now, job, run)];
            }
            // Lost: the feed brings who has it, or has brought it. Unknown: asking again finds out.
            (Phase::Claiming { heard, .. }, answer) => {
                known.has_yielded = answer == Answer::Lost;
                known.run = heard.or(known.doubted.take()).or(known.run.take());
                self.give_up(now, job, later);
                if let Some(known) = self.jobs.get(job)
                    && known.run.as_ref().is_some_and(|(_, run)| !matches!(run, Run::Open { .. }))
                {
                    self.look_at(now, job);
                }
                // A dead engine's job that could not be taken now.
                if let Some(known) = self.jobs.get_mut(job) {
                    known.judge_from = later;
                }
            }
            // The feed was faster than the answer, or brought what the answer did not.
            (Phase::Closing { run, .. }, _)
                if known.run.as_ref().is_some_and(|(_, heard)| *heard == run) =>
            {
                self.let_go(now, job);
            }
            (Phase::Closing { run, .. }, Answer::Won(revision)) if run.is_final() => {
                known.run = Some((revision, run));
                self.forget(job);
            }
            (Phase::Closing { run, .. }, Answer::Won(revision)) => {
                known.run = Some((revision, run));
                self.let_go(now, job);
            }
            (Phase::Closing { .. }, Answer::Lost) => self.give_up(now, job, now),
            (Phase::Closing { hold, run, write: Closing::Sent { next_wait } }, Answer::Unknown) => {
                let write = Closing::Due {
                    at: now + next_wait,
                    next_wait: (next_wait * 2).min(WRITE_AGAIN_MAX),
                };
                known.phase = Phase::Closing { hold, run, write };
            }
            (Phase::Judging { run }, Answer::Won(revision)) => {
                known.run = Some((revision, run));
                self.look_at(now, job);
            }
            (Phase::Judging { .. }, _) => {
                known.phase = Phase::Waiting { not_before: now };
                known.judge_from = later;
                self.requeue(job);
            }
            // It was fenced meanwhile.
            _ => self.requeue(job),
        }
        Vec::new()
    }

    fn won(
        &mut self,
        now: Duration,
        job: &JobId,
        revision: Revision,
        run: Run,
        lease_from: Duration,
    ) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        let Run::Claimed { claim } = &run else { return Vec::new() };
        let hold =
            Hold { claim: claim.clone(), revision: revision.clone(), lease_from, named_from: None };
        known.run = Some((revision.clone(), run.clone()));
        known.is_unreadable = false;
        self.watch.forget(job);
        if self.busy.iter().filter(|other| self.is_beating(other)).count() == 0 {
            self.beat_due = lease_from + self.config.timing.beat;
        }
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        if known.spec.retry == Retry::Never && self.config.guards.has(Guard::StartFence) {
            // Also when it is given back at once: who has the fence knows that nobody else will begin.
            let start = Start::new(job.clone(), &hold.claim);
            known.phase = Phase::Fencing { hold, fenced: false };
            return vec![Action::Fence { job: job.clone(), start, claim: revision }];
        }
        self.start(now, job, hold)
    }

    fn is_beating(&self, job: &JobId) -> bool {
        self.known(job).is_some_and(|known| known.phase.beating().is_some())
    }

    /// A start fence was answered: whether the job may begin.
    pub fn fence_answered(&mut self, now: Duration, job: &JobId, goes: bool) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        let Phase::Fencing { hold, fenced } = known.phase.clone() else { return Vec::new() };
        if fenced || known.void {
            self.let_go(now, job);
            return Vec::new();
        }
        if !goes {
            // Another may have passed it, now or later.
            let why = "no majority of the store's copies let it begin";
            return self.return_job(now, job, hold, true, why);
        }
        self.start(now, job, hold)
    }

    /// Starts a job that may begin, unless it is to be given back at once.
    fn start(&mut self, now: Duration, job: &JobId, hold: Hold) -> Vec<Action> {
        if let Some(why) = self.going(job) {
            return self.return_job(now, job, hold, false, why);
        }
        if hold.is_over(now, &self.config) {
            let why = "its engine could not be sure of it in time";
            return self.return_job(now, job, hold, false, why);
        }
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        let stopping = known.cancelled.then_some(Why::Cancelled);
        let start = Action::Start {
            spec: known.spec.clone(),
            claim: hold.claim.clone(),
            time_left: known.deadline().saturating_sub(now),
        };
        known.phase = Phase::Running { hold, stopping };
        let stop = stopping.map(|why| Action::Stop { job: job.clone(), why });
        [Some(start), stop].into_iter().flatten().collect()
    }

    /// The job that was started has stopped: with an end when the plugin came to one and all its output is
    /// stored, without one when it was stopped before, or could not be run to an end.
    pub fn job_ended(&mut self, now: Duration, job: &JobId, end: Option<End>) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        let Phase::Running { hold, stopping } = known.phase.clone() else { return Vec::new() };
        if known.void || stopping == Some(Why::LostClaim) {
            self.let_go(now, job);
            return Vec::new();
        }
        // Looked at here too: a machine that slept wakes up with results of a job that is another's by now.
        if stopping == Some(Why::LostLease) || hold.is_over(now, &self.config) {
            self.owes_beat = Some(now);
            let why = "its engine lost touch with the store and stopped it";
            return self.return_job(now, job, hold, true, why);
        }
        let Some(end) = end else {
            let why = self.going(job).unwrap_or("its engine failed to run it");
            return self.return_job(now, job, hold, true, why);
        };
        let step = Step::Finish { incarnation: self.config.incarnation.clone(), end };
        self.close(now, job, hold, step)
    }

    /// Why the job is not begun here, or not gone on with, if that is so.
    fn going(&self, job: &JobId) -> Option<&'static str> {
        let may_retry = self.known(job).is_some_and(super::phase::Known::may_retry);
        match (self.gives_back, self.leaves_home && may_retry) {
            (true, _) => Some("its engine goes"),
            (false, true) => Some("its region has moved to another home"),
            (false, false) => None,
        }
    }

    fn return_job(
        &mut self,
        now: Duration,
        job: &JobId,
        hold: Hold,
        begun: bool,
        reason: &str,
    ) -> Vec<Action> {
        let may_retry = self.known(job).is_some_and(super::phase::Known::may_retry);
        let step = Step::Release {
            incarnation: self.config.incarnation.clone(),
            may_retry,
            begun,
            reason: format!("engine {}: {reason}", self.config.engine),
        };
        self.close(now, job, hold, step)
    }

    fn close(&mut self, now: Duration, job: &JobId, hold: Hold, step: Step) -> Vec<Action> {
        let held = Run::Claimed { claim: hold.claim.clone() };
        let Ok(run) = Run::after(Some(&held), step) else {
            // A hold is a claim of ours, from which both steps are possible.
            self.give_up(now, job, now);
            return Vec::new();
        };
        if let Some(known) = self.jobs.get_mut(job) {
            let write = Closing::Due { at: now, next_wait: WRITE_AGAIN };
            known.phase = Phase::Closing { hold, run, write };
        }
        self.closings(now)
    }

    /// The last writes that are due.
    pub(super) fn closings(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        for job in &self.busy {
            let Some(known) = self.jobs.get_mut(job) else { continue };
            if let Phase::Closing { hold, run, write } = &mut known.phase
                && let Closing::Due { at, next_wait } = *write
                && at <= now
            {
                *write = Closing::Sent { next_wait };
                self.writes.insert(job.clone());
                let over = Some(hold.revision.clone());
                actions.push(Action::Write { job: job.clone(), over, run: run.clone() });
            }
        }
        actions
    }

    /// The beat that was sent at `sent` is stored by a majority.
    pub fn beat_acknowledged(&mut self, now: Duration, sent: Duration) {
        let from = if self.config.guards.has(Guard::LeaseFromSending) { sent } else { now };
        for job in &self.busy {
            if let Some(known) = self.jobs.get_mut(job)
                && let Some(hold) = known.phase.hold_mut()
                && hold.named_from.is_some_and(|first| first <= sent)
            {
                hold.lease_from = hold.lease_from.max(from);
            }
        }
        if self.owes_beat.is_some_and(|since| since <= sent) {
            self.owes_beat = None;
        }
    }
}
