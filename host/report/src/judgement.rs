//! The judgement on the generator: whether the figures say something about the target, or about the machines that made the load.
//!
//! Each finding has its figures in words. One that names the generator as the limit makes the test invalid; the others are said
//! and leave it valid, since they are true of the target (it did not keep up) or of the plan (too few connections). A test of
//! which parts are missing is valid for what it did, and partial.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::backlog;
use crate::check::Outcome;
use crate::report::Report;
use crate::words::{count, micros, percent, several};

/// The generator's lag at p99 is the limit above this share of the response time at p99,
const LAG_SHARE: f64 = 0.01;
/// and above this: below a millisecond the kernel's own scheduling is measured.
const LAG_FLOOR_US: u64 = 1000;
/// Of fewer requests the floor is higher in the same measure: p99 of a hundred is a single one, and one may be late by accident.
const LAG_SAMPLES: u64 = 1000;
/// Requests that were sent later than that, at the least: of a short test one percent is a single accident, and its p99 as well.
const LATE_MIN: u64 = 10;
/// A limit was reached in a noticeable part of the seconds: one of ten.
const NOTICEABLE: f64 = 0.1;
/// Seconds in which a worker was busy, at the least, where there are so many.
const BUSY_MIN: u64 = 2;
/// A worker that waited for a processor for less than this in a second has not changed what people read from a report.
const STARVED_FLOOR_US: u64 = 10_000;
/// Time of all, in which a worker waited for a processor, from which on most of what was measured can be that waiting. Below it, what
/// it does to an open model is in the lag; and in a closed one a worker that never rests waits for the others of its machine.
const STARVED_SHARE: f64 = 0.5;

/// What is to be thought of the figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Judgement {
    /// The generator was not the limit.
    pub is_valid: bool,
    /// Not all of the plan was carried out, or told.
    pub is_partial: bool,
    /// Why, and what else is to be known; what makes it invalid stands first.
    pub findings: Vec<Finding>,
}

/// One of the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whose limit it is.
    pub limit: Limit,
    /// It makes the test invalid.
    pub is_invalidating: bool,
    /// In words, with the figures.
    pub text: String,
}

/// Whose limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The machines that made the load.
    Generator,
    /// What was loaded.
    Target,
    /// What was asked for cannot be done in this way.
    Plan,
    /// Engines are missing.
    Parts,
}

impl Finding {
    pub(crate) fn invalid(text: String) -> Self {
        Self { limit: Limit::Generator, is_invalidating: true, text }
    }

    pub(crate) fn note(limit: Limit, text: String) -> Self {
        Self { limit, is_invalidating: false, text }
    }
}

/// Whether the generator's limit leaves open what was asked: the figures, where nothing was to be held to; else a check that is not met, or
/// that a faster generator could break.
#[must_use]
pub fn is_undecided(report: &Report, outcomes: &[Outcome]) -> bool {
    let is_proven = !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.is_proven);
    !report.judgement.is_valid && !is_proven
}

/// Judges a report that is complete but for this.
pub(crate) fn judge(report: &Report) -> Judgement {
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(lag(report));
    findings.extend(busy(report));
    findings.extend(starved(report));
    let is_generator = findings.iter().any(|finding| finding.is_invalidating);
    findings.extend(backlog::judge(report, is_generator));
    findings.extend(parts(report));
    findings.extend(nothing(report));
    findings.extend(redirects(report));
    findings.sort_by_key(|finding| !finding.is_invalidating);
    Judgement {
        is_valid: !findings.iter().any(|finding| finding.is_invalidating),
        is_partial: report.missing > 0 || report.parts.iter().any(|part| !part.is_whole),
        findings,
    }
}

/// The greatest lag that does not spoil a response time.
fn lag_limit_us(report: &Report) -> u64 {
    let share = report.total.tally.response.p99_us() as f64 * LAG_SHARE;
    let few = LAG_SAMPLES as f64 / report.total.lag.count().clamp(1, LAG_SAMPLES) as f64;
    crate::words::whole(share.max(LAG_FLOOR_US as f64 * few))
}

