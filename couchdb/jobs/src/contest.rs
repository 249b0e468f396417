//! One engine's side of the contest for jobs, as a pure state machine: what it hears goes in, what it should
//! do comes out. The engine performs the actions and reports back; a simulation can do the same.
//!
//! Instants are durations since any fixed moment of this machine's own clock.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use blitz_couchdb::Revision;

use crate::early::Early;
use crate::engine::Held;
use crate::id::{Incarnation, JobId};
use crate::run::{ATTEMPTS_MAX, Run, Step};
use crate::spec::Spec;
use crate::timing::Timing;

/// Jobs that an engine knows at once. Above it new ones are not taken in: other engines, or the engine
/// itself after its next start, find them in the listing of open jobs.
pub const JOBS_KNOWN_MAX: usize = 100_000;

/// Runs of several engines that an engine remembers to have taken part in: they last minutes.
pub const RUNS_TAKEN_MAX: usize = 10_000;

/// What the engine should do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write this run over the revision, and report with [`Contest::claim_answered`].
    Claim {
        /// The job.
        job: JobId,
        /// The revision of the run that it replaces, if there is one.
        over: Option<Revision>,
        /// The body: a claim of this engine.
        run: Run,
    },
    /// The claim is won: run the job.
    Start {
        /// What to run.
        spec: Box<Spec>,
        /// The claim, to be finished.
        run: Run,
        /// Its revision.
        revision: Revision,
        /// What is left of the job's time.
        time_left: Duration,
    },
    /// Stop the plugin.
    Stop {
        /// The job.
        job: JobId,
        /// Why.
        why: Why,
    },
    /// Write a beat with this counter for these jobs, and report with [`Contest::beat_acknowledged`].
    Beat {
        /// Rises with each beat.
        counter: u64,
        /// What is held.
        held: Vec<Held>,
    },
}

/// Why a job must stop here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody cancelled it: finish it as cancelled.
    Cancelled,
    /// It is not ours any more: write nothing more.
    LostClaim,
}

/// How a claim was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimAnswer {
    /// It is ours, under this revision.
    Won(Revision),
    /// Another has it.
    Lost,
    /// It was not decided: the contest tries again, and a claim of ours that was stored is then found.
    Unknown,
}

/// The contest as one engine sees it.
#[derive(Debug)]
pub struct Contest {
    engine: String,
    incarnation: Incarnation,
    epoch: u32,
    slots: usize,
    timing: Timing,
    jobs: BTreeMap<JobId, Known>,
    /// The jobs that are claimed or being claimed by this engine.
    busy: BTreeSet<JobId>,
    /// The jobs that may be claimed, by the instant from which on.
    queue: BTreeSet<(Duration, JobId)>,
    /// When the time of each job is over, waiting or not.
    deadlines: BTreeSet<(Duration, JobId)>,
    /// Cancels and runs that came before their spec.
    cancels_early: Early<()>,
    runs_early: Early<(Revision, Run)>,
    /// Digests of the plugins that this engine can run.
    plugins: HashSet<String>,
    /// Runs of which this engine has taken a task, newest last (their ids begin with the time).
    runs_taken: BTreeSet<String>,
    draining: bool,
    counter: u64,
    beat_due: Duration,
}

#[derive(Debug)]
struct Known {
    spec: Box<Spec>,
    heard: Duration,
    cancelled: bool,
    /// The newest run that was heard of or written, with its revision.
    run: Option<(Revision, Run)>,
    phase: Phase,
    /// Its place in the queue.
    queued: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Waits for a slot, for the plugin, or for its run to be open again; not before the instant.
    Waiting { not_before: Duration },
    /// Our claim is on its way.
    Claiming { run: Run, sent: Duration },
    /// We run it. The lease counts from the sending of the last beat that was acknowledged.
    Held { attempt: u32, lease_from: Duration, stopping: Option<Why> },
}

