//! Whether what was seen is what was promised. Pure: everything that happened goes in.

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_jobs::timing::Timing;
use serde_json::Value;
use tokio::time::Instant;

use crate::claims::Step;
use crate::fault::{Fault, Kind};
use crate::witness::Seen;
use crate::work::{Job, Told, Work};

/// A job as two readers were told of it, and what the API says at last.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) job: Job,
    pub(crate) again: Told,
    pub(crate) state: Value,
}

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) reads: Vec<Read>,
    pub(crate) works: Vec<Work>,
    pub(crate) refused: Vec<String>,
    pub(crate) broken: Vec<String>,
    pub(crate) faults: Vec<Fault>,
    /// What the store said of each job's run, by the job's id.
    pub(crate) steps: BTreeMap<String, Vec<Step>>,
    /// What the witness saw of each job's runs, by the job's name.
    pub(crate) runs: BTreeMap<String, Vec<Seen>>,
    pub(crate) timing: Timing,
}

/// What was promised and was not kept.
#[derive(Debug)]
pub(crate) struct Violation {
    /// The word of the help page.
    pub(crate) kind: &'static str,
    /// The job's id, where it is of one job.
    pub(crate) job: Option<String>,
    pub(crate) what: String,
}

/// How long it took until somebody else had a job.
#[derive(Debug)]
pub(crate) struct Rescue {
    pub(crate) job: String,
    pub(crate) took: Duration,
    /// The store was there all the time: a watcher that does not see it begins again.
    pub(crate) is_plain: bool,
}

/// What the facts mean.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    pub(crate) rescues: Vec<Rescue>,
    /// What the p99 of plain rescues is held against.
    pub(crate) rescue_max: Duration,
}

/// Beyond T_dead, before all is divided.
const RESCUE_SLACK: Duration = Duration::from_secs(2);

/// A connection that was closed is seen so late at most, on a busy machine.
const OVERLAP_MAX: Duration = Duration::from_millis(300);

impl Facts {
    pub(crate) fn steps(&self, job: &str) -> &[Step] {
        self.steps.get(job).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn runs(&self, name: &str) -> &[Seen] {
        self.runs.get(name).map_or(&[], Vec::as_slice)
    }

    /// An engine that was not heard for so long may have stopped its jobs: its last beat may be one beat old, and
    /// the next one late by as much.
    fn silence_min(&self) -> Duration {
        self.timing.stop.saturating_sub(self.timing.beat * 2)
    }
}

impl Read {
    /// The end's word; `None` when there was no end.
    pub(crate) fn end(&self) -> Option<&str> {
        self.job.told.end.as_ref()?["state"].as_str()
    }
}

/// The `percent` smallest of 100.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or_default()
}

pub(crate) fn judge(facts: &Facts) -> Verdict {
    let factor = Timing::default().dead.div_duration_f64(facts.timing.dead);
    let mut verdict = Verdict {
        rescues: rescues(facts),
        rescue_max: facts.timing.dead + RESCUE_SLACK.div_f64(factor),
        ..Verdict::default()
    };
    for what in &facts.refused {
        verdict.add("broken", None, what.clone());
    }
    for what in &facts.broken {
        verdict.add("broken", None, what.clone());
    }
    for read in &facts.reads {
        one(facts, read, &mut verdict);
    }
    begun_twice(facts, &mut verdict);
    run_beside(facts, &mut verdict);
    let mut plain: Vec<_> = verdict.rescues.iter().filter(|r| r.is_plain).map(|r| r.took).collect();
    plain.sort();
    let (p99, most) = (percentile(&plain, 99), verdict.rescue_max);
    if p99 > most {
        let mut late: Vec<_> =
            verdict.rescues.iter().filter(|r| r.is_plain && r.took > most).collect();
        late.sort_by_key(|rescue| std::cmp::Reverse(rescue.took));
        let what = format!(
            "p99 of {} rescues is {p99:.2?}, above {most:.2?}: {} are; the slowest was this one's",
            plain.len(),
            late.len(),
        );
        let job = late.first().map(|rescue| rescue.job.clone());
        verdict.violations.push(Violation { kind: "late", job, what });
    }
    verdict
}

