//! Which jobs this engine may claim, in which order, and what it has room for.

use std::time::Duration;

use blitz_couchdb::Revision;

use super::phase::{Known, Phase};
use super::{Action, Contest, taken};
use crate::id::JobId;
use crate::run::{Run, Step, Taker};

/// Of the jobs that may be claimed an engine looks at so many of the oldest, and takes them in an order of its own: engines
/// that become free at the same time do not all try the same one.
const CHOICE: usize = 16;

impl Contest {
    /// Gives the job its place in the queue, or takes it out.
    pub(super) fn requeue(&mut self, job: &JobId) {
        let Some(known) = self.jobs.get_mut(job) else { return };
        // The answer to an earlier write comes first.
        let from = known
            .claimable_from(&self.config, &self.plugins, &self.taken)
            .filter(|_| !self.writes.contains(job));
        if from == known.queued {
            return;
        }
        if let Some(at) = known.queued {
            self.queue.remove(&(at, job.clone()));
        }
        if let Some(at) = from {
            self.queue.insert((at, job.clone()));
        }
        known.queued = from;
    }

    /// The same for all tasks of the job's run: which of them may be taken depends on those that were.
    pub(super) fn requeue_run(&mut self, job: &JobId) {
        let Some(known) = self.jobs.get(job) else { return };
        if known.spec.tasks.len() < 2 {
            return self.requeue(job);
        }
        for task in known.spec.tasks.clone() {
            self.requeue(&task);
        }
    }

    /// A job that is open waits for its turn among the engines, from now on.
    pub(super) fn wait_for_turn(&mut self, now: Duration, job: &JobId) {
        let mut wait = self.herd.wait(job);
        if let Some(known) = self.jobs.get_mut(job) {
            if let Some((_, Run::Open { last, .. })) = &known.run
                && last.engine == self.config.engine
            {
                // What it could not run a moment ago others try first, and not every attempt is used up in a second.
                wait += self.config.timing.beat;
            }
            known.phase = Phase::Waiting { not_before: now.max(known.from) + wait };
        }
        self.requeue(job);
    }

    pub(super) fn taker(&self) -> Taker {
        Taker {
            epoch: self.config.epoch,
            engine: self.config.engine.clone(),
            incarnation: self.config.incarnation.clone(),
        }
    }

    /// The next job to claim, if there is one for which there is room.
    pub(super) fn next_claim(&mut self, now: Duration) -> Option<Action> {
        if self.draining || self.slots_free() == 0 {
            return None;
        }
        let job = self.choose(now)?;
        let known = self.jobs.get(&job)?;
        let step = Step::Claim(self.taker());
        let run = Run::after(known.run.as_ref().map(|(_, run)| run), step).ok()?;
        Some(self.claim(now, &job, run))
    }

    fn choose(&self, now: Duration) -> Option<JobId> {
        let free = self.slots_free();
        let weight = |job: &JobId| {
            self.jobs.get(job).map_or(u32::MAX, |known| known.weight(self.config.slots))
        };
        let (from, oldest) = self.queue.first().filter(|(from, _)| *from <= now)?;
        // Room is kept for a heavy job that has waited: a stream of light ones must not keep it out for ever.
        if weight(oldest) > free && now.saturating_sub(*from) >= self.config.timing.beat {
            return None;
        }
        let may = self.queue.iter().take(CHOICE).take_while(|(from, _)| *from <= now);
        let mut fits = may.map(|(_, job)| job).filter(|job| weight(job) <= free);
        if self.herd.engines() == 1 {
            return fits.next().cloned();
        }
        fits.min_by_key(|job| self.herd.preference(job)).cloned()
    }

    /// When a job may be claimed next, after everything was claimed that may be now.
    pub(super) fn next_claim_due(&self, now: Duration) -> Option<Duration> {
        if self.draining || self.slots_free() == 0 {
            return None;
        }
        // What is first and could be claimed already has no room; in time, room is kept for it.
        let patience = self.config.timing.beat;
        let kept = self.queue.first().map(|(from, _)| *from + patience).filter(|at| *at > now);
        let later = (now.saturating_add(Duration::from_nanos(1)), JobId::least_of(""));
        let next = self.queue.range(later..).next().map(|(from, _)| *from);
        kept.into_iter().chain(next).min()
    }

    /// Sends the claim `run` for a job that waits.
    pub(super) fn claim(&mut self, now: Duration, job: &JobId, run: Run) -> Action {
        let mut over = None;
        if let Some(known) = self.jobs.get_mut(job) {
            over = known.run.as_ref().map(|(revision, _)| revision.clone());
            known.phase =
                Phase::Claiming { run: run.clone(), over: over.clone(), sent: now, heard: None };
            known.unheard = Some(now);
            known.has_yielded = false;
            if known.tried.as_ref().is_none_or(|(tried, _)| *tried != run) {
                known.tried = Some((run.clone(), now));
            }
            self.taken.take(&known.spec);
            if self.busy.insert(job.clone()) {
                self.slots_taken += known.weight(self.config.slots);
            }
        }
        self.requeue_run(job);
        self.write(job, over, run)
    }

    /// Asks for a write: at most one at a time for a job.
    pub(super) fn write(&mut self, job: &JobId, over: Option<Revision>, run: Run) -> Action {
        self.writes.insert(job.clone());
        Action::Write { job: job.clone(), over, run }
    }

    fn leave_slot(&mut self, job: &JobId) {
        if self.busy.remove(job)
            && let Some(known) = self.jobs.get(job)
        {
            let weight = known.weight(self.config.slots);
            self.slots_taken = self.slots_taken.saturating_sub(weight);
        }
    }

    /// The job is not ours, or not any more: forgotten when there is nothing left to do, else it waits. The engine may
    /// take another task of the same run, unless it had this one to its end, or a claim of it may yet turn out to stand.
    pub(super) fn give_up(&mut self, now: Duration, job: &JobId, not_before: Duration) {
        self.leave_slot(job);
        let Some(known) = self.jobs.get_mut(job) else { return };
        let is_final = known.run.as_ref().is_some_and(|(_, run)| run.is_final());
        let may_stand = matches!(known.phase, Phase::Claiming { .. }) && !known.has_yielded;
        known.phase = Phase::Waiting { not_before };
        if is_final || known.void || now >= known.deadline() {
            self.forget(job);
        } else {
            if !may_stand {
                self.taken.leave(&known.spec);
            }
            self.requeue_run(job);
        }
    }

    pub(super) fn forget(&mut self, job: &JobId) {
        self.leave_slot(job);
        self.watch.forget(job);
        if let Some(known) = self.jobs.remove(job) {
            if let Some(at) = known.queued {
                self.queue.remove(&(at, job.clone()));
            }
            self.deadlines.remove(&(known.deadline(), job.clone()));
            let end = known.run.map(|(_, run)| run).filter(Run::is_final);
            if end.is_some() {
                self.ended.put(job);
            }
            // It has taken its part in the run, and takes no other; unless this was none.
            let had = end.is_some_and(|end| taken::is_part(&self.config.engine, &end));
            if !had && self.taken.leave(&known.spec) {
                known.spec.tasks.iter().for_each(|task| self.requeue(task));
            }
        }
    }

    /// Another task's taking may have freed or blocked this one.
    pub(super) fn requeue_all(&mut self) {
        let jobs: Vec<JobId> = self.jobs.keys().cloned().collect();
        jobs.iter().for_each(|job| self.requeue(job));
    }

    pub(super) fn known(&self, job: &JobId) -> Option<&Known> {
        self.jobs.get(job)
    }
}
