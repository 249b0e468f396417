//! What a person reads: the table of a run, and the evidence of a violation.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::KINDS;
use crate::flags::Flags;
use crate::verdict::{Facts, Read, Verdict, Violation, met, overlaps, percentile};

/// Prints a line. A closed pipe is a quiet end.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Prints a line for who waits.
pub(crate) fn progress(line: &str) {
    writeln!(std::io::stderr(), "chaos: {line}").ok();
}

fn row(name: &str, value: impl std::fmt::Display, more: &str) {
    say(format!("{name:<44} {value:>8}   {more}").trim_end());
}

/// Prints all that was counted.
pub(crate) fn print(flags: &Flags, facts: &Facts, verdict: &Verdict, took: Duration) {
    let timing = &facts.timing;
    let store =
        if std::env::var_os("BLITZ_TEST_COUCHDB").is_some() { "CouchDB" } else { "blitz couchdb" };
    say(&format!(
        "seed {}, {} engines, {} gateways, {store}, T_stop {:?}, T_dead {:?} (normal / {}), {:.0?}",
        flags.seed, flags.engines, flags.gateways, timing.stop, timing.dead, flags.faster, took
    ));
    let safe = facts.reads.iter().filter(|read| read.job.work.is_safe).count();
    row(
        "jobs accepted",
        facts.reads.len(),
        &format!("safe {safe}, never {}", facts.reads.len() - safe),
    );
    let mut ends: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for read in &facts.reads {
        *ends.entry((read.end().unwrap_or("(none)"), read.job.work.is_safe)).or_default() += 1;
    }
    for ((end, is_safe), count) in ends {
        let policy = if is_safe { "safe" } else { "never" };
        row(&format!("  ended {end}, {policy}"), count, "");
    }
    let runs = facts.runs.values().map(Vec::len).sum::<usize>();
    row("runs that the witness saw begin", runs, "");
    let overlaps = overlaps(facts);
    let longest = overlaps.iter().map(|overlap| overlap.lasted).max().unwrap_or_default();
    let name = "  two of a job at the same time";
    row(name, overlaps.len(), &format!("longest {longest:.1?}, with the time of stopped engines"));
    let mut claims: Vec<usize> =
        facts.reads.iter().map(|read| claims(facts, &read.job.id)).collect();
    claims.sort_unstable();
    let sum: usize = claims.iter().sum();
    let mean = sum as f64 / claims.len().max(1) as f64;
    row(
        "claims a job, mean",
        format!("{mean:.3}"),
        &format!("most {}", claims.last().copied().unwrap_or(0)),
    );
    let mut told: Vec<_> = facts.reads.iter().filter_map(|read| told_after(facts, read)).collect();
    told.sort();
    let (p50, p99, max) = (percentile(&told, 50), percentile(&told, 99), percentile(&told, 100));
    row(
        "ends told to readers",
        told.len(),
        &format!("after they were stored: p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}"),
    );
    let restarts: usize = facts.reads.iter().map(|read| read.job.told.restarts).sum();
    row("restarts told to readers", restarts, "");
    for (is_plain, name) in [(true, "rescues"), (false, "rescues with the store away")] {
        let mut took: Vec<_> =
            verdict.rescues.iter().filter(|r| r.is_plain == is_plain).map(|r| r.took).collect();
        took.sort();
        let (p50, p99, max) =
            (percentile(&took, 50), percentile(&took, 99), percentile(&took, 100));
        let aim =
            if is_plain { format!(", p99 <= {:.1?}", verdict.rescue_max) } else { String::new() };
        row(name, took.len(), &format!("p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}{aim}"));
    }
    let kinds: Vec<String> = KINDS
        .iter()
        .map(|(kind, word, _)| {
            (word, facts.faults.iter().filter(|fault| fault.kind == *kind).count())
        })
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{word} {count}"))
        .collect();
    let aimed = facts.faults.iter().filter(|fault| !fault.held.is_empty()).count();
    row(
        "faults",
        facts.faults.len(),
        &format!("{}; {aimed} of engines with jobs", kinds.join(", ")),
    );
    let mut kinds: BTreeMap<&str, usize> =
        ["lost", "double", "beside", "unseen", "end", "late", "broken"]
            .map(|kind| (kind, 0))
            .into();
    for violation in &verdict.violations {
        *kinds.entry(violation.kind).or_default() += 1;
    }
    let kinds: Vec<String> =
        kinds.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    row("violations", verdict.violations.len(), &kinds.join(", "));
    for Violation { kind, job, what } in &verdict.violations {
        say(&format!("  {kind} {} {what}", job.as_deref().unwrap_or("-")));
    }
}