impl Contest {
    /// An engine that knows of no job yet. `slots` is how many jobs it runs at once.
    #[must_use]
    pub fn new(
        engine: String,
        incarnation: Incarnation,
        epoch: u32,
        slots: usize,
        timing: Timing,
    ) -> Self {
        Self {
            engine,
            incarnation,
            epoch,
            slots,
            timing,
            jobs: BTreeMap::new(),
            busy: BTreeSet::new(),
            queue: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            cancels_early: Early::default(),
            runs_early: Early::default(),
            plugins: HashSet::new(),
            runs_taken: BTreeSet::new(),
            draining: false,
            counter: 0,
            beat_due: Duration::ZERO,
        }
    }

    /// A job is asked for.
    pub fn hear_spec(&mut self, now: Duration, spec: Spec) {
        let job = spec.job.clone();
        if self.jobs.contains_key(&job) || self.jobs.len() >= JOBS_KNOWN_MAX {
            return;
        }
        let cancelled = self.cancels_early.take(&job).is_some();
        let run = self.runs_early.take(&job);
        if run.as_ref().is_some_and(|(_, run)| run.is_final()) {
            return;
        }
        self.deadlines.insert((now + spec.timeout(), job.clone()));
        let phase = Phase::Waiting { not_before: now };
        let spec = Box::new(spec);
        self.jobs
            .insert(job.clone(), Known { spec, heard: now, cancelled, run, phase, queued: None });
        self.requeue(&job);
    }

