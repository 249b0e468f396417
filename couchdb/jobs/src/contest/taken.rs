//! The runs of several tasks of which this engine has its part: of those it takes no other task, so that the tasks of a
//! run go to distinct engines.
//!
//! Its part is a task that it claims, has, or has had until its end; so is one that an earlier start of it has. A task
//! that it did not get, or gave back, is none.

use std::collections::BTreeMap;

use crate::id::JobId;
use crate::run::Run;
use crate::spec::Spec;

/// Runs of several tasks that an engine remembers to have taken part in: they last minutes.
pub const RUNS_TAKEN_MAX: usize = 10_000;

/// Which task of which run. Their ids begin with the time, so that the first is the oldest.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<String, JobId>);

impl Taken {
    /// This task is its part of the run from now on. Where a run has one task in the region there is nothing to remember.
    pub(super) fn take(&mut self, spec: &Spec) {
        if spec.tasks_in_region() < 2 {
            return;
        }
        self.0.entry(spec.run.clone()).or_insert_with(|| spec.job.clone());
        if self.0.len() > RUNS_TAKEN_MAX {
            self.0.pop_first();
        }
    }

    /// This task is not its part, or not any more: whether it was.
    pub(super) fn leave(&mut self, spec: &Spec) -> bool {
        let was = self.0.get(&spec.run) == Some(&spec.job);
        if was {
            self.0.remove(&spec.run);
        }
        was
    }

    /// Whether its part of the run is another task.
    pub(super) fn forbids(&self, spec: &Spec) -> bool {
        self.0.get(&spec.run).is_some_and(|task| *task != spec.job)
    }
}

/// Whether a run says that this engine has its task, or ended it.
pub(super) fn is_part(engine: &str, run: &Run) -> bool {
    !matches!(run, Run::Open { .. }) && run.claim().is_some_and(|claim| claim.engine == engine)
}
