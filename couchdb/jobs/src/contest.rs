//! One engine's side of the contest for jobs, as a pure state machine: what it hears goes in, what it should
//! do comes out. The engine performs the actions and reports back; a simulation can do the same.
//!
//! Instants are durations since any fixed moment of this machine's own clock.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use blitz_couchdb::Revision;

use crate::engine::Held;
use crate::id::{Incarnation, JobId};
use crate::run::{ATTEMPTS_MAX, Run, Step};
use crate::spec::Spec;
use crate::timing::Timing;

/// Jobs that an engine remembers at once. Above it the newest waiting ones are forgotten; a later listing of
/// open jobs finds them again.
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
    /// It was not decided, and is not ours now: try again when the job is heard of again or [`Contest::tick`].
    Unknown,
}

#[derive(Debug)]
struct Known {
    spec: Box<Spec>,
    heard: Duration,
    cancelled: bool,
    /// The newest run that was heard of, with its revision.
    run: Option<(Revision, Run)>,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Waits for a slot, for the plugin, or for its run to be open again; not before the instant.
    Waiting { not_before: Duration },
    /// Our claim is on its way.
    Claiming { run: Run, sent: Duration },
    /// We run it.
    Held { run: Run, revision: Revision, lease_from: Duration, stopping: bool },
}

