//! How jobs end, as the feeds of their regions tell. Pure.

use std::collections::{HashMap, VecDeque};

use blitz_jobs::accounts::audit::{Entry, SpecFacts};
use blitz_jobs::feed::Heard;
use blitz_jobs::{JobId, Run};

/// Jobs that are remembered until they end, in some MB: twice as many as may wait in a region. Of older ones there is no
/// entry of the end, and their run says it.
const JOBS_MAX: usize = 20_000;

/// Ends that were heard before their spec: feeds of several shards may bring them so, a moment apart.
const EARLY_MAX: usize = 256;

/// The jobs that have not ended.
#[derive(Debug, Default)]
pub(super) struct Ends {
    open: HashMap<JobId, SpecFacts>,
    /// In the order in which they were heard of; some have ended already.
    order: VecDeque<JobId>,
    early: VecDeque<(JobId, Run)>,
}

impl Ends {
    /// Hears one thing; the entry of an end, with its id.
    pub(super) fn hear(&mut self, thing: &Heard) -> Option<(String, Entry)> {
        match thing {
            Heard::Spec(spec) => {
                let facts = SpecFacts::of(spec);
                let at = self.early.iter().position(|(job, _)| *job == spec.job);
                if let Some((_, run)) = at.and_then(|at| self.early.remove(at)) {
                    return Entry::of_end(&facts, &run);
                }
                if self.open.insert(spec.job.clone(), facts).is_none() {
                    self.order.push_back(spec.job.clone());
                }
                self.forget();
                None
            }
            Heard::Run(job, _, run) if run.is_final() => match self.open.remove(job) {
                Some(facts) => Entry::of_end(&facts, run),
                None => {
                    if self.early.len() == EARLY_MAX {
                        self.early.pop_front();
                    }
                    self.early.push_back((job.clone(), run.clone()));
                    None
                }
            },
            _ => None,
        }
    }

    /// Keeps both lists short: the oldest jobs go first, and those that ended are not looked for before there are many.
    fn forget(&mut self) {
        while self.open.len() > JOBS_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            self.open.remove(&oldest);
        }
        if self.order.len() > 2 * JOBS_MAX {
            self.order.retain(|job| self.open.contains_key(job));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use blitz_jobs::Spec;
    use serde_json::json;

    use super::*;

    fn spec(job: &JobId) -> Heard {
        let spec: Spec = serde_json::from_value(json!({"kind": "spec", "blitz": "0.1.0", "job": job,
            "run": "r", "tasks": [job], "plugin": "p", "version": "0.1.0", "sha256": "ab", "args": [],
            "retry": "safe", "timeout_ms": 1, "queue_timeout_ms": 1, "created_at_ms": 7}))
        .unwrap();
        Heard::Spec(Arc::new(spec))
    }

    fn expired(job: &JobId) -> Heard {
        let revision = "1-a".parse().unwrap();
        Heard::Run(job.clone(), revision, Run::Expired { reason: "no engine".to_owned() })
    }

    #[test]
    fn an_end_is_told_once_in_whatever_order_it_is_heard() {
        let mut ends = Ends::default();
        let jobs = [JobId::new("japan", 1), JobId::new("japan", 1)];
        assert!(ends.hear(&spec(&jobs[0])).is_none());
        let (id, entry) = ends.hear(&expired(&jobs[0])).expect("its end");
        assert!(id.ends_with(".ended") && entry.at_ms == 7, "{id}");
        assert!(ends.hear(&expired(&jobs[0])).is_none(), "heard again");
        assert!(ends.hear(&expired(&jobs[1])).is_none(), "before its spec");
        assert!(ends.hear(&spec(&jobs[1])).is_some());
    }

    #[test]
    fn jobs_that_never_end_are_forgotten() {
        let mut ends = Ends::default();
        let first = JobId::new("japan", 1);
        ends.hear(&spec(&first));
        for _ in 0..JOBS_MAX + 10 {
            ends.hear(&spec(&JobId::new("japan", 1)));
        }
        assert_eq!(ends.open.len(), JOBS_MAX);
        assert!(!ends.open.contains_key(&first) && ends.order.len() <= 2 * JOBS_MAX);
        for _ in 0..EARLY_MAX + 10 {
            ends.hear(&expired(&JobId::new("japan", 1)));
        }
        assert_eq!(ends.early.len(), EARLY_MAX);
    }
}