fn lag(report: &Report) -> Option<Finding> {
    let (lag, limit) = (report.total.lag.p99_us(), lag_limit_us(report));
    let times = report.total.lag.distribution();
    let late: u64 = times.counts().filter(|(us, _)| *us > limit).map(|(_, count)| count).sum();
    if lag <= limit || late < LATE_MIN.min(times.total().div_ceil(2)) {
        return None;
    }
    let text = format!("the generator sent late: its own lag is {} at p99", micros(lag));
    if report.total.tally.response.is_empty() {
        // There is no figure that it could spoil.
        return Some(Finding::note(Limit::Generator, text));
    }
    Some(Finding::invalid(format!(
        "{text}, and with a response time of {} at p99 it may be {} (run longer, on a quieter machine, or share the load with \
         --engines {})",
        micros(report.total.tally.response.p99_us()),
        micros(limit),
        report.parts.len().div_ceil(report.regions.len().max(1)) + 1,
    )))
}

fn busy(report: &Report) -> Option<Finding> {
    let seconds = report.steady().count().max(1);
    let part = report.parts.iter().max_by_key(|part| part.busy_seconds)?;
    let busy = part.busy_seconds;
    if busy == 0 {
        return None;
    }
    // One second of several is an accident, however few they are.
    let is_noticeable = f64::from(busy) >= NOTICEABLE * seconds as f64
        && u64::from(busy) >= BUSY_MIN.min(seconds.div_ceil(2) as u64);
    let others = report.parts.iter().filter(|part| part.busy_seconds > 0).count() - 1;
    let others = if others > 0 { format!(", and {others} more") } else { String::new() };
    let text = format!(
        "a worker of {}{others} used more than 80% of a core in {busy} of {}",
        part.label,
        several(seconds as u64, "second"),
    );
    if !is_noticeable {
        return Some(Finding::note(Limit::Generator, text));
    }
    let meaning = if report.is_open_model() {
        "response times have its waiting in them"
    } else {
        "the throughput is what the generator can do, and the target may do more"
    };
    Some(Finding::invalid(format!(
        "{text}: {meaning} (more engines, or more workers, share the load)"
    )))
}

fn starved(report: &Report) -> Option<Finding> {
    let p99 = report.total.tally.response.p99_us() as f64;
    let limit = crate::words::whole(p99 * LAG_SHARE).max(STARVED_FLOOR_US);
    let seconds = report.steady().count().max(1) as f64;
    let all = || report.steady().filter(|second| !second.tally.is_refused());
    let starved = all().filter(|second| second.starved_us > limit);
    let (times, worst) = starved.fold((0u64, 0), |(n, worst), s| (n + 1, worst.max(s.starved_us)));
    if times == 0 {
        return None;
    }
    let waited: u64 = all().map(|second| second.starved_us).sum();
    let share = waited as f64 / (seconds * 1e6);
    let text = format!(
        "a machine of the generator was busy with something else: a worker that had work waited for a processor {} of the \
         time; in the worst second {} in sum, of which each request has only what fell into its own time",
        percent(share),
        micros(worst),
    );
    let is_noticeable = times as f64 >= NOTICEABLE * seconds && share > STARVED_SHARE;
    Some(if is_noticeable {
        Finding::invalid(format!("{text} (a machine of its own for the engine helps)"))
    } else {
        Finding::note(Limit::Generator, text)
    })
}

fn parts(report: &Report) -> Vec<Finding> {
    let mut found = Vec::new();
    if report.missing > 0 {
        let engines = several(report.missing.into(), "engine");
        found.push(format!("{engines} that were asked for did not come to the start, and the others shared the plan"));
    }
    for part in report.parts.iter().filter(|part| !part.is_whole) {
        let share = part
            .share
            .map_or_else(String::new, |share| format!(", with one {} of the plan", nth(share.of)));
        let from = match part.told {
            Some(told) => format!(
                "; what it did after {} is missing",
                crate::words::clock(u64::from(told) + 1)
            ),
            None => "; it told nothing".to_owned(),
        };
        found.push(format!("{}{share}: {}{from}", part.label, crate::words::plain(&part.fate)));
    }
    if report.malformed > 0 {
        let events = several(report.malformed, "event");
        found.push(format!("{events} could not be read: what they told is missing"));
    }
    found.into_iter().map(|text| Finding::note(Limit::Parts, text)).collect()
}

