//! The keeper ends what no engine can: jobs that nobody took in time, that were cancelled before anybody
//! began, or whose engine is gone. A role of the gateway; pure, like the contest.
//!
//! Several keepers may watch the same jobs: each step is a compare-and-set, and the first one wins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use blitz_contract::Retry;
use blitz_couchdb::Revision;

use crate::early::Early;
use crate::engine::Beat;
use crate::id::{Incarnation, JobId};
use crate::run::{Run, Step};
use crate::spec::Spec;
use crate::timing::Timing;

/// A step that the keeper wants written.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The job.
    pub job: JobId,
    /// The revision that it replaces, if there is one.
    pub over: Option<Revision>,
    /// The new state.
    pub run: Run,
}

/// What the keeper knows of the jobs that have not ended.
#[derive(Debug)]
pub struct Keeper {
    timing: Timing,
    jobs: BTreeMap<JobId, Watched>,
    cancels_early: Early<()>,
    runs_early: Early<(Revision, Run)>,
    /// When a poll of a region's beats was last answered.
    polled: BTreeMap<String, Duration>,
    poll_due: Duration,
}

#[derive(Debug)]
struct Watched {
    retry: Retry,
    queue_timeout: Duration,
    cancelled: bool,
    run: Option<(Revision, Run)>,
    /// Since when it is queued, or since when its engine has not been seen alive.
    since: Duration,
    /// The last counter of the engine that has it.
    counter: Option<u64>,
    /// A step was asked for at this instant and is not seen yet.
    asked: Option<Duration>,
}

impl Keeper {
    /// A keeper that knows of no job.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            jobs: BTreeMap::new(),
            cancels_early: Early::default(),
            runs_early: Early::default(),
            polled: BTreeMap::new(),
            poll_due: Duration::ZERO,
        }
    }

    /// A job is asked for.
    pub fn hear_spec(&mut self, now: Duration, spec: &Spec) {
        let cancelled = self.cancels_early.take(&spec.job).is_some();
        let run = self.runs_early.take(&spec.job);
        if run.as_ref().is_some_and(|(_, run)| run.is_final()) {
            return;
        }
        self.jobs.entry(spec.job.clone()).or_insert_with(|| Watched {
            retry: spec.retry,
            queue_timeout: spec.queue_timeout().min(spec.timeout()),
            cancelled,
            run,
            since: now,
            counter: None,
            asked: None,
        });
    }

    /// The run of a job has this state.
    pub fn hear_run(&mut self, now: Duration, job: &JobId, revision: Revision, run: Run) {
        let Some(watched) = self.jobs.get_mut(job) else {
            self.runs_early.put(job.clone(), (revision, run));
            return;
        };
        if run.is_final() {
            self.jobs.remove(job);
        } else if watched.run.as_ref().is_none_or(|(known, _)| *known != revision) {
            watched.since = now;
            watched.counter = None;
            watched.asked = None;
            watched.run = Some((revision, run));
        }
    }

    /// Somebody cancelled a job.
    pub fn hear_cancel(&mut self, job: &JobId) {
        match self.jobs.get_mut(job) {
            Some(watched) => watched.cancelled = true,
            None => self.cancels_early.put(job.clone(), ()),
        }
    }

    /// The regions and engines whose beats are to be polled now, if it is time.
    pub fn poll(&mut self, now: Duration) -> BTreeMap<String, BTreeSet<String>> {
        let mut engines: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        if now < self.poll_due {
            return engines;
        }
        self.poll_due = now + self.timing.beat;
        for (job, watched) in &self.jobs {
            if let Some((_, Run::Claimed { claim })) = &watched.run {
                engines.entry(job.region().to_owned()).or_default().insert(claim.engine.clone());
            }
        }
        engines
    }

    /// The store answered a poll with these beats; engines without one are silent.
    pub fn hear_beats(&mut self, now: Duration, region: &str, beats: &[Beat]) {
        // Only time over answered polls counts: who was blind knows nothing of others.
        let last = self.polled.insert(region.to_owned(), now);
        let was_blind = last.is_none_or(|at| now.saturating_sub(at) > self.timing.beat * 3);
        for (job, watched) in &mut self.jobs {
            let Some((_, Run::Claimed { claim })) = &watched.run else { continue };
            if job.region() != region {
                continue;
            }
            let counter = beats
                .iter()
                .find(|b| b.incarnation == claim.incarnation && b.holds(job, claim.attempt))
                .map(|b| b.counter);
            if was_blind || (counter.is_some() && counter != watched.counter) {
                watched.since = now;
            }
            watched.counter = counter.or(watched.counter);
        }
    }

    /// The steps that are due. One that is not seen to be taken is asked for again after a beat.
    pub fn tick(&mut self, now: Duration) -> Vec<Write> {
        let timing = self.timing;
        let polled = &self.polled;
        self.jobs
            .iter_mut()
            .filter_map(|(job, watched)| {
                if watched.asked.is_some_and(|at| now.saturating_sub(at) < timing.beat) {
                    return None;
                }
                let step =
                    watched.step(now, &timing, job.region(), polled.get(job.region()).copied())?;
                let run = Run::after(watched.run.as_ref().map(|(_, run)| run), step).ok()?;
                watched.asked = Some(now);
                let over = watched.run.as_ref().map(|(revision, _)| revision.clone());
                Some(Write { job: job.clone(), over, run })
            })
            .collect()
    }

    /// When something may be due next, if nothing is heard until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.jobs
            .values()
            .map(|watched| match (&watched.run, watched.asked) {
                (_, Some(asked)) => asked + self.timing.beat,
                (Some((_, Run::Claimed { .. })), None) => self.poll_due,
                (_, None) if watched.cancelled => Duration::ZERO,
                (_, None) => watched.since + watched.queue_timeout,
            })
            .min()
    }
}