/// The contest as one engine sees it.
#[derive(Debug)]
pub struct Contest {
    engine: String,
    incarnation: Incarnation,
    epoch: u32,
    slots: usize,
    timing: Timing,
    /// By id, so that older jobs come first.
    jobs: BTreeMap<JobId, Known>,
    /// Cancels and runs that came before their spec.
    cancels_early: HashSet<JobId>,
    runs_early: BTreeMap<JobId, (Revision, Run)>,
    /// Digests of the plugins that this engine can run.
    plugins: HashSet<String>,
    /// Runs of which this engine has taken a task, newest last (their ids begin with the time).
    runs_taken: BTreeSet<String>,
    draining: bool,
    counter: u64,
    beat_due: Duration,
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
            cancels_early: HashSet::new(),
            runs_early: BTreeMap::new(),
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
        let cancelled = self.cancels_early.remove(&job);
        let run = self.runs_early.remove(&job);
        if run.as_ref().is_some_and(|(_, run)| run.is_final()) {
            return;
        }
        let phase = Phase::Waiting { not_before: now };
        let known = Known { spec: Box::new(spec), heard: now, cancelled, run, phase };
        self.jobs.insert(job, known);
    }

    /// The run of a job has this state. `revision` is the store's winner.
    pub fn hear_run(&mut self, job: &JobId, revision: Revision, run: Run) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else {
            if !run.is_final() && self.runs_early.len() < JOBS_KNOWN_MAX {
                self.runs_early.insert(job.clone(), (revision, run));
            }
            return Vec::new();
        };
        // Our own end comes back on the feed before its write is answered, as a rule.
        let is_ours = run.claim().is_some_and(|claim| claim.incarnation == self.incarnation)
            && (matches!(run, Run::Claimed { .. }) || run.end().is_some());
        match &mut known.phase {
            Phase::Held { stopping, .. } if !is_ours => {
                // Another's claim, or an end that the keeper wrote: this engine is fenced.
                let was_stopping = std::mem::replace(stopping, true);
                known.run = Some((revision, run));
                if was_stopping {
                    return Vec::new();
                }
                return vec![Action::Stop { job: job.clone(), why: Why::LostClaim }];
            }
            Phase::Held { .. } => {}
            Phase::Waiting { .. } | Phase::Claiming { .. } => {
                let ended = run.is_final();
                known.run = Some((revision, run));
                if ended && matches!(known.phase, Phase::Waiting { .. }) {
                    self.jobs.remove(job);
                }
            }
        }
        Vec::new()
    }

    /// Somebody cancelled a job.
    pub fn hear_cancel(&mut self, job: &JobId) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else {
            if self.cancels_early.len() < JOBS_KNOWN_MAX {
                self.cancels_early.insert(job.clone());
            }
            return Vec::new();
        };
        known.cancelled = true;
        match &mut known.phase {
            Phase::Held { stopping, .. } if !*stopping => {
                *stopping = true;
                vec![Action::Stop { job: job.clone(), why: Why::Cancelled }]
            }
            _ => Vec::new(),
        }
    }

    /// This engine can run the plugin with this digest from now on, or no longer.
    pub fn set_plugin(&mut self, sha256: &str, usable: bool) {
        if usable {
            self.plugins.insert(sha256.to_owned());
        } else {
            self.plugins.remove(sha256);
        }
    }

    /// Claims nothing any more.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// How many jobs are held or being claimed.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.jobs.values().filter(|k| !matches!(k.phase, Phase::Waiting { .. })).count()
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
        match answer {
            ClaimAnswer::Won(revision) => {
                let time_left = known.spec.timeout().saturating_sub(now - known.heard);
                let start = Action::Start {
                    spec: known.spec.clone(),
                    run: run.clone(),
                    revision: revision.clone(),
                    time_left,
                };
                let stopping = known.cancelled;
                known.phase = Phase::Held { run, revision, lease_from: sent, stopping };
                let mut actions = vec![start];
                if known.cancelled {
                    actions.push(Action::Stop { job: job.clone(), why: Why::Cancelled });
                }
                if self.counter == 0 || self.held().count() == 1 {
                    self.beat_due = now + self.timing.beat;
                }
                actions
            }
            ClaimAnswer::Lost => {
                self.runs_taken.remove(&known.spec.run);
                if known.run.as_ref().is_some_and(|(_, run)| run.is_final()) {
                    self.jobs.remove(job);
                } else {
                    // Our knowledge is old: the feed brings who has it.
                    known.phase = Phase::Waiting { not_before: now + self.timing.beat };
                }
                Vec::new()
            }
            ClaimAnswer::Unknown => {
                self.runs_taken.remove(&known.spec.run);
                known.phase = Phase::Waiting { not_before: now + self.timing.beat };
                Vec::new()
            }
        }
    }

    /// The job that this engine ran has ended, and its end is written.
    pub fn finished(&mut self, job: &JobId) {
        self.jobs.remove(job);
    }

    /// This engine has stopped running the job without an end: it was not ours any more, or was given back.
    /// When it is open again, this engine may be the only one that can take it.
    pub fn stopped(&mut self, now: Duration, job: &JobId) {
        let Some(known) = self.jobs.get_mut(job) else { return };
        self.runs_taken.remove(&known.spec.run);
        if known.run.as_ref().is_some_and(|(_, run)| run.is_final()) {
            self.jobs.remove(job);
            return;
        }
        if known.run.is_none()
            && let Phase::Held { run, revision, .. } = &known.phase
        {
            // Ours until somebody opens it: without this it would look as if nobody had it.
            known.run = Some((revision.clone(), run.clone()));
        }
        known.phase = Phase::Waiting { not_before: now };
    }

    /// The beat that was sent at `sent` is stored.
    pub fn beat_acknowledged(&mut self, sent: Duration) {
        for known in self.jobs.values_mut() {
            if let Phase::Held { lease_from, .. } = &mut known.phase {
                *lease_from = (*lease_from).max(sent);
            }
        }
    }

    fn held(&self) -> impl Iterator<Item = Held> {
        self.jobs.iter().filter_map(|(job, known)| match &known.phase {
            Phase::Held { run, .. } => {
                let attempt = run.claim().map_or(1, |claim| claim.attempt);
                Some(Held { job: job.clone(), attempt })
            }
            _ => None,
        })
    }

    /// What is to be done now.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        self.stop_without_lease(now, &mut actions);
        self.claim_waiting(now, &mut actions);
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
        for (job, known) in &mut self.jobs {
            if let Phase::Held { lease_from, stopping, .. } = &mut known.phase
                && !*stopping
                && now.saturating_sub(*lease_from) >= self.timing.stop
            {
                *stopping = true;
                actions.push(Action::Stop { job: job.clone(), why: Why::LostClaim });
            }
        }
    }

    fn claim_waiting(&mut self, now: Duration, actions: &mut Vec<Action>) {
        // Time over while it waited: the keeper ends it.
        self.jobs.retain(|_, known| {
            !matches!(known.phase, Phase::Waiting { .. })
                || now.saturating_sub(known.heard) < known.spec.timeout()
        });
        let mut free = self.slots.saturating_sub(self.busy());
        if self.draining {
            return;
        }
        for (job, known) in &mut self.jobs {
            if free == 0 {
                break;
            }
            let from = known.claimable_from(&self.plugins, &self.runs_taken);
            if from.is_none_or(|at| at > now) {
                continue;
            }
            let step = Step::Claim {
                epoch: self.epoch,
                engine: self.engine.clone(),
                incarnation: self.incarnation.clone(),
            };
            let Ok(run) = Run::after(known.run.as_ref().map(|(_, run)| run), step) else {
                continue;
            };
            let over = known.run.as_ref().map(|(revision, _)| revision.clone());
            known.phase = Phase::Claiming { run: run.clone(), sent: now };
            actions.push(Action::Claim { job: job.clone(), over, run });
            free -= 1;
            let in_region = known.spec.tasks.iter().filter(|task| task.region() == job.region());
            if in_region.count() > 1 {
                self.runs_taken.insert(known.spec.run.clone());
                if self.runs_taken.len() > RUNS_TAKEN_MAX {
                    self.runs_taken.pop_first();
                }
            }
        }
    }

    /// When [`Self::tick`] has something to do next, if nothing is heard until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let may_claim = !self.draining && self.busy() < self.slots;
        self.jobs
            .values()
            .filter_map(|known| match &known.phase {
                Phase::Held { lease_from, stopping: false, .. } => {
                    Some((*lease_from + self.timing.stop).min(self.beat_due))
                }
                Phase::Held { .. } => Some(self.beat_due),
                Phase::Waiting { .. } if may_claim => {
                    known.claimable_from(&self.plugins, &self.runs_taken)
                }
                _ => None,
            })
            .min()
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
mod tests {
    use super::*;
    use blitz_contract::Retry;

