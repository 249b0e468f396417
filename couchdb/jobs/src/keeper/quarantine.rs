//! Which versions of plugins kill engines: pure counting of poisoned jobs.
//!
//! One poisoned job may be bad luck, or one bad argument; several of one version, and no job of it between them that
//! came to its own end, are the version's doing. Engines that die for another reason, however many, do not take
//! a version with them that works. The counts are this keeper's: the next one begins anew, since a version that goes
//! on killing is soon counted again.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::JobId;
use crate::spec::Spec;

/// So many poisoned jobs of one version in a row put it in quarantine: each of them killed [`crate::run::DEATHS_MAX`] engines.
pub const POISONED_MAX: usize = 3;

/// Versions with poisoned jobs that are counted at once; the one counted longest ago goes first. There are as many
/// as there are broken plugins.
const VERSIONS_MAX: usize = 1_000;

/// One version of a plugin, as jobs name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// The version.
    pub version: String,
    /// The sha256 of its component in hexadecimal.
    pub sha256: String,
}

impl Plugin {
    /// The plugin that a job asks for.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        Self {
            name: spec.plugin.clone(),
            version: spec.version.clone(),
            sha256: spec.sha256.clone(),
        }
    }
}

/// The poisoned jobs of each version.
#[derive(Debug, Default)]
pub struct Quarantine {
    /// By digest: the number of its last counting, and the jobs.
    poisoned: BTreeMap<String, (u64, BTreeSet<JobId>)>,
    counted: u64,
}

impl Quarantine {
    /// A job is poison. Says once for each digest, with the reason, that its version must not be run any more.
    /// Hearing of one job again changes nothing.
    #[must_use]
    pub fn hear_poison(&mut self, job: &JobId, plugin: &Plugin) -> Option<String> {
        self.counted += 1;
        let (counted, jobs) = self.poisoned.entry(plugin.sha256.clone()).or_default();
        *counted = self.counted;
        let is_enough =
            jobs.len() < POISONED_MAX && jobs.insert(job.clone()) && jobs.len() == POISONED_MAX;
        let reason = is_enough.then(|| {
            let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
            format!(
                "{POISONED_MAX} jobs of {}@{} each took several engines with them: {}",
                plugin.name,
                plugin.version,
                ids.join(", ")
            )
        });
        if self.poisoned.len() > VERSIONS_MAX {
            let oldest = self.poisoned.iter().min_by_key(|(_, (counted, _))| *counted);
            if let Some(oldest) = oldest.map(|(digest, _)| digest.clone()) {
                self.poisoned.remove(&oldest);
            }
        }
        reason
    }

    /// A job of the version came to its own end: it works.
    pub fn hear_done(&mut self, plugin: &Plugin) {
        self.poisoned.remove(&plugin.sha256);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blitz_contract::Retry;

    fn plugin(sha256: &str) -> Plugin {
        let spec = Spec::sample(&JobId::new("japan", 1), Retry::Safe);
        Plugin { sha256: sha256.to_owned(), ..Plugin::of(&spec) }
    }

    #[test]
    fn three_distinct_jobs_of_one_version_say_so_once() {
        let mut quarantine = Quarantine::default();
        let jobs: Vec<JobId> = (0..5).map(|_| JobId::new("japan", 1)).collect();
        let said: Vec<bool> = [0, 0, 1, 1, 2, 2, 3, 4, 0]
            .iter()
            .map(|n: &usize| quarantine.hear_poison(&jobs[*n], &plugin("a")).is_some())
            .collect();
        assert_eq!(said, [false, false, false, false, true, false, false, false, false]);
        assert_eq!(quarantine.hear_poison(&jobs[0], &plugin("b")), None, "another version");
    }

    #[test]
    fn a_version_that_works_is_not_put_in_quarantine_by_engines_that_die() {
        let mut quarantine = Quarantine::default();
        for n in 0..10 {
            let job = JobId::new("japan", 1);
            assert_eq!(quarantine.hear_poison(&job, &plugin("a")), None);
            if n % 2 == 1 {
                quarantine.hear_done(&plugin("a"));
            }
        }
    }

    #[test]
    fn the_reason_names_the_version_and_the_jobs_within_what_a_mark_holds() {
        let mut quarantine = Quarantine::default();
        let jobs: Vec<JobId> = (0..3).map(|_| JobId::new("japan", 1)).collect();
        let said = jobs.iter().filter_map(|job| quarantine.hear_poison(job, &plugin("a")));
        let reason = said.last().unwrap();
        assert!(reason.contains("p@0.1.0"), "{reason}");
        assert!(jobs.iter().all(|job| reason.contains(job.as_str())), "{reason}");
        assert!(reason.chars().count() <= crate::plugin::marks::REASON_CHARS_MAX, "{reason}");
    }

    #[test]
    fn it_remembers_so_many_versions_and_no_more() {
        let mut quarantine = Quarantine::default();
        let job = JobId::new("japan", 1);
        for n in 0..=VERSIONS_MAX {
            assert_eq!(quarantine.hear_poison(&job, &plugin(&n.to_string())), None);
        }
        assert_eq!(quarantine.poisoned.len(), VERSIONS_MAX);
        assert!(!quarantine.poisoned.contains_key("0"), "the oldest is gone");
    }
}
