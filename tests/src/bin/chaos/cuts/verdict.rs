//! Whether what was seen is what was promised, and what is printed of it.

use std::collections::BTreeMap;

use blitz_jobs::timing::Timing;
use tokio::time::Instant;

use super::{CONVERGED_MAX, Made};
use crate::flags::Flags;
use crate::table::say;
use crate::verdict::{Read, percentile};
use crate::witness::Seen;
use crate::work::Job;

/// Lines of evidence: what one person reads.
const EVIDENCE_MAX: usize = 12;

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) reads: Vec<Read>,
    pub(crate) refused: Vec<String>,
    pub(crate) broken: Vec<String>,
    /// Jobs whose runs are not the same everywhere, with what each cluster has.
    pub(crate) apart: Vec<(String, String)>,
    pub(crate) cuts: Vec<Made>,
    /// What the witness saw of each job's runs, by the job's name.
    pub(crate) runs: BTreeMap<String, Vec<Seen>>,
    pub(crate) timing: Timing,
}

/// What was promised and was not kept.
#[derive(Debug)]
pub(crate) struct Violation {
    /// The word of the help page.
    kind: &'static str,
    what: String,
    job: Option<String>,
}

impl Violation {
    fn of(kind: &'static str, job: &Job, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), job: Some(job.id.clone()) }
    }
}

pub(crate) fn judge(facts: &Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for what in facts.refused.iter().chain(&facts.broken) {
        violations.push(Violation { kind: "broken", what: what.clone(), job: None });
    }
    for read in &facts.reads {
        one(facts, read, &mut violations);
    }
    begun_twice(facts, &mut violations);
    for (job, runs) in &facts.apart {
        let (what, job) = (runs.clone(), Some(job.clone()));
        violations.push(Violation { kind: "apart", what, job });
    }
    for cut in &facts.cuts {
        if cut.converged.is_none_or(|took| took > CONVERGED_MAX) {
            let took = cut.converged.map_or("never".to_owned(), |took| format!("{took:.2?}"));
            let lasted = cut.healed - cut.at;
            let what = format!(
                "{} for {lasted:.1?}: converged after {took}, at last {}; at {CONVERGED_MAX:?} not running: {}",
                cut.what,
                cut.last.join(", "),
                cut.unwell.join(", ")
            );
            violations.push(Violation { kind: "late", what, job: None });
        }
    }
    violations
}

fn one(facts: &Facts, read: &Read, violations: &mut Vec<Violation>) {
    let job = &read.job;
    let policy = if job.work.is_safe { "safe" } else { "never" };
    let Some(end) = read.end() else {
        let what = format!("{policy}, accepted and without an end; its state is {}", read.state);
        return violations.push(Violation::of("lost", job, what));
    };
    let is_done = end == "done";
    let right = job.work.output(&job.name);
    for (reader, told) in [("first", &job.told), ("second", &read.again)] {
        let fits = if is_done { told.output == right } else { right.starts_with(&told.output) };
        if !fits || is_done && !told.incomplete.is_empty() {
            let incomplete = told.incomplete.join(", ");
            let what = format!(
                "{policy}, {end}: the {reader} reader was told another output {incomplete} {:?}",
                told.output
            );
            violations.push(Violation::of("double", job, what));
        }
    }
    if read.again.end != job.told.end {
        let what = format!("two ends: {:?} and {:?}", job.told.end, read.again.end);
        violations.push(Violation::of("double", job, what));
    }
    let runs = facts.runs.get(&job.name).map_or(&[][..], Vec::as_slice);
    if is_done && !runs.iter().any(|run| run.ended.is_some()) {
        let what = format!("done, and of {} runs none ended", runs.len());
        violations.push(Violation::of("double", job, what));
    }
    let may_end_so = is_done
        || !job.work.is_safe && matches!(end, "lost" | "cancelled") && met_a_cut(facts, job);
    if !may_end_so {
        let reason = job.told.end.as_ref().map(ToString::to_string).unwrap_or_default();
        violations.push(Violation::of("lost", job, format!("{policy}, {end}: {reason}")));
    }
}

/// Whether a way was cut during the life of a job, or so shortly before that its engine may not have been back.
fn met_a_cut(facts: &Facts, job: &Job) -> bool {
    let ended = job.ended.unwrap_or_else(Instant::now);
    let at_its_time =
        |cut: &Made| cut.at <= ended && cut.healed + facts.timing.dead >= job.accepted;
    facts.cuts.iter().any(at_its_time)
}