/// "half", "third", "fourth" of a plan.
fn nth(of: u32) -> String {
    match of {
        1 => "whole".to_owned(),
        2 => "half".to_owned(),
        3 => "third".to_owned(),
        n => format!("{n}th"),
    }
}

fn nothing(report: &Report) -> Option<Finding> {
    let total = &report.total;
    if total.sent == 0 && total.tally.errors.total == 0 {
        let all = report.seconds.iter().any(|second| second.is_warm_up && second.sent > 0);
        let why = if all { "the warm-up was the whole of it" } else { "not one request was sent" };
        return Some(Finding::note(Limit::Plan, format!("nothing was measured: {why}")));
    }
    (total.tally.hits == 0).then(|| {
        let all = total.sent.max(total.tally.ended());
        let text = match all {
            1 => "the one request was not answered".to_owned(),
            all => format!("not one of {} requests was answered", count(all)),
        };
        Finding::note(Limit::Target, text)
    })
}

/// Answers that only say where the page is. The plan may have expected them.
fn redirects(report: &Report) -> Option<Finding> {
    let expected = |step: u32| {
        let step = report.plan.as_ref()?.steps.get(usize::try_from(step).ok()?)?;
        step.status
    };
    let steps = report.steps.iter().filter(|own| expected(own.step).is_none());
    let statuses = steps.flat_map(|own| own.tally.statuses.range(300..400));
    // 304 and its like lead nowhere.
    let moved = statuses.filter(|(status, _)| matches!(status, 301 | 302 | 303 | 307 | 308));
    let (all, kinds) = moved.fold((0u64, BTreeSet::new()), |(all, mut kinds), (status, n)| {
        kinds.insert(status.to_string());
        (all.saturating_add(*n), kinds)
    });
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
    let are = if all == 1 { "was a redirect" } else { "were redirects" };
    (all > 0).then(|| {
        Finding::note(
            Limit::Plan,
            format!(
                "{} {are} ({kinds}), and redirects are not followed: load the address to which they lead",
                several(all, "answer"),
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use blitz_contract::load::Verdict;

    /// A closed test of 20 s, of which `some` seconds have this CPU time and starving.
    fn judged(some: u32, cpu_us: u64, starved_us: u64, lag_us: f64) -> Judgement {
        let mut run = fixture::opened(&fixture::users(10, 10, 20), &["local"]);
        for second in 0..20 {
            let mut tick = fixture::tick(second, 10, 200, 50_000.0);
            tick.lag_us = fixture::times(lag_us, 200);
            if second < some {
                (tick.cpu_us, tick.starved_us) = (cpu_us, starved_us);
            }
            fixture::hear(&mut run, 0, &tick);
        }
        fixture::close(&mut run, 0, 20, Verdict::Ended, "");
        run.report().judgement
    }

    #[test]
    fn a_limit_counts_when_it_was_noticeable() {
        for (some, cpu_us, starved_us, lag_us, is_valid, findings) in [
            (0, 0, 0, 20.0, true, 0),
            (20, 790_000, 0, 20.0, true, 0),
            (1, 950_000, 0, 20.0, true, 1),
            (2, 950_000, 0, 20.0, false, 1),
            (20, 0, 5_000, 20.0, true, 0),
            (1, 0, 300_000, 20.0, true, 1),
            (10, 0, 30_000, 20.0, true, 1),
            (20, 0, 285_000, 20.0, true, 1),
            (20, 0, 600_000, 20.0, false, 1),
            (0, 0, 0, 400.0, true, 0),
            (0, 0, 0, 900.0, false, 1),
        ] {
            let judgement = judged(some, cpu_us, starved_us, lag_us);
            let case = format!("{some} {cpu_us} {starved_us} {lag_us}: {judgement:#?}");
            assert_eq!(
                (judgement.is_valid, judgement.findings.len()),
                (is_valid, findings),
                "{case}"
            );
            assert!(!judgement.is_partial, "{case}");
        }
    }

    #[test]
    fn one_busy_second_of_a_few_is_an_accident() {
        for (seconds, busy, is_valid) in [(9, 1, true), (9, 2, false), (1, 1, false)] {
            let mut run = fixture::opened(&fixture::users(10, 10, seconds), &["local"]);
            for second in 0..seconds {
                let mut tick = fixture::tick(second, 10, 200, 5000.0);
                tick.cpu_us = if second < busy { 990_000 } else { 1000 };
                fixture::hear(&mut run, 0, &tick);
            }
            fixture::close(&mut run, 0, seconds, Verdict::Ended, "");
            let judgement = run.report().judgement;
            assert_eq!(judgement.is_valid, is_valid, "{busy} of {seconds}: {judgement:#?}");
        }
    }

    #[test]
    fn one_late_request_of_a_short_test_is_an_accident() {
        for (late, late_us, is_valid) in
            [(3, 4000, true), (20, 4000, true), (3, 20_000, true), (20, 20_000, false)]
        {
            let mut run = fixture::opened(&fixture::rate(100, 100, 1), &["local"]);
            let mut tick = fixture::tick(0, 1, 150, 5000.0);
            let times = (0..150).map(|n| (if n < late { late_us } else { 50 }, 1));
            tick.lag_us = blitz_contract::load::Distribution::of(times);
            fixture::hear(&mut run, 0, &tick);
            fixture::close(&mut run, 0, 0, Verdict::Ended, "");
            let judgement = run.report().judgement;
            assert_eq!(judgement.is_valid, is_valid, "{late} {late_us}: {judgement:#?}");
        }
    }

    #[test]
    fn what_a_faster_generator_could_not_break_is_decided() {
        let report = fixture::flat_out().report();
        assert!(!report.judgement.is_valid);
        for (checks, wanted) in [
            (&[][..], true),
            (&["p99<1m"], false),
            (&["p99<1m", "rate>=1/s"], false),
            (&["p99<1us"], true),
            (&["p99<1m", "errors<1%"], true),
            (&["rate<=1000000/s"], true),
        ] {
            let measured = |text: &&str| text.parse::<crate::Check>().unwrap().measure(&report);
            let outcomes: Vec<Outcome> = checks.iter().map(measured).collect();
            assert_eq!(is_undecided(&report, &outcomes), wanted, "{checks:?}");
        }
    }

    #[test]
    fn a_server_that_refuses_is_not_the_generators_limit() {
        use blitz_contract::load::ErrorKind;
        for (plan, answers) in [
            (fixture::rate(100, 100, 20), 5),
            (fixture::rate(100, 100, 20), 0),
            (fixture::users(9, 9, 20), 5),
        ] {
            let mut run = fixture::opened(&plan, &["local"]);
            for second in 0..20 {
                let hits = if second < answers { 100 } else { 0 };
                let mut tick = fixture::tick(second, 5, hits, 5000.0);
                if hits == 0 {
                    tick.asked = 100;
                    tick.steps[0].errors.insert(ErrorKind::Connect, 98);
                    (tick.cpu_us, tick.starved_us, tick.backlog) = (990_000, 900_000, 2);
                }
                fixture::hear(&mut run, 0, &tick);
            }
            fixture::close(&mut run, 0, 20, Verdict::Ended, "");
            let judgement = run.report().judgement;
            assert!(judgement.is_valid, "{judgement:#?}");
            let of_generator = |finding: &Finding| finding.limit == Limit::Generator;
            assert!(!judgement.findings.iter().any(of_generator), "{judgement:#?}");
        }
    }

    #[test]
    fn redirects_are_told_where_nobody_expects_them() {
        for (expected, wanted) in [(None, true), (Some(301), false)] {
            let mut plan = fixture::users(1, 1, 1);
            plan.steps[0].status = expected;
            let mut run = fixture::opened(&plan, &["local"]);
            let mut tick = fixture::tick(0, 1, 3, 5000.0);
            tick.steps[0].classes[0].class = 3;
            tick.steps[0].classes[0].statuses = [(301, 2), (304, 1)].into();
            fixture::hear(&mut run, 0, &tick);
            let findings = run.report().judgement.findings;
            let text = "2 answers were redirects (301), and redirects are not followed";
            let is_told = findings.iter().any(|finding| finding.text.starts_with(text));
            assert_eq!(is_told, wanted, "{findings:#?}");
        }
    }
}
