//! Requests that were due and not sent, in an open model: whose limit that was.
//!
//! Waiting for a free connection is not in the generator's lag. So a backlog while lag and CPU were within their limits is
//! one of connections: each of them was taken. So is one that all connections of the plan were open in, whatever else the generator's
//! machine did. And what found no connection at all, because the target refused, is the target's. Whether there were too few, or the target held them too long, is read from the
//! service time: where it was clearly longer in the seconds with a backlog than before it, the target had become slower.

use blitz_contract::load::{ErrorKind, First};

use crate::judgement::{Finding, Limit};
use crate::latency::Latency;
use crate::meaning::is_unconnected;
use crate::report::Report;
use crate::second::Second;
use crate::words::{count, micros, number, percent, several};

/// Service time with a backlog against that without one, from which on the target has become slower.
const SLOWER: f64 = 1.5;

pub(crate) fn judge(report: &Report, is_generator: bool) -> Option<Finding> {
    let total = &report.total;
    let missing = total.asked.saturating_sub(total.sent);
    let waiting: Vec<&Second> = report.counted().filter(|second| second.backlog > 0).collect();
    let first = waiting.first().map_or(u32::MAX, |second| second.second);
    let free: Vec<&Second> = report.counted().take_while(|second| second.second < first).collect();
    if !report.is_open_model() || (missing == 0 && waiting.is_empty()) {
        return None;
    }
    let unsent = if missing > 0 {
        let share = percent(total.sent as f64 / total.asked as f64);
        let asked = several(total.asked, "request");
        let were = if total.sent == 1 { "was" } else { "were" };
        format!("{} of {asked} {were} sent ({share})", count(total.sent))
    } else {
        "all requests were sent, but not all when they were due".to_owned()
    };
    // Those that failed before they were sent are told as errors.
    let unconnected = |first: &First| first.kind == ErrorKind::Timeout && is_unconnected(first);
    let late = if report.firsts.iter().any(unconnected) { total.tally.timeouts() } else { 0 };
    let refused = total.tally.refused().saturating_add(late).min(missing);
    if missing > 0 && refused >= missing.div_ceil(2) {
        return (refused < missing || is_generator || !waiting.is_empty()).then(|| {
            let text = format!("{unsent}; {} found no connection", count(refused));
            Finding::note(Limit::Target, text)
        });
    }
    let most = report.plan.as_ref().and_then(|plan| plan.connections).map_or(u64::MAX, u64::from);
    let is_full = !waiting.is_empty() && total.peaks.connections >= most;
    if is_generator && !is_full {
        return Some(Finding::note(
            Limit::Generator,
            format!("{unsent}, and the generator was the limit"),
        ));
    }
    if waiting.is_empty() {
        if is_lost(report) || missing <= refused.saturating_add(total.tally.timeouts()) {
            return None;
        }
        return Some(Finding::invalid(format!(
            "{unsent}, and no connection was missing for the others"
        )));
    }
    let service = |seconds: &[&Second]| Latency::sum(seconds.iter().map(|s| s.tally.service()));
    let (slow, fast) = (service(&waiting).mean_us(), service(&free).mean_us());
    let waited = format!(
        "{} waited at most in {} of {}",
        count(total.peaks.backlog),
        waiting.len(),
        several(report.steady().count().max(waiting.len()) as u64, "second"),
    );
    if slow == 0 {
        let text = format!("{unsent}; {waited}, and nothing was answered meanwhile");
        return Some(Finding::note(Limit::Target, text));
    }
    let (taken, they) = match total.peaks.connections {
        1 => ("the one connection was taken".to_owned(), "it carries"),
        several => (format!("all {} connections were taken", count(several)), "they carry"),
    };
    if fast > 0 && slow as f64 >= SLOWER * fast as f64 {
        let text = format!(
            "{unsent}; {waited}, because {taken}: the target's answers took {} then, and {} \
             before",
            micros(slow),
            micros(fast),
        );
        return Some(Finding::note(Limit::Target, text));
    }
    let carried = total.peaks.connections as f64 * 1e6 / slow.max(1) as f64;
    let text = format!(
        "{unsent}; {waited}, because {taken}: with answers that take {} {they} {} requests per \
         second at most (more --connections carry more, if the target does not become slower)",
        micros(slow),
        number(carried),
    );
    Some(Finding::note(Limit::Plan, text))
}

