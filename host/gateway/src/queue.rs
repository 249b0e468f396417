//! How many jobs wait for an engine in each region, as the feeds tell: above a limit no more are taken in.
//!
//! What several gateways take in at the same moment is known to each a moment later: the limit holds about, which is
//! enough to keep a region from drowning.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blitz_jobs::feed::Heard;
use blitz_jobs::recent::Recent;
use blitz_jobs::{JobId, Run};

/// Jobs that may wait in one region: minutes of work for a hundred engines, and a fraction of what engines and
/// keepers know at once ([`blitz_jobs::contest::JOBS_KNOWN_MAX`]).
pub(crate) const WAITING_MAX: usize = 10_000;

/// Jobs that are remembered not to wait any more: feeds of several shards may bring a job after its run.
const PASSED_MAX: usize = 10_000;

/// The jobs that wait, shared by all who serve requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<Jobs>>);

#[derive(Debug)]
struct Jobs {
    /// By region.
    waiting: HashMap<String, HashSet<JobId>>,
    passed: Recent,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { waiting: HashMap::new(), passed: Recent::new(PASSED_MAX) }
    }
}

/// A region that takes no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) region: String,
    pub(crate) waiting: usize,
}

impl Queue {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes these jobs in, all or none.
    pub(crate) fn enter(&self, jobs: &[JobId]) -> Result<(), Full> {
        let mut known = self.jobs();
        let mut asked: HashMap<&str, usize> = HashMap::new();
        for job in jobs {
            *asked.entry(job.region()).or_default() += 1;
        }
        for (region, count) in asked {
            let waiting = known.waiting.get(region).map_or(0, HashSet::len);
            if waiting + count > WAITING_MAX {
                return Err(Full { region: region.to_owned(), waiting });
            }
        }
        jobs.iter().for_each(|job| known.add(job));
        Ok(())
    }

    /// These were not stored, as far as is known. Of one that was, the feed will tell.
    pub(crate) fn leave(&self, jobs: &[JobId]) {
        let mut known = self.jobs();
        jobs.iter().for_each(|job| known.remove(job));
    }

    /// Hears what happens to jobs.
    pub(crate) fn hear(&self, thing: &Heard) {
        let mut known = self.jobs();
        match thing {
            Heard::Spec(spec) if !known.passed.has(&spec.job) => known.add(&spec.job),
            Heard::Run(job, _, Run::Open { .. }) => known.add(job),
            Heard::Run(job, ..) | Heard::Unreadable(job, _) => known.pass(job),
            Heard::Replaced(database) => known.forget(database),
            _ => {}
        }
    }

    /// A database is listed again, perhaps at another place: what waits there is told anew.
    pub(crate) fn begin(&self, database: &str) {
        self.jobs().forget(database);
    }
}

impl Jobs {
    fn add(&mut self, job: &JobId) {
        match self.waiting.get_mut(job.region()) {
            Some(jobs) => jobs.insert(job.clone()),
            None => self.waiting.entry(job.region().to_owned()).or_default().insert(job.clone()),
        };
    }

    fn remove(&mut self, job: &JobId) {
        if let Some(jobs) = self.waiting.get_mut(job.region()) {
            jobs.remove(job);
        }
    }

    fn forget(&mut self, database: &str) {
        let of_others = |job: &JobId| job.jobs_database() != database;
        self.waiting.values_mut().for_each(|jobs| jobs.retain(of_others));
    }

    fn pass(&mut self, job: &JobId) {
        self.remove(job);
        self.passed.put(job);
    }
}

#[cfg(test)]
mod tests {
    use blitz_jobs::{Claim, Incarnation};

    use super::*;

    #[test]
    fn a_region_takes_so_many_jobs_and_again_when_they_are_taken() {
        let queue = Queue::default();
        let jobs: Vec<JobId> = (0..WAITING_MAX).map(|_| JobId::new("japan", 1)).collect();
        queue.enter(&jobs).unwrap();
        let more = JobId::new("japan", 1);
        let full = Full { region: "japan".to_owned(), waiting: WAITING_MAX };
        assert_eq!(queue.enter(std::slice::from_ref(&more)), Err(full));
        queue.enter(&[JobId::new("virginia", 1)]).unwrap();

        let claim = Claim::first(1, "e1", Incarnation::from_random([1; 16]));
        let revision = || "1-a".parse().unwrap();
        let hear = |job: &JobId, run| queue.hear(&Heard::Run(job.clone(), revision(), run));
        hear(&jobs[0], Run::Claimed { claim: claim.clone() });
        queue.enter(std::slice::from_ref(&more)).unwrap();
        hear(&jobs[0], Run::Open { last: claim.clone(), reason: "drained".to_owned() });
        queue.leave(std::slice::from_ref(&more));
        assert!(queue.enter(std::slice::from_ref(&more)).is_err(), "the released one waits again");
        queue.hear(&Heard::Replaced(more.jobs_database()));
        queue.enter(&jobs).unwrap();
    }
}