impl Verdict {
    /// The slowest rescues with and without the store, for who wants to know why.
    pub(crate) fn slowest(&self) -> Vec<Violation> {
        let slowest = [true, false].into_iter().filter_map(|is_plain| {
            let of_kind = self.rescues.iter().filter(|rescue| rescue.is_plain == is_plain);
            of_kind.max_by_key(|rescue| rescue.took)
        });
        let told = slowest.map(|rescue| Violation {
            kind: "slowest",
            job: Some(rescue.job.clone()),
            what: format!("rescue, {:.2?}", rescue.took),
        });
        told.collect()
    }

    fn add(&mut self, kind: &'static str, job: Option<&Job>, what: String) {
        let job = job.map(|job| job.id.clone());
        self.violations.push(Violation { kind, job, what });
    }
}

fn one(facts: &Facts, read: &Read, verdict: &mut Verdict) {
    let job = &read.job;
    let policy = if job.work.is_safe { "safe" } else { "never" };
    let Some(end) = read.end() else {
        let what =
            format!("{policy}, accepted and without an end; its state is {}", read.state["state"]);
        return verdict.add("lost", Some(job), what);
    };
    let right = job.work.output(&job.name);
    for (reader, told) in [("first", &job.told), ("second", &read.again)] {
        let fits = match end {
            "done" => told.output == right,
            _ => right.starts_with(&told.output),
        };
        if !fits {
            let what = format!("{policy}, {end}: the {reader} reader was told another output");
            verdict.add("double", Some(job), what);
        }
        for reason in told.incomplete.iter().filter(|_| end == "done") {
            verdict.add("double", Some(job), format!("the {reader} reader: incomplete, {reason}"));
        }
    }
    if read.again.end != job.told.end {
        let what = format!("two ends: {:?} and {:?}", job.told.end, read.again.end);
        verdict.add("double", Some(job), what);
    }
    if read.state["state"] != *end {
        verdict.add("double", Some(job), format!("told {end}, and its state is {}", read.state));
    }
    let runs = facts.runs(&job.name);
    if end == "done" && !runs.iter().any(|run| run.ended.is_some()) {
        verdict.add("unseen", Some(job), format!("done, and of {} runs none ended", runs.len()));
    }
    let status = &read.job.told.end.as_ref().map(|end| end["exit"].clone()).unwrap_or_default();
    if end == "done" && status["status"] != 0 {
        verdict.add("end", Some(job), format!("done with {status}"));
    }
    let met = met(facts, job);
    let is_explained = match end {
        "done" => true,
        "lost" if job.work.is_safe => false,
        "lost" => runs.is_empty() && !met.is_empty() || silence(&met) >= facts.silence_min(),
        "expired" => !met.is_empty(),
        "poison" => met.len() >= 3,
        "cancelled" => !job.work.is_safe && met.iter().any(|fault| fault.kind == Kind::Term),
        _ => false,
    };
    if !is_explained {
        let kind = if end == "lost" && job.work.is_safe { "lost" } else { "end" };
        let reason = job.told.end.as_ref().map(Value::to_string).unwrap_or_default();
        let what = format!("{policy}, {end} with {} faults that it met: {reason}", met.len());
        verdict.add(kind, Some(job), what);
    }
}

/// For how long faults may have kept an engine from being heard, added up; a kill for ever.
fn silence(met: &[&Fault]) -> Duration {
    let lasted = met.iter().map(|fault| match fault.kind {
        Kind::Kill | Kind::KillNew => Duration::MAX,
        _ => fault.healed.saturating_duration_since(fault.at),
    });
    lasted.fold(Duration::ZERO, Duration::saturating_add)
}