    const S: Duration = Duration::from_secs(1);

    fn contest(slots: usize) -> Contest {
        let incarnation = Incarnation::from_random([1; 16]);
        let mut contest = Contest::new("e1".to_owned(), incarnation, 1, slots, Timing::default());
        contest.set_plugin("abc", true);
        contest
    }

    fn revision(text: &str) -> Revision {
        text.parse().unwrap()
    }

    fn others(attempt: u32) -> Run {
        let claim = crate::run::Claim {
            epoch: 1,
            attempt,
            engine: "e2".to_owned(),
            incarnation: Incarnation::from_random([2; 16]),
        };
        Run::Claimed { claim }
    }

    /// A contest that holds `job` since second 0.
    fn holding(job: &JobId) -> Contest {
        let mut contest = contest(1);
        contest.hear_spec(Duration::ZERO, Spec::sample(job, Retry::Safe));
        assert!(matches!(contest.tick(Duration::ZERO)[..], [Action::Claim { over: None, .. }]));
        let won = ClaimAnswer::Won(revision("1-a"));
        let actions = contest.claim_answered(Duration::ZERO, job, won);
        assert!(matches!(actions[..], [Action::Start { .. }]));
        contest
    }

    #[test]
    fn a_free_engine_claims_as_many_as_it_has_slots() {
        let mut contest = contest(2);
        let jobs: Vec<JobId> = (0..3).map(|_| JobId::new("japan", 1)).collect();
        jobs.iter().for_each(|job| contest.hear_spec(S, Spec::sample(job, Retry::Safe)));
        assert_eq!(contest.tick(S).len(), 2);
        assert_eq!(contest.due(), None, "full: nothing to do until something is heard");
        let first = contest.jobs.keys().next().unwrap().clone();
        contest.claim_answered(S, &first, ClaimAnswer::Won(revision("1-a")));
        contest.finished(&first);
        assert_eq!(contest.tick(S).len(), 1);
    }

