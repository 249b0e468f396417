//! What is counted at one gateway, pure: the tally of what was accepted, and the jobs that have not ended.

use std::collections::HashMap;

use blitz_jobs::accounts::quota::{Asked, Exceeded, Granted, Used};
use blitz_jobs::accounts::usage::{Counts as Amount, hour_of};
use blitz_jobs::accounts::{Plan, Tally};
use blitz_jobs::feed::Heard;
use blitz_jobs::recent::Recent;
use blitz_jobs::{JobId, Run};

/// Jobs that are remembered to have ended: feeds of several shards may bring a job after its end.
const PASSED_MAX: usize = 10_000;

/// A job that was accepted here and that no feed has told of after this long was never stored: its region is away, or who asked
/// went away before it was written. Longer than a store takes to answer at all.
const UNHEARD_MS: u64 = 60_000;

/// What was accepted here is remembered so long behind the time that it may run: it may wait for a day before that, and the keeper
/// ends what no engine can, a little later.
const LATE_MS: u64 = 86_400_000 + 120_000;

/// Everything.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) tally: Tally,
    /// The jobs of each tenant that have not ended.
    open: HashMap<String, HashMap<JobId, Open>>,
    /// What was accepted here and has not ended.
    own: HashMap<JobId, Own>,
    passed: Recent,
}

/// A job that has not ended, as far as is known.
#[derive(Debug)]
enum Open {
    /// Accepted here then, and not heard of.
    Accepted(u64),
    /// Heard.
    Heard,
}

/// A job that was accepted here.
#[derive(Debug)]
struct Own {
    tenant: String,
    /// In which hour it is counted.
    hour: u64,
    /// What it was granted.
    load_ms: u64,
    /// Not remembered any longer than this.
    until_ms: u64,
}

impl Counts {
    pub(super) fn new(gateway: String) -> Self {
        Self {
            tally: Tally::new(gateway),
            open: HashMap::new(),
            own: HashMap::new(),
            passed: Recent::new(PASSED_MAX),
        }
    }

    /// Admits jobs and counts them, or none of them.
    pub(super) fn enter(
        &mut self,
        tenant: &str,
        plan: &Plan,
        asked: &Asked,
        jobs: &[JobId],
        timeout_ms: u64,
        now_ms: u64,
    ) -> Result<Granted, Exceeded> {
        let granted = self.tally.admit(tenant, plan, asked, self.jobs_now(tenant), now_ms)?;
        for job in jobs {
            self.open(tenant).insert(job.clone(), Open::Accepted(now_ms));
            let own = Own {
                tenant: tenant.to_owned(),
                hour: hour_of(now_ms),
                load_ms: granted.load_ms.unwrap_or(0),
                until_ms: now_ms.saturating_add(timeout_ms).saturating_add(LATE_MS),
            };
            self.own.insert(job.clone(), own);
        }
        Ok(granted)
    }

    /// These were not stored, as far as is known.
    pub(super) fn leave(&mut self, jobs: &[JobId]) {
        for job in jobs {
            let Some(Own { tenant, hour, load_ms, .. }) = self.own.remove(job) else { continue };
            self.open(&tenant).remove(job);
            self.tally.give_back(&tenant, hour, Amount { jobs: 1, load_ms, output_bytes: 0 });
        }
    }

    pub(super) fn hear(&mut self, thing: &Heard) {
        match thing {
            Heard::Spec(spec) if !self.passed.has(&spec.job) => {
                if let Some(tenant) = &spec.tenant {
                    self.open(tenant).insert(spec.job.clone(), Open::Heard);
                }
            }
            Heard::Run(job, _, run) if run.is_final() => self.end(job, run),
            Heard::Replaced(database) => self.forget(database),
            _ => {}
        }
    }

    /// What was heard of a database's jobs is void.
    pub(super) fn forget(&mut self, database: &str) {
        for jobs in self.open.values_mut() {
            jobs.retain(|job, open| {
                matches!(open, Open::Accepted(_)) || job.jobs_database() != database
            });
        }
    }

    pub(super) fn used(&self, tenant: &str, now_ms: u64) -> Used {
        Used { jobs_now: self.jobs_now(tenant), ..self.tally.used(tenant, now_ms) }
    }

    /// Forgets what is over.
    pub(super) fn tidy(&mut self, now_ms: u64) {
        self.tally.forget_old(now_ms);
        self.own.retain(|_, own| own.until_ms > now_ms);
        for jobs in self.open.values_mut() {
            jobs.retain(|_, open| match open {
                Open::Heard => true,
                Open::Accepted(at_ms) => at_ms.saturating_add(UNHEARD_MS) > now_ms,
            });
        }
        self.open.retain(|_, jobs| !jobs.is_empty());
    }

    fn end(&mut self, job: &JobId, run: &Run) {
        self.passed.put(job);
        for jobs in self.open.values_mut() {
            jobs.remove(job);
        }
        let Some(Own { tenant, hour, load_ms, .. }) = self.own.remove(job) else { return };
        let taken_ms = match (run.end(), run) {
            (Some(end), _) => end.duration_ms.min(load_ms),
            (None, Run::Expired { .. } | Run::Lost { begun: false, .. }) => 0,
            (None, run) if run.claim().is_none() => 0,
            // It may have run to its limits before it was lost.
            (None, _) => load_ms,
        };
        if taken_ms < load_ms {
            let rest = Amount { load_ms: load_ms - taken_ms, ..Amount::default() };
            self.tally.give_back(&tenant, hour, rest);
        }
        let output_bytes = run.end().map_or(0, |end| end.bytes);
        self.tally.add(&tenant, hour, Amount { output_bytes, ..Amount::default() });
    }