/// The faults of the store and of the job's engines during its life.
pub(crate) fn met<'a>(facts: &'a Facts, job: &Job) -> Vec<&'a Fault> {
    let steps = facts.steps(&job.id);
    let ended = job.ended.unwrap_or_else(Instant::now);
    let had_it = |fault: &Fault| {
        fault.target == "store"
            || steps.iter().any(|step| step.engine == fault.target)
            || fault.held.iter().any(|hold| hold.job == job.id)
    };
    let at_its_time =
        |fault: &Fault| fault.at <= ended && fault.healed + facts.timing.dead >= job.accepted;
    facts.faults.iter().filter(|fault| at_its_time(fault) && had_it(fault)).collect()
}

/// One run of a job beside another one.
#[derive(Debug)]
pub(crate) struct Overlap {
    pub(crate) name: String,
    pub(crate) lasted: Duration,
}

/// Runs that began while an earlier run of the job had its connection still.
pub(crate) fn overlaps(facts: &Facts) -> Vec<Overlap> {
    let mut overlaps = Vec::new();
    for (name, runs) in &facts.runs {
        for (index, later) in runs.iter().enumerate() {
            for earlier in &runs[..index] {
                let closed = |run: &Seen| run.closed.unwrap_or_else(Instant::now);
                let until = closed(earlier).min(closed(later));
                let lasted = until.saturating_duration_since(later.began);
                if !lasted.is_zero() {
                    overlaps.push(Overlap { name: name.clone(), lasted });
                }
            }
        }
    }
    overlaps
}

/// An engine that runs stops its job before another may take it; one that is stopped cannot.
fn run_beside(facts: &Facts, verdict: &mut Verdict) {
    for Overlap { name, lasted } in overlaps(facts) {
        let Some(job) = facts.reads.iter().map(|read| &read.job).find(|job| job.name == name)
        else {
            continue;
        };
        let was_stopped =
            met(facts, job).iter().any(|fault| matches!(fault.kind, Kind::Pause | Kind::Freeze));
        if lasted > OVERLAP_MAX && !was_stopped {
            let what =
                format!("{lasted:.2?} of two runs at the same time, and no engine was stopped");
            verdict.add("beside", Some(job), what);
        }
    }
}

/// Tries whose answer was lost count too: somebody ran them.
fn begun_twice(facts: &Facts, verdict: &mut Verdict) {
    for (name, runs) in &facts.runs {
        let number = name.trim_start_matches("job-").split('.').next().and_then(|n| n.parse().ok());
        let work = number.and_then(|number: usize| facts.works.get(number));
        if runs.len() > 1 && work.is_some_and(|work| !work.is_safe) {
            let job = facts.reads.iter().map(|read| &read.job).find(|job| job.name == *name);
            verdict.add("double", job, format!("never, {name} was begun {} times", runs.len()));
        }
    }
}

/// From each kill or freeze to the first step of another for what was held.
fn rescues(facts: &Facts) -> Vec<Rescue> {
    let ends = |fault: &&Fault| matches!(fault.kind, Kind::Kill | Kind::KillNew | Kind::Freeze);
    let mut rescues = Vec::new();
    for fault in facts.faults.iter().filter(ends) {
        for hold in &fault.held {
            let steps = facts.steps(&hold.job);
            let Some(at) = steps
                .iter()
                .rposition(|step| step.incarnation == hold.incarnation && step.state == "claimed")
            else {
                continue;
            };
            // Open is not yet rescued, and an end by the engine itself needs no rescue.
            let rescued = steps[at + 1..].iter().find(|step| step.state != "open");
            let Some(step) = rescued.filter(|step| {
                step.at > fault.at
                    && (step.incarnation != hold.incarnation
                        || matches!(step.state.as_str(), "lost" | "poison"))
            }) else {
                continue;
            };
            let away = |other: &Fault| {
                other.target == "store"
                    && other.at < step.at
                    && other.healed + facts.timing.beat > fault.at
            };
            rescues.push(Rescue {
                job: hold.job.clone(),
                took: step.at.saturating_duration_since(fault.at),
                is_plain: !facts.faults.iter().any(away),
            });
        }
    }
    rescues
}

#[cfg(test)]
mod tests;