    #[test]
    fn what_others_have_or_somebody_cancelled_or_no_plugin_can_do_is_left_alone() {
        let job = JobId::new("japan", 1);
        let mut contest = contest(1);
        contest.hear_run(&job, revision("1-a"), others(1));
        contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
        assert!(contest.tick(S).is_empty());
        let Run::Claimed { claim: last } = others(1) else { unreachable!() };
        let open = Run::Open { last, reason: "drains".to_owned() };
        contest.hear_run(&job, revision("2-b"), open);
        contest.set_plugin("abc", false);
        assert!(contest.tick(S).is_empty());
        contest.set_plugin("abc", true);
        let actions = contest.tick(S);
        let [Action::Claim { over: Some(over), run, .. }] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!((over.to_string().as_str(), run.claim().unwrap().attempt), ("2-b", 2));

        let other = JobId::new("japan", 1);
        contest.hear_cancel(&other);
        contest.hear_spec(S, Spec::sample(&other, Retry::Safe));
        contest.claim_answered(S, &job, ClaimAnswer::Lost);
        assert!(contest.tick(S).is_empty());
    }

    #[test]
    fn an_engine_that_hears_of_anothers_claim_stops() {
        let job = JobId::new("japan", 1);
        let mut contest = holding(&job);
        let actions = contest.hear_run(&job, revision("1-b"), others(1));
        assert_eq!(actions, [Action::Stop { job: job.clone(), why: Why::LostClaim }]);
        assert!(contest.hear_cancel(&job).is_empty(), "it stops already");
    }

    #[test]
    fn an_engine_that_lost_a_job_takes_it_again_when_it_is_open() {
        let job = JobId::new("japan", 1);
        for open_first in [true, false] {
            let mut contest = holding(&job);
            let Run::Claimed { claim: mut last } = others(1) else { unreachable!() };
            last.incarnation = Incarnation::from_random([1; 16]);
            let open = Run::Open { last, reason: "no beat".to_owned() };
            if open_first {
                assert_eq!(contest.hear_run(&job, revision("2-b"), open.clone()).len(), 1);
            } else {
                contest.tick(20 * S);
            }
            contest.stopped(20 * S, &job);
            if !open_first {
                assert!(contest.tick(20 * S).is_empty(), "nobody has opened it yet");
                contest.hear_run(&job, revision("2-b"), open);
            }
            let actions = contest.tick(20 * S);
            assert!(matches!(&actions[..], [Action::Claim { over: Some(_), .. }]), "{actions:?}");
        }
    }

    #[test]
    fn an_engine_that_hears_of_its_own_end_goes_on_to_its_end() {
        let job = JobId::new("japan", 1);
        let mut contest = holding(&job);
        let Run::Claimed { mut claim } = others(1) else { unreachable!() };
        claim.incarnation = Incarnation::from_random([1; 16]);
        let exit = blitz_contract::Exit::Status(0);
        let digest = String::new();
        let end = crate::run::End { exit, chunks: 0, bytes: 0, digest, duration_ms: 1 };
        let done = Run::Done { claim: claim.clone(), end };
        assert!(contest.hear_run(&job, revision("2-b"), done).is_empty());
        let lost = Run::Lost { claim, reason: "no beat".to_owned() };
        assert!(!contest.hear_run(&job, revision("2-c"), lost).is_empty(), "the keeper's is not");
    }

    #[test]
    fn an_engine_whose_beats_are_not_answered_stops_before_others_may_take_over() {
        let job = JobId::new("japan", 1);
        let mut contest = holding(&job);
        assert_eq!(contest.due(), Some(5 * S));
        assert!(matches!(contest.tick(5 * S)[..], [Action::Beat { counter: 1, .. }]));
        contest.beat_acknowledged(5 * S);
        contest.tick(10 * S);
        contest.tick(15 * S);
        assert!(
            contest.tick(20 * S).contains(&Action::Stop { job, why: Why::LostClaim }),
            "15 s after the last acknowledged beat was sent"
        );
        assert!(Timing::default().stop < Timing::default().dead);
    }

    #[test]
    fn a_cancel_during_the_claim_starts_and_stops_it() {
        let job = JobId::new("japan", 1);
        let mut contest = contest(1);
        contest.hear_spec(S, Spec::sample(&job, Retry::Safe));
        contest.tick(S);
        contest.hear_cancel(&job);
        let actions = contest.claim_answered(S, &job, ClaimAnswer::Won(revision("1-a")));
        assert!(matches!(
            actions[..],
            [Action::Start { .. }, Action::Stop { why: Why::Cancelled, .. }]
        ));
    }
}