    fn open(&mut self, tenant: &str) -> &mut HashMap<JobId, Open> {
        self.open.entry(tenant.to_owned()).or_default()
    }

    pub(super) fn open_jobs(&self, tenant: &str) -> Vec<JobId> {
        self.open.get(tenant).into_iter().flat_map(HashMap::keys).cloned().collect()
    }

    fn jobs_now(&self, tenant: &str) -> u64 {
        let count = self.open.get(tenant).map_or(0, HashMap::len);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use blitz_contract::Exit;
    use blitz_jobs::{Claim, End, Incarnation, Spec};
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn plan() -> Plan {
        Plan { jobs_at_once: Some(2), load_minutes_per_day: Some(10), ..Plan::unlimited("free") }
    }

    fn enter(counts: &mut Counts, job: &JobId, load_ms: Option<u64>) -> Result<Granted, Exceeded> {
        let asked = Asked { tasks: 1, load_ms };
        counts.enter("acme", &plan(), &asked, std::slice::from_ref(job), 60_000, NOW)
    }

    fn done(duration_ms: u64) -> Run {
        let claim = Claim::first(1, "e1", Incarnation::from_random([1; 16]));
        let digest = String::new();
        let end = End { exit: Exit::Status(0), chunks: 1, bytes: 7, digest, duration_ms };
        Run::Done { claim, end }
    }

    fn spec(job: &JobId) -> Heard {
        let spec: Spec = serde_json::from_value(json!({"kind": "spec", "blitz": "0", "job": job, "run": "r", "tasks": [job],
            "tenant": "acme", "plugin": "p", "version": "1.0.0", "sha256": "a", "args": [], "retry": "safe",
            "timeout_ms": 1, "queue_timeout_ms": 1, "created_at_ms": 0}))
        .unwrap();
        Heard::Spec(Arc::new(spec))
    }

    fn run(job: &JobId, run: Run) -> Heard {
        Heard::Run(job.clone(), "1-a".parse().unwrap(), run)
    }

    #[test]
    fn jobs_are_open_from_when_they_are_accepted_until_they_end() {
        let mut counts = Counts::new("g".to_owned());
        let jobs: Vec<JobId> = (0..4).map(|_| JobId::new("japan", 1)).collect();
        let now = |counts: &Counts| counts.used("acme", NOW).jobs_now;
        enter(&mut counts, &jobs[0], None).unwrap();
        counts.hear(&spec(&jobs[0]));
        counts.hear(&spec(&jobs[1]));
        assert_eq!(now(&counts), 2, "that of another gateway counts, and each once");
        assert!(enter(&mut counts, &jobs[2], None).is_err());
        counts.hear(&run(&jobs[1], done(1)));
        counts.hear(&spec(&jobs[1]));
        assert_eq!(now(&counts), 1, "it has ended, whatever comes late");
        enter(&mut counts, &jobs[2], None).unwrap();
        counts.forget(&jobs[0].jobs_database());
        assert_eq!(now(&counts), 1, "what was just accepted is not heard yet");
        counts.hear(&spec(&jobs[0]));
        counts.tidy(NOW + UNHEARD_MS);
        assert_eq!(now(&counts), 1, "what nobody heard of was never stored");
        counts.hear(&Heard::Replaced(jobs[0].jobs_database()));
        assert_eq!(now(&counts), 0);
    }

    #[test]
    fn what_was_not_used_is_given_back() {
        let mut counts = Counts::new("g".to_owned());
        let jobs: Vec<JobId> = (0..6).map(|_| JobId::new("japan", 1)).collect();
        let used = |counts: &Counts| {
            let used = counts.used("acme", NOW);
            (used.jobs_this_hour, used.load_ms_today, used.output_bytes_today)
        };
        let expired = Run::Expired { reason: String::new() };
        let claim = Claim::first(1, "e1", Incarnation::from_random([1; 16]));
        let lost = |begun| Run::Lost { claim: Some(claim.clone()), reason: String::new(), begun };
        for (job, end, wanted) in [
            (&jobs[0], done(20_000), (1, 20_000, 7)),
            (&jobs[1], done(90_000), (2, 80_000, 14)),
            (&jobs[2], expired, (3, 80_000, 14)),
            (&jobs[3], lost(false), (4, 80_000, 14)),
            (&jobs[4], lost(true), (5, 140_000, 14)),
        ] {
            enter(&mut counts, job, Some(60_000)).unwrap();
            counts.hear(&run(job, end.clone()));
            counts.hear(&run(job, end));
            assert_eq!(used(&counts), wanted);
        }
        enter(&mut counts, &jobs[5], Some(60_000)).unwrap();
        assert_eq!(used(&counts), (6, 200_000, 14));
        counts.leave(&jobs);
        assert_eq!(used(&counts), (5, 140_000, 14));
        assert_eq!(counts.used("acme", NOW).jobs_now, 0);
    }
}