impl Watched {
    fn step(
        &self,
        now: Duration,
        timing: &Timing,
        region: &str,
        polled: Option<Duration>,
    ) -> Option<Step> {
        let silent = now.saturating_sub(self.since);
        match &self.run {
            Some((_, Run::Claimed { claim })) => {
                // The poll that saw the silence must itself be fresh.
                let sees = polled.is_some_and(|at| now.saturating_sub(at) <= timing.beat * 2);
                (sees && silent >= timing.dead).then(|| Step::Dead {
                    incarnation: claim.incarnation.clone(),
                    may_retry: self.retry == Retry::Safe && !self.cancelled,
                    reason: lost(&claim.engine, &claim.incarnation, timing.dead),
                })
            }
            _ if self.cancelled => Some(Step::CancelWaiting),
            _ if silent >= self.queue_timeout => {
                let waited = self.queue_timeout.as_secs_f64();
                Some(Step::Expire {
                    reason: format!("no engine of region {region} took the job within {waited} s"),
                })
            }
            _ => None,
        }
    }
}

fn lost(engine: &str, incarnation: &Incarnation, dead: Duration) -> String {
    let start = &incarnation.as_str()[..8];
    format!("engine {engine} (start {start}) gave no sign of life for {} s", dead.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{BeatKind, Held};
    use crate::run::Claim;

    const S: Duration = Duration::from_secs(1);

    fn claim() -> Claim {
        let incarnation = Incarnation::from_random([1; 16]);
        Claim { epoch: 1, attempt: 1, engine: "e1".to_owned(), incarnation }
    }

    fn beat(job: &JobId, counter: u64) -> Beat {
        Beat {
            kind: BeatKind::Beat,
            blitz: crate::BUILD.to_owned(),
            engine: "e1".to_owned(),
            incarnation: claim().incarnation,
            counter,
            held: vec![Held { job: job.clone(), attempt: 1 }],
        }
    }

    fn states(writes: &[Write]) -> Vec<&'static str> {
        writes.iter().map(|w| w.run.state()).collect()
    }

    /// A keeper that watches a claimed job since second 0.
    fn watching(job: &JobId, retry: Retry) -> Keeper {
        let mut keeper = Keeper::new(Timing::default());
        keeper.hear_spec(Duration::ZERO, &Spec::sample(job, retry));
        let run = Run::Claimed { claim: claim() };
        keeper.hear_run(Duration::ZERO, job, "1-a".parse().unwrap(), run);
        keeper.hear_beats(Duration::ZERO, "japan", &[]);
        keeper
    }

    #[test]
    fn a_job_that_nobody_takes_expires_once() {
        let job = JobId::new("japan", 1);
        let mut keeper = Keeper::new(Timing::default());
        keeper.hear_spec(S, &Spec::sample(&job, Retry::Safe));
        assert!(keeper.tick(10 * S).is_empty());
        assert_eq!(keeper.due(), Some(11 * S));
        assert_eq!(states(&keeper.tick(11 * S)), ["expired"]);
        assert!(keeper.tick(12 * S).is_empty(), "it was asked for");
        assert_eq!(keeper.due(), Some(16 * S));
        assert_eq!(states(&keeper.tick(16 * S)), ["expired"], "the store did not take it");
    }

    #[test]
    fn a_cancel_before_the_claim_ends_the_job_whichever_comes_first() {
        for cancel_first in [true, false] {
            let job = JobId::new("japan", 1);
            let mut keeper = Keeper::new(Timing::default());
            if cancel_first {
                keeper.hear_cancel(&job);
            }
            keeper.hear_spec(S, &Spec::sample(&job, Retry::Never));
            if !cancel_first {
                keeper.hear_cancel(&job);
            }
            assert_eq!(states(&keeper.tick(S)), ["cancelled"]);
        }
    }

    #[test]
    fn an_engine_without_a_beat_loses_its_job_and_one_with_a_beat_keeps_it() {
        for (retry, state) in [(Retry::Safe, "open"), (Retry::Never, "lost")] {
            let job = JobId::new("japan", 1);
            let mut keeper = watching(&job, retry);
            let mut second = 0;
            for counter in 1..=4 {
                second += 5;
                keeper.hear_beats(second * S, "japan", &[beat(&job, counter)]);
                assert!(keeper.tick(second * S).is_empty());
            }
            while second < 40 {
                second += 5;
                keeper.hear_beats(second * S, "japan", &[beat(&job, 4)]);
                assert!(keeper.tick(second * S).is_empty(), "at {second} s");
            }
            keeper.hear_beats(45 * S, "japan", &[beat(&job, 4)]);
            let writes = keeper.tick(45 * S);
            assert_eq!(states(&writes), [state]);
            assert_eq!(writes[0].over.as_ref().map(ToString::to_string).as_deref(), Some("1-a"));
        }
    }

    #[test]
    fn a_run_that_comes_before_its_spec_counts() {
        let job = JobId::new("japan", 1);
        let mut keeper = Keeper::new(Timing::default());
        let run = Run::Claimed { claim: claim() };
        keeper.hear_run(Duration::ZERO, &job, "1-a".parse().unwrap(), run);
        keeper.hear_spec(Duration::ZERO, &Spec::sample(&job, Retry::Never));
        assert_eq!(keeper.poll(S).len(), 1, "its engine is watched");
        for second in (0..=25).step_by(5) {
            keeper.hear_beats(second * S, "japan", &[]);
        }
        assert_eq!(states(&keeper.tick(25 * S)), ["lost"]);

        let ended = JobId::new("japan", 1);
        let run = Run::Expired { reason: "late".to_owned() };
        keeper.hear_run(S, &ended, "1-a".parse().unwrap(), run);
        keeper.hear_spec(S, &Spec::sample(&ended, Retry::Never));
        assert!(keeper.tick(60 * S).iter().all(|write| write.job != ended));
    }

    #[test]
    fn a_keeper_that_was_blind_starts_counting_anew() {
        let job = JobId::new("japan", 1);
        let mut keeper = watching(&job, Retry::Safe);
        assert!(keeper.tick(60 * S).is_empty(), "no poll was answered");
        keeper.hear_beats(60 * S, "japan", &[]);
        assert!(keeper.tick(60 * S).is_empty());
    }
}
