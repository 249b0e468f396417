//! The time by which rates are reckoned: from where a test begins to count to where nothing more was sent.

use crate::report::{Report, written};
use crate::run::Run;
use crate::second::Second;

/// What three places behind the point can say at the least: nothing was done in no time.
const LEAST_S: f64 = 0.001;

/// From the end of the warm-up, or the first second that counts, to when the last part had nothing more to send. One that did not say it
/// counts to the end of the last second that it told, or to the plan's end.
pub(crate) fn measured_s(run: &Run) -> f64 {
    let mut counted =
        run.rows.iter().filter(|(_, row)| row.is_counted()).map(|(second, _)| *second);
    let Some(first) = counted.next() else { return 0.0 };
    let last = counted.next_back().unwrap_or(first);
    let ends =
        run.parts.iter().filter(|part| part.told.is_some()).map(crate::part::OpenPart::end_s);
    let plan = run.plan.as_ref();
    let warm_up = plan.map_or(0.0, |plan| plan.warm_up_ms as f64 / 1000.0);
    let end = plan.map_or(f64::INFINITY, |plan| plan.shape.duration().as_secs_f64());
    let from = f64::from(first).max(warm_up);
    let told = (f64::from(last) + 1.0).min(end);
    let to = ends.map(|at| at.unwrap_or(told)).reduce(f64::max).unwrap_or(told);
    if to > from { written(to - from).max(LEAST_S) } else { f64::from(last + 1 - first) }
}

impl Report {
    /// How much of a second is in [`Self::measured_s`], 0 to 1: the test may begin to count, and end, within one.
    pub(crate) fn part_of(&self, second: &Second) -> f64 {
        let warm_up = self.plan.as_ref().map_or(0.0, |plan| plan.warm_up_ms as f64 / 1000.0);
        let first = self.counted().next().map_or(0.0, |first| f64::from(first.second));
        let from = first.max(warm_up);
        let (begin, end) = (f64::from(second.second), f64::from(second.second) + 1.0);
        (end.min(from + self.measured_s) - begin.max(from)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use blitz_contract::load::{Closing, Share, Tick, Verdict};

    fn closed_at(second: u32, at_us: Option<u64>, rate: u32) -> Report {
        let mut run = fixture::opened(&fixture::rate(rate, rate, 60), &["local"]);
        for second in 0..second {
            fixture::hear(&mut run, 0, &fixture::tick(second, 1, 100, 900.0));
        }
        let closing =
            Closing { share: Share::WHOLE, verdict: Verdict::Ended, text: String::new(), at_us };
        let last = Tick { closing: Some(closing), ..fixture::tick(second, 1, 50, 900.0) };
        fixture::hear(&mut run, 0, &last);
        run.report()
    }

    #[test]
    fn a_rate_is_by_the_time_in_which_something_was_sent() {
        for (second, at_us, measured_s, sent_per_s) in [
            (1, Some(1_500_000), 1.5, 100.0),
            (0, Some(250_000), 0.25, 200.0),
            (1, None, 2.0, 75.0),
            // Sent behind the end of the plan.
            (60, Some(60_500_000), 60.5, 100.0),
            (1, Some(u64::MAX >> 1), 2.0, 75.0),
        ] {
            let report = closed_at(second, at_us, 100);
            let found = (report.measured_s, report.total.sent_per_s);
            assert_eq!(found, (measured_s, sent_per_s), "{second} {at_us:?}");
        }
        // The half second at its end is no window of a second, and is half of one in the rest.
        let report = closed_at(1, Some(1_500_000), 100);
        for check in ["rate>=100/s", "rate>=100/s over 1s", "rate>=100/s after 1s"] {
            let outcome = check.parse::<crate::Check>().unwrap().measure(&report);
            assert!(outcome.holds, "{}", outcome.text);
        }
    }
}