/// A part that was lost or stopped explains what it left undone.
fn is_lost(report: &Report) -> bool {
    report.parts.iter().any(|part| !part.is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use blitz_contract::load::Verdict;

    /// 100 requests a second for 20 s, over 10 connections. From the middle on `sent` of them are sent in a second, after
    /// answers that take `late_us`.
    fn judged(sent: u64, late_us: f64, is_connected: bool, lag_us: f64) -> Report {
        of(None, sent, late_us, is_connected, lag_us)
    }

    fn of(
        connections: Option<u32>,
        sent: u64,
        late_us: f64,
        is_connected: bool,
        lag_us: f64,
    ) -> Report {
        let mut plan = fixture::rate(100, 100, 20);
        plan.connections = connections;
        let mut run = fixture::opened(&plan, &["local"]);
        for second in 0..20u32 {
            let is_late = second >= 10;
            let hits = if is_late { sent } else { 100 };
            let mut tick = fixture::tick(second, 5, hits, if is_late { late_us } else { 50_000.0 });
            let class = &mut tick.steps[0].classes[0];
            class.response_us = fixture::times(400_000.0, hits);
            tick.asked = 100;
            tick.connections = 10;
            tick.backlog =
                if is_late && is_connected { u64::from(second - 9) * (100 - sent) } else { 0 };
            tick.lag_us = fixture::times(lag_us, hits);
            fixture::hear(&mut run, 0, &tick);
        }
        fixture::close(&mut run, 0, 20, Verdict::Ended, "");
        run.report()
    }

    #[test]
    fn whose_limit_it_was_is_told() {
        let mut texts = String::new();
        for (name, report, limit, is_valid) in [
            ("the target", judged(60, 160_000.0, true, 20.0), Limit::Target, true),
            ("the plan", judged(60, 55_000.0, true, 20.0), Limit::Plan, true),
            ("nobody says why", judged(60, 50_000.0, false, 20.0), Limit::Generator, false),
            ("the generator", judged(60, 50_000.0, true, 9000.0), Limit::Generator, false),
            ("the plan, in noise", of(Some(10), 60, 55_000.0, true, 9000.0), Limit::Plan, false),
        ] {
            let judgement = &report.judgement;
            assert_eq!(judgement.is_valid, is_valid, "{name}: {judgement:#?}");
            assert!(
                judgement.findings.iter().any(|finding| finding.limit == limit),
                "{name}: {judgement:#?}"
            );
            for finding in &judgement.findings {
                texts.push_str(&format!("{name}: {}\n", finding.text));
            }
        }
        insta::assert_snapshot!(texts);
    }

    #[test]
    fn what_found_no_server_is_an_error_of_the_target() {
        let mut run = fixture::opened(&fixture::rate(100, 100, 10), &["local"]);
        for second in 0..10 {
            let mut tick = fixture::tick(second, 5, 95, 50_000.0);
            tick.asked = 100;
            tick.steps[0].errors.insert(ErrorKind::Connect, 5);
            fixture::hear(&mut run, 0, &tick);
        }
        fixture::close(&mut run, 0, 10, Verdict::Ended, "");
        let judgement = run.report().judgement;
        assert!(judgement.is_valid && judgement.findings.is_empty(), "{judgement:#?}");
    }

    #[test]
    fn who_keeps_up_is_not_judged() {
        let report = judged(100, 50_000.0, true, 20.0);
        assert!(
            report.judgement.is_valid && report.judgement.findings.is_empty(),
            "{:?}",
            report.judgement
        );
    }
}
