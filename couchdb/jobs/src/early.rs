//! Things heard of jobs that are not known yet: feeds of several shards bring a run or a cancel before its spec.

use std::collections::{HashMap, VecDeque};

use blitz_couchdb::Revision;

use crate::id::JobId;
use crate::run::Run;

/// Early things that are kept at once. What comes early comes by moments, so that few are open; what never
/// finds its job is of jobs that have ended.
const EARLY_MAX: usize = 10_000;

/// What was heard too early, the newest for each job; the oldest go when there are too many.
#[derive(Debug)]
pub(crate) struct Early<T> {
    /// With the number of the putting.
    things: HashMap<JobId, (u64, T)>,
    /// Every putting, the oldest first; some are taken already.
    order: VecDeque<(u64, JobId)>,
    next: u64,
}

/// What was heard of the run of a job that is not known yet.
#[derive(Debug)]
pub(crate) enum EarlyRun {
    /// The leaf that counts.
    Run(Revision, Run),
    /// It cannot be read.
    Unreadable(Revision),
}

impl<T> Default for Early<T> {
    fn default() -> Self {
        Self { things: HashMap::new(), order: VecDeque::new(), next: 0 }
    }
}

impl<T> Early<T> {
    pub(crate) fn put(&mut self, job: JobId, thing: T) {
        self.next += 1;
        self.order.push_back((self.next, job.clone()));
        self.things.insert(job, (self.next, thing));
        while self.order.len() > EARLY_MAX
            && let Some((number, oldest)) = self.order.pop_front()
        {
            // A job that was put again since then stays.
            if self.things.get(&oldest).is_some_and(|(newest, _)| *newest == number) {
                self.things.remove(&oldest);
            }
        }
    }

    pub(crate) fn take(&mut self, job: &JobId) -> Option<T> {
        let taken = self.things.remove(job).map(|(_, thing)| thing);
        if self.things.is_empty() {
            self.order.clear();
        }
        taken
    }

    /// A database was replaced by another: what was heard of its jobs is no longer so.
    pub(crate) fn hear_replaced(&mut self, database: &str) {
        self.things.retain(|job, _| job.jobs_database() != database);
        if self.things.is_empty() {
            self.order.clear();
        }
    }

    /// What it has memory for now.
    #[cfg(test)]
    pub(crate) fn puttings(&self) -> usize {
        self.order.len().max(self.things.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_leaves_nothing() {
        let mut early = Early::default();
        let jobs: Vec<JobId> = (0..100).map(|_| JobId::new("japan", 1)).collect();
        for pair in jobs.chunks(2) {
            pair.iter().for_each(|job| early.put(job.clone(), ()));
            assert!(pair.iter().all(|job| early.take(job).is_some()));
            assert_eq!(early.puttings(), 0);
        }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut early = Early::default();
        let jobs: Vec<JobId> = (0..=EARLY_MAX).map(|_| JobId::new("japan", 1)).collect();
        for (n, job) in jobs.iter().enumerate() {
            early.put(job.clone(), n);
        }
        assert_eq!(early.take(&jobs[0]), None);
        assert_eq!(early.take(&jobs[1]), Some(1));
        assert_eq!(early.take(&jobs[1]), None);
        assert_eq!(early.take(&jobs[EARLY_MAX]), Some(EARLY_MAX));
    }
}
