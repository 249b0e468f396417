//! The jobs of late: the last so many of which one thing is remembered, each by no more than its ULID.
//!
//! What stays of thousands of jobs must not be thousands of small allocations: they come between others that live for
//! a moment, are freed in another order and from other threads, and the holes that they leave make the heap grow for
//! hours though nothing is kept any more. Here all is in two tables that have their size from the start.

use std::collections::{HashSet, VecDeque};

use crate::id::JobId;

/// A set of jobs that forgets the oldest.
#[derive(Debug)]
pub struct Recent {
    ulids: HashSet<u128>,
    /// Every putting, the oldest first; some are taken out already.
    order: VecDeque<u128>,
    max: usize,
}

impl Recent {
    /// Remembers so many jobs at once.
    #[must_use]
    pub fn new(max: usize) -> Self {
        // Twice: a table that is found more than half full when it is tidied is made twice as large instead.
        let ulids = HashSet::with_capacity(max.saturating_add(1).saturating_mul(2));
        Self { ulids, order: VecDeque::with_capacity(max), max }
    }

    /// Remembers a job. A job that was taken out before may be forgotten a little early.
    pub fn put(&mut self, job: &JobId) {
        if !self.ulids.insert(job.ulid()) {
            return;
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.ulids.remove(&oldest);
        }
        self.order.push_back(job.ulid());
    }

    /// Forgets a job.
    pub fn take(&mut self, job: &JobId) {
        self.ulids.remove(&job.ulid());
    }

    /// Whether the job is remembered.
    #[must_use]
    pub fn has(&self, job: &JobId) -> bool {
        self.ulids.contains(&job.ulid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as a table of 2,048 places holds: one that is made for them alone is soon made larger.
    const MAX: usize = 1_792;

    #[test]
    fn the_oldest_go_and_the_tables_keep_the_size_that_they_had_at_first() {
        let mut recent = Recent::new(MAX);
        let sizes = |recent: &Recent| (recent.ulids.capacity(), recent.order.capacity());
        let first = sizes(&recent);
        let jobs: Vec<JobId> = (0..100 * MAX).map(|_| JobId::new("japan", 1)).collect();
        for job in &jobs {
            recent.put(job);
            recent.put(job);
            if job.ulid() % 3 == 0 {
                recent.take(job);
            }
            assert!(recent.order.len() <= MAX && recent.ulids.len() <= MAX);
        }
        let last = sizes(&recent);
        assert!(last.0 <= first.0 && last.1 <= first.1, "{first:?}, then {last:?}");
        let (old, new) = jobs.split_at(jobs.len() - MAX);
        assert!(!old.iter().any(|job| recent.has(job)));
        assert!(new.iter().all(|job| recent.has(job) != (job.ulid() % 3 == 0)));
    }

    #[test]
    fn a_job_that_is_taken_out_can_be_put_again() {
        let mut recent = Recent::new(2);
        let job = JobId::new("japan", 1);
        recent.put(&job);
        recent.take(&job);
        assert!(!recent.has(&job));
        recent.put(&job);
        assert!(recent.has(&job));
    }
}