/// Tries whose answer was lost count too: somebody ran them.
fn begun_twice(facts: &Facts, violations: &mut Vec<Violation>) {
    let works: BTreeMap<usize, &Job> =
        facts.reads.iter().map(|read| (read.job.work.number, &read.job)).collect();
    for (name, runs) in &facts.runs {
        let number = name.trim_start_matches("job-").split('.').next().and_then(|n| n.parse().ok());
        let job = number.and_then(|number: usize| works.get(&number));
        if let Some(job) = job.filter(|job| runs.len() > 1 && !job.work.is_safe) {
            let what = format!("never, {name} was begun {} times", runs.len());
            violations.push(Violation::of("double", job, what));
        }
    }
}

/// Prints all that was counted.
pub(crate) fn print(flags: &Flags, facts: &Facts, violations: &[Violation], begun: Instant) {
    let row = |name: &str, value: usize, more: String| {
        say(format!("{name:<44} {value:>8}   {more}").trim_end());
    };
    let dead = facts.timing.dead;
    say(&format!(
        "seed {}, 3 places, 9 engines, 3 gateways, T_dead {dead:?} (normal / {}), {:.0?}",
        flags.seed,
        flags.faster,
        begun.elapsed()
    ));
    let safe = facts.reads.iter().filter(|read| read.job.work.is_safe).count();
    let never = facts.reads.len() - safe;
    row("jobs accepted", facts.reads.len(), format!("safe {safe}, never {never}"));
    let mut ends: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for read in &facts.reads {
        *ends.entry((read.end().unwrap_or("(none)"), read.job.work.is_safe)).or_default() += 1;
    }
    for ((end, is_safe), count) in ends {
        let policy = if is_safe { "safe" } else { "never" };
        row(&format!("  ended {end}, {policy}"), count, String::new());
    }
    let tried = facts.runs.len();
    let runs = facts.runs.values().map(Vec::len).sum::<usize>();
    row("runs that the witness saw begin", runs, format!("of {tried} names"));
    let met = facts.reads.iter().filter(|read| met_a_cut(facts, &read.job)).count();
    let mut lasted: Vec<_> = facts.cuts.iter().map(|cut| cut.healed - cut.at).collect();
    lasted.sort();
    let (p50, max) = (percentile(&lasted, 50), percentile(&lasted, 100));
    let more = format!("lasted: p50 {p50:.1?}, max {max:.1?}; {met} jobs met one");
    row("cuts", facts.cuts.len(), more);
    let mut converged: Vec<_> = facts.cuts.iter().filter_map(|cut| cut.converged).collect();
    converged.sort();
    let (p50, p99, max) =
        (percentile(&converged, 50), percentile(&converged, 99), percentile(&converged, 100));
    let more = format!("p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}, each <= {CONVERGED_MAX:?}");
    row("converged after the heal", converged.len(), more);
    let mut kinds: BTreeMap<&str, usize> =
        ["lost", "double", "apart", "late", "broken"].map(|kind| (kind, 0)).into();
    for violation in violations {
        *kinds.entry(violation.kind).or_default() += 1;
    }
    let kinds: Vec<String> =
        kinds.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    row("violations", violations.len(), kinds.join(", "));
    for Violation { kind, what, job } in violations {
        say(&format!("  {kind} {} {what}", job.as_deref().unwrap_or("-")));
    }
    for job in violations.iter().filter_map(|violation| violation.job.as_ref()).take(EVIDENCE_MAX) {
        evidence(facts, job, begun);
    }
}

/// Prints what is known of a job, in the order of time, seconds since the begin.
fn evidence(facts: &Facts, id: &str, begun: Instant) {
    let Some(read) = facts.reads.iter().find(|read| read.job.id == id) else { return };
    let job = &read.job;
    say(&format!("\n{id} ({})", job.name));
    let mut lines: Vec<(Instant, String)> = vec![(job.accepted, "accepted".to_owned())];
    let told = |who: &str, events: &[(Instant, String)]| {
        let line = |(at, event): &(Instant, String)| (*at, format!("{who}: {event}"));
        events.iter().map(line).collect::<Vec<_>>()
    };
    lines.extend(told("reader", &job.told.events));
    lines.extend(told("second reader", &read.again.events));
    for run in facts.runs.get(&job.name).into_iter().flatten() {
        lines.push((run.began, "witness: a run began".to_owned()));
        lines.extend(run.ended.map(|at| (at, "witness: it ended".to_owned())));
        lines.extend(run.closed.map(|at| (at, "witness: its connection closed".to_owned())));
    }
    let ended = job.ended.unwrap_or_else(Instant::now);
    for cut in facts.cuts.iter().filter(|cut| cut.at <= ended && cut.healed >= job.accepted) {
        lines.push((cut.at, format!("cut: {}", cut.what)));
        lines.push((cut.healed, "cut: healed".to_owned()));
    }
    lines.sort_by_key(|(at, _)| *at);
    for (at, line) in lines {
        say(&format!("  {:>9.3} {line}", at.saturating_duration_since(begun).as_secs_f64()));
    }
}