    /// The run of a job has this state. `revision` is the store's winner. Hearing it again changes nothing.
    pub fn hear_run(&mut self, job: &JobId, revision: Revision, run: Run) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else {
            self.runs_early.put(job.clone(), (revision, run));
            return Vec::new();
        };
        if known.run.as_ref().is_some_and(|(known, _)| *known == revision) {
            return Vec::new();
        }
        let is_ours = run.claim().is_some_and(|claim| claim.incarnation == self.incarnation);
        match &mut known.phase {
            // Our own claim, or our own end before its write was answered.
            Phase::Held { .. }
                if is_ours && (matches!(run, Run::Claimed { .. }) || run.end().is_some()) => {}
            Phase::Held { stopping, .. } => {
                // Another's claim, or a state that the keeper wrote: this engine is fenced.
                known.run = Some((revision, run));
                if stopping.replace(Why::LostClaim) != Some(Why::LostClaim) {
                    return vec![Action::Stop { job: job.clone(), why: Why::LostClaim }];
                }
            }
            // Our claim whose answer is late or was lost: the next try finds it stored, and wins.
            Phase::Waiting { .. } | Phase::Claiming { .. }
                if is_ours && matches!(run, Run::Claimed { .. }) => {}
            Phase::Waiting { .. } if run.is_final() => self.forget(job),
            Phase::Waiting { .. } | Phase::Claiming { .. } => {
                known.run = Some((revision, run));
                self.requeue(job);
            }
        }
        Vec::new()
    }

    /// Somebody cancelled a job.
    pub fn hear_cancel(&mut self, job: &JobId) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else {
            self.cancels_early.put(job.clone(), ());
            return Vec::new();
        };
        known.cancelled = true;
        if let Phase::Held { stopping: stopping @ None, .. } = &mut known.phase {
            *stopping = Some(Why::Cancelled);
            return vec![Action::Stop { job: job.clone(), why: Why::Cancelled }];
        }
        self.requeue(job);
        Vec::new()
    }

    /// This engine can run the plugin with this digest from now on.
    pub fn add_plugin(&mut self, sha256: &str) {
        self.plugins.insert(sha256.to_owned());
        let jobs: Vec<JobId> = self.jobs.keys().cloned().collect();
        jobs.iter().for_each(|job| self.requeue(job));
    }

    /// The engine cannot run the plugin of this digest any more: its jobs are left to others.
    pub fn remove_plugin(&mut self, sha256: &str) {
        self.plugins.remove(sha256);
        let jobs: Vec<JobId> = self.jobs.keys().cloned().collect();
        jobs.iter().for_each(|job| self.requeue(job));
    }

    /// Claims nothing any more.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// How many jobs are held or being claimed.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    /// A claim was answered.
    pub fn claim_answered(
        &mut self,
        now: Duration,
        job: &JobId,
        answer: ClaimAnswer,
    ) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        let Phase::Claiming { run, sent } = known.phase.clone() else { return Vec::new() };
        let ClaimAnswer::Won(revision) = answer else {
            // Lost: the feed brings who has it. Unknown: asking again finds out.
            known.phase = Phase::Waiting { not_before: now + self.timing.beat };
            self.give_up(job);
            return Vec::new();
        };
        let stopping = known.cancelled.then_some(Why::Cancelled);
        let attempt = run.claim().map_or(1, |claim| claim.attempt);
        known.phase = Phase::Held { attempt, lease_from: sent, stopping };
        known.run = Some((revision.clone(), run.clone()));
        let time_left = known.spec.timeout().saturating_sub(now.saturating_sub(known.heard));
        let start = Action::Start { spec: known.spec.clone(), run, revision, time_left };
        let stop = stopping.map(|why| Action::Stop { job: job.clone(), why });
        if self.held().count() == 1 {
            self.beat_due = now + self.timing.beat;
        }
        [Some(start), stop].into_iter().flatten().collect()
    }

    /// The job that this engine ran has ended, and its end is written.
    pub fn finished(&mut self, job: &JobId) {
        self.forget(job);
    }

    /// This engine has stopped running the job without an end: it was not ours any more, or was given back.
    /// When it is open again, this engine may be the only one that can take it.
    pub fn stopped(&mut self, now: Duration, job: &JobId) {
        let Some(known) = self.jobs.get_mut(job) else { return };
        if now.saturating_sub(known.heard) >= known.spec.timeout() {
            return self.forget(job);
        }
        // What is known of its run is our own claim until somebody opens it: it cannot be claimed before.
        known.phase = Phase::Waiting { not_before: now };
        self.give_up(job);
    }

    /// The job is not ours, or not any more: forgotten when it has ended, else it waits.
    fn give_up(&mut self, job: &JobId) {
        self.busy.remove(job);
        let Some(known) = self.jobs.get(job) else { return };
        self.runs_taken.remove(&known.spec.run);
        if known.run.as_ref().is_some_and(|(_, run)| run.is_final()) {
            self.forget(job);
        } else {
            self.requeue_run(job);
        }
    }

    fn forget(&mut self, job: &JobId) {
        self.busy.remove(job);
        if let Some(known) = self.jobs.remove(job) {
            if let Some(at) = known.queued {
                self.queue.remove(&(at, job.clone()));
            }
            self.deadlines.remove(&(known.heard + known.spec.timeout(), job.clone()));
        }
    }

    /// Gives the job its place in the queue, or takes it out.
    fn requeue(&mut self, job: &JobId) {
        let Some(known) = self.jobs.get_mut(job) else { return };
        let from = known.claimable_from(&self.plugins, &self.runs_taken);
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
    fn requeue_run(&mut self, job: &JobId) {
        let Some(known) = self.jobs.get(job) else { return };
        for task in known.spec.tasks.clone() {
            self.requeue(&task);
        }
    }

    /// The beat that was sent at `sent` is stored.
    pub fn beat_acknowledged(&mut self, sent: Duration) {
        for job in &self.busy {
            if let Some(Known { phase: Phase::Held { lease_from, .. }, .. }) =
                self.jobs.get_mut(job)
            {
                *lease_from = (*lease_from).max(sent);
            }
        }
    }

    fn held(&self) -> impl Iterator<Item = Held> {
        self.busy.iter().filter_map(|job| match self.jobs.get(job)?.phase {
            Phase::Held { attempt, .. } => Some(Held { job: job.clone(), attempt }),
            _ => None,
        })
    }

    /// What is to be done now.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        self.stop_without_lease(now, &mut actions);
        self.drop_late(now);
        while let Some((job, over, run)) = self.next_claim(now) {
            actions.push(Action::Claim { job, over, run });
        }
        let held: Vec<Held> = self.held().collect();
        if !held.is_empty() && now >= self.beat_due {
            self.counter += 1;
            self.beat_due = now + self.timing.beat;
            actions.push(Action::Beat { counter: self.counter, held });
        }
        actions
    }

    /// Stops what others may take soon: this engine's beats were not acknowledged for too long.
    fn stop_without_lease(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for job in &self.busy {
            let Some(known) = self.jobs.get_mut(job) else { continue };
            if let Phase::Held { lease_from, stopping, .. } = &mut known.phase
                && *stopping != Some(Why::LostClaim)
                && now.saturating_sub(*lease_from) >= self.timing.stop
            {
                *stopping = Some(Why::LostClaim);
                actions.push(Action::Stop { job: job.clone(), why: Why::LostClaim });
            }
        }
    }

    /// Forgets jobs whose time was over while they waited: the keeper ends them.
    fn drop_late(&mut self, now: Duration) {
        while let Some((at, job)) = self.deadlines.first().cloned()
            && at <= now
        {
            self.deadlines.pop_first();
            if !self.busy.contains(&job) {
                self.forget(&job);
            }
        }
    }

    fn next_claim(&mut self, now: Duration) -> Option<(JobId, Option<Revision>, Run)> {
        if self.draining || self.busy.len() >= self.slots {
            return None;
        }
        let (_, job) = self.queue.first().filter(|(from, _)| *from <= now)?.clone();
        let known = self.jobs.get_mut(&job)?;
        let step = Step::Claim {
            epoch: self.epoch,
            engine: self.engine.clone(),
            incarnation: self.incarnation.clone(),
        };
        let run = Run::after(known.run.as_ref().map(|(_, run)| run), step).ok()?;
        let over = known.run.as_ref().map(|(revision, _)| revision.clone());
        known.phase = Phase::Claiming { run: run.clone(), sent: now };
        let tasks = known.spec.tasks.iter().filter(|task| task.region() == job.region());
        if tasks.count() > 1 {
            self.runs_taken.insert(known.spec.run.clone());
            if self.runs_taken.len() > RUNS_TAKEN_MAX {
                self.runs_taken.pop_first();
            }
        }
        self.busy.insert(job.clone());
        self.requeue(&job);
        self.requeue_run(&job);
        Some((job, over, run))
    }

    /// When [`Self::tick`] has something to do next, if nothing is heard until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let may_claim = !self.draining && self.busy.len() < self.slots;
        let claim = self.queue.first().filter(|_| may_claim).map(|(from, _)| *from);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let lease = self.busy.iter().filter_map(|job| match self.jobs.get(job)?.phase {
            Phase::Held { stopping: Some(Why::LostClaim), .. } => Some(self.beat_due),
            Phase::Held { lease_from, .. } => {
                Some((lease_from + self.timing.stop).min(self.beat_due))
            }
            _ => None,
        });
        lease.chain(claim).chain(deadline).min()
    }
}

impl Known {
    /// From when on this engine may try to claim the job; `None` while it may not at all.
    fn claimable_from(
        &self,
        plugins: &HashSet<String>,
        runs_taken: &BTreeSet<String>,
    ) -> Option<Duration> {
        let Phase::Waiting { not_before } = self.phase else { return None };
        // Tasks of one run in one region go to distinct engines.
        if runs_taken.contains(&self.spec.run) {
            return None;
        }
        let free = match &self.run {
            None => true,
            Some((_, Run::Open { last, .. })) => last.attempt < ATTEMPTS_MAX,
            Some(_) => false,
        };
        (free && !self.cancelled && plugins.contains(&self.spec.sha256)).then_some(not_before)
    }
}

#[cfg(test)]
mod tests;