/// How long the one who submitted a job waited for its end once the store had it.
fn told_after(facts: &Facts, read: &Read) -> Option<Duration> {
    let end = read.end()?;
    let stored = facts.steps(&read.job.id).iter().find(|step| step.state == end)?;
    Some(read.job.ended?.saturating_duration_since(stored.at))
}

/// Distinct claims that were heard of.
fn claims(facts: &Facts, job: &str) -> usize {
    let steps = facts.steps(job);
    let claims: BTreeSet<_> = steps
        .iter()
        .filter(|step| step.attempt > 0)
        .map(|step| (step.attempt, step.incarnation.clone()))
        .collect();
    claims.len()
}

/// Prints all that is known of a job, in the order of time, seconds since the begin.
pub(crate) fn evidence(facts: &Facts, violation: &Violation, begun: Instant, documents: &[String]) {
    let Some(id) = &violation.job else { return };
    let Some(read) = facts.reads.iter().find(|read| read.job.id == *id) else { return };
    say(&format!("\n{id} ({}): {} {}", read.job.name, violation.kind, violation.what));
    let mut lines: Vec<(Instant, String)> = vec![(read.job.accepted, "accepted".to_owned())];
    lines.extend(read.job.told.events.iter().map(|(at, event)| (*at, format!("reader: {event}"))));
    lines.extend(
        read.again.events.iter().map(|(at, event)| (*at, format!("second reader: {event}"))),
    );
    for step in facts.steps(id) {
        let start: String = step.incarnation.chars().take(8).collect();
        let (state, engine, attempt) = (&step.state, &step.engine, step.attempt);
        let what = format!(
            "store: {state} {attempt} of {engine}/{start} {} {}",
            step.reason, step.revision
        );
        lines.push((step.at, what));
    }
    for run in facts.runs(&read.job.name) {
        lines.push((run.began, "witness: a run began".to_owned()));
        lines.extend(run.ended.map(|at| (at, "witness: it ended".to_owned())));
        lines.extend(run.closed.map(|at| (at, "witness: its connection closed".to_owned())));
    }
    let ended = read.job.ended.unwrap_or_else(Instant::now);
    let gateways = facts.faults.iter().filter(|fault| {
        let at_its_time = fault.at <= ended && fault.healed >= read.job.accepted;
        fault.target.starts_with("gateway") && at_its_time
    });
    for fault in met(facts, &read.job).into_iter().chain(gateways) {
        let (kind, target) = (fault.kind.word(), &fault.target);
        lines.push((fault.at, format!("fault: {kind} {target}")));
        lines.push((fault.healed, format!("fault: {kind} {target} is healed")));
    }
    lines.sort_by_key(|(at, _)| *at);
    for (at, line) in lines {
        say(&format!("  {:>9.3} {line}", at.saturating_duration_since(begun).as_secs_f64()));
    }
    for document in documents {
        say(&format!("  {document}"));
    }
    if read.job.told.output != read.again.output {
        say(&format!(
            "  first reader:  {:?}\n  second reader: {:?}",
            read.job.told.output, read.again.output
        ));
    }
}
