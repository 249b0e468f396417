//! The exit code of a load test whose jobs all went well. Pure.

use blitz_report::{Check, Outcome, Report, Tally, is_undecided};

use crate::exit_code::ExitCode;

/// What errors are called that a late generator makes itself.
const TIMEOUT: &str = "timeout";

/// The code.
pub(super) fn code_of(report: &Report, results: &[Outcome]) -> ExitCode {
    match () {
        // Nothing was measured, and the jobs say why.
        () if report.plan.is_none() => ExitCode::SUCCESS,
        () if has_broken(report, results) => ExitCode::FAILURE,
        () if is_undecided(report, results) => ExitCode::GENERATOR_LIMITED,
        () if results.iter().any(|result| !result.holds) => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    }
}

/// Whether something is not met that no lag of the generator explains: it makes answers late, and fewer; it makes no status and no
/// error but time-outs.
fn has_broken(report: &Report, results: &[Outcome]) -> bool {
    let has_answers = report.total.tally.hits > 0;
    let mut about = results
        .iter()
        .filter(|result| !result.holds && is_of_answers(&result.expression, has_answers));
    let Some(first) = about.next() else { return false };
    let in_time = all_in_time(report);
    let is_broken = |result: &Outcome| {
        let check = result.expression.parse::<Check>();
        check.is_ok_and(|check| !check.measure(&in_time).holds)
    };
    is_broken(first) || about.any(is_broken)
}

/// At most so many errors or answers of a status, or at least such a share of them: a count that is too small may be of a slow
/// generator, and so may a share of no answers at all.
fn is_of_answers(expression: &str, has_answers: bool) -> bool {
    let metric = match expression.split_once('.') {
        Some((step, metric)) if step.starts_with("step") => metric,
        _ => expression,
    };
    let is_ceiling = expression.contains('<');
    (metric.starts_with("errors") && is_ceiling)
        || (metric.starts_with("status.")
            && (is_ceiling || (has_answers && expression.contains('%'))))
}

/// The report as if all had been answered in time.
fn all_in_time(report: &Report) -> Report {
    let mut report = report.clone();
    forgive(&mut report.total.tally);
    report.steps.iter_mut().for_each(|step| forgive(&mut step.tally));
    for second in &mut report.seconds {
        forgive(&mut second.tally);
        second.steps.iter_mut().for_each(|step| forgive(&mut step.tally));
    }
    report
}

fn forgive(tally: &mut Tally) {
    let late = tally.errors.kinds.remove(TIMEOUT).unwrap_or_default();
    tally.errors.total = tally.errors.total.saturating_sub(late);
    tally.hits = tally.hits.saturating_add(late);
}

#[cfg(test)]
mod tests {
    use blitz_contract::load::{Closing, Distribution, Opening, Share, Tick, Verdict};
    use blitz_report::{Part, Run};

    use super::super::fixture;
    use super::*;

    /// A test of a generator that lags, of which `bad` of 600 answers are of 503, and some are late.
    fn lagging(bad: u64) -> Report {
        let mut run = Run::new(vec![Part { label: "a".to_owned(), region: "a".to_owned() }]);
        let opening = fixture::opening(0, 1, 100.0, 1);
        assert!(serde_json::from_str::<Opening>(&opening).is_ok());
        run.hear(0, "load-open", &opening);
        let mut tick: Tick = fixture::tick(0, 100);
        tick.lag_us = Distribution::of([(500_000, 600)]);
        tick.steps[0].classes[0].statuses = [(200, 600 - bad), (503, bad)].into();
        let text = String::new();
        let closing = Closing { share: Share::WHOLE, verdict: Verdict::Ended, text, at_us: None };
        tick.closing = Some(closing);
        run.hear(0, "load-tick", &serde_json::to_string(&tick).unwrap());
        run.report()
    }

    #[test]
    fn what_no_lag_explains_is_not_met_all_the_same() {
        for (bad, check, wanted) in [
            (100, "errors<1%", 1),
            (100, "errors.status<1", 1),
            (100, "status.5xx<1%", 1),
            (100, "status.200>=99%", 1),
            // Twenty of them are late.
            (0, "errors<1%", 3),
            (0, "timeouts<1", 3),
            (0, "p99<1ms", 3),
            (0, "status.200>=1000", 3),
            (0, "status.5xx<1", 3),
        ] {
            let report = lagging(bad);
            assert!(!report.judgement.is_valid, "{:?}", report.judgement);
            let outcome = check.parse::<Check>().unwrap().measure(&report);
            assert_eq!(code_of(&report, &[outcome]), ExitCode(wanted), "{bad} {check}");
        }
    }
}
