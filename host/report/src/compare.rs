//! Two reports side by side, and whether they differ by more than chance.
//!
//! A difference counts as real when all of these agree:
//! - for a percentile, the exact intervals of the two (from the binomial distribution of ranks) do not overlap; for the share of
//!   errors, the test of two proportions says so;
//! - of tests drawn from the seconds of both (see `bootstrap.rs`), 99 of 100 differ in the same direction;
//! - it is of 1% or more, since less is of no use to anybody, and a histogram is exact to 0.1%.
//!
//! 99% and not 95%, because five figures are compared: one of twenty comparisons would find something else where nothing is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{self, Drawn};
use crate::report::Report;
use crate::statistics::{quantile_interval, rates_differ_by_chance};
use crate::words::{micros, number, percent, plain, several, whole};

/// Error that is left to chance.
const ALPHA: f64 = 0.01;
/// Differences below this are none.
const RELEVANT: f64 = 0.01;
/// Seconds that a test needs to know its own variation.
const SECONDS_MIN: usize = 10;
/// Any numbers: they are fixed, so that a comparison can be repeated.
const SEEDS: [u64; 2] = [0x626c_6974_7a01, 0x626c_6974_7a02];

/// One report against another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// All figures, in the order in which they are shown.
    pub figures: Vec<Figure>,
    /// Why it is not to be trusted, or only with care.
    pub reservations: Vec<String>,
    /// At least one figure can be judged.
    pub is_decided: bool,
    /// Some real difference is to the worse.
    pub is_worse: bool,
    /// Some real difference is to the better.
    pub is_better: bool,
}

/// One figure of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// `p95`.
    pub name: String,
    /// As it is written, with its unit.
    pub before: String,
    /// As it is written, with its unit.
    pub after: String,
    /// How much greater the second one is: of the first one, or, of a share, in itself.
    pub change: f64,
    /// Where `change` lies in 99 of 100 drawn tests; none where it was not reckoned: then nothing is known of chance.
    pub interval: Option<(f64, f64)>,
    /// It is no chance.
    pub is_real: bool,
    /// Greater values are the worse ones.
    pub is_bad_when_greater: bool,
    /// `change` is in itself and not of the first one.
    pub is_share: bool,
}

impl Figure {
    /// It is real, and to the worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.is_real && (self.change > 0.0) == self.is_bad_when_greater
    }

    fn change_text(&self, change: f64) -> String {
        let unit = if self.is_share { " points" } else { "%" };
        if change.is_infinite() {
            return "from nothing".to_owned();
        }
        let sign = if change < 0.0 { "-" } else { "+" };
        format!("{sign}{}{unit}", number(change.abs() * 100.0))
    }
}

/// Compares a test with one before it.
#[must_use]
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let reservations = reservations(before, after);
    let is_long = [before, after].iter().all(|report| report.steady().count() >= SECONDS_MIN);
    let is_decided = is_long && before.judgement.is_valid && after.judgement.is_valid;
    let drawn: Vec<(Drawn, Drawn)> = if is_long {
        bootstrap::draw(before, SEEDS[0])
            .into_iter()
            .zip(bootstrap::draw(after, SEEDS[1]))
            .collect()
    } else {
        Vec::new()
    };
    let mut figures: Vec<Figure> = Vec::new();
    for (place, (name, quantile)) in
        [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)].into_iter().enumerate()
    {
        let of = |report: &Report| report.total.tally.response.quantile_us(quantile);
        let interval =
            |report: &Report| quantile_interval(&report.total.tally.response, quantile, ALPHA);
        let ((low_a, high_a), (low_b, high_b)) = (interval(before), interval(after));
        let is_apart = high_a < low_b || high_b < low_a;
        let values = (of(before) as f64, of(after) as f64);
        let draw = |one: &Drawn| one.quantiles_us[place];
        figures.push(figure(name, values, &drawn, draw, is_apart, |value| micros(whole(value))));
    }
    figures.push(errors(before, after, &drawn));
    let per_s =
        |report: &Report| crate::report::per_second(report.total.tally.hits, report.measured_s);
    let values = (per_s(before), per_s(after));
    let mut rate = figure(
        "answers",
        values,
        &drawn,
        |one| one.hits_per_s,
        true,
        |v| format!("{}/s", number(v)),
    );
    rate.is_bad_when_greater = false;
    figures.push(rate);
    // What nobody can decide is not real, whatever the numbers are.
    figures.iter_mut().for_each(|figure| figure.is_real &= is_decided);
    Comparison {
        is_decided,
        is_worse: is_decided && figures.iter().any(Figure::is_worse),
        is_better: is_decided && figures.iter().any(|figure| figure.is_real && !figure.is_worse()),
        figures,
        reservations,
    }
}

/// `is_apart` is what the other test than the bootstrap says.
fn figure(
    name: &str,
    (before, after): (f64, f64),
    drawn: &[(Drawn, Drawn)],
    of: impl Fn(&Drawn) -> f64,
    is_apart: bool,
    written: impl Fn(f64) -> String,
) -> Figure {
    let change = |before: f64, after: f64| match (before, after) {
        (before, after) if before > 0.0 => after / before - 1.0,
        (_, after) if after > 0.0 => f64::INFINITY,
        _ => 0.0,
    };
    let interval = interval(drawn.iter().map(|(a, b)| change(of(a), of(b))).collect());
    let change = change(before, after);
    let is_outside = interval.is_some_and(|(low, high)| low > 0.0 || high < 0.0);
    Figure {
        name: name.to_owned(),
        before: written(before),
        after: written(after),
        change,
        interval,
        is_real: is_apart && is_outside && change.abs() >= RELEVANT,
        is_bad_when_greater: true,
        is_share: false,
    }
}

/// The share of errors: a difference of shares, since there may have been none before.
fn errors(before: &Report, after: &Report, drawn: &[(Drawn, Drawn)]) -> Figure {
    let (a, b) = (&before.total.tally, &after.total.tally);
    let chance = rates_differ_by_chance(a.errors.total, a.ended(), b.errors.total, b.ended());
    let change = b.error_rate() - a.error_rate();
    let interval = interval(drawn.iter().map(|(a, b)| b.error_rate - a.error_rate).collect());
    let is_outside = interval.is_some_and(|(low, high)| low > 0.0 || high < 0.0);
    // A hundredth of what there was, as for the others; from none to some is always relevant.
    let is_relevant = change.abs() >= RELEVANT * a.error_rate();
    Figure {
        name: "errors".to_owned(),
        before: percent(a.error_rate()),
        after: percent(b.error_rate()),
        change,
        interval,
        is_real: chance < ALPHA && is_outside && is_relevant,
        is_bad_when_greater: true,
        is_share: true,
    }
}

/// All but half of `ALPHA` on each side.
fn interval(mut all: Vec<f64>) -> Option<(f64, f64)> {
    all.retain(|value| !value.is_nan());
    all.sort_by(f64::total_cmp);
    let outside = usize::try_from(whole(all.len() as f64 * ALPHA / 2.0)).unwrap_or(0);
    Some((*all.get(outside)?, *all.get(all.len() - 1 - outside)?))
}

fn reservations(before: &Report, after: &Report) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (name, report) in [("first", before), ("second", after)] {
        if let Some(finding) = report.judgement.findings.iter().find(|f| f.is_invalidating) {
            found.push(format!(
                "the {name} test is invalid, and says nothing about its target: {}",
                plain(&finding.text)
            ));
        }
        if report.judgement.is_partial {
            found.push(format!("of the {name} test a part is missing"));
        }
        let seconds = report.steady().count();
        if seconds < SECONDS_MIN {
            found.push(format!(
                "the {name} test has {} that {}, and it takes {SECONDS_MIN} to know chance",
                several(seconds as u64, "second"),
                if seconds == 1 { "counts" } else { "count" }
            ));
        }
        if report.total.tally.timeouts() > 0 {
            found.push(format!("the {name} test has time-outs, which are in no percentile"));
        }
    }
    match (&before.plan, &after.plan) {
        (Some(a), Some(b)) if a.shape != b.shape => {
            found.push("the tests had different loads".to_owned());
        }
        (Some(a), Some(b)) if a.steps != b.steps => {
            found.push("the tests made different requests".to_owned());
        }
        (Some(a), Some(b)) if a != b => found.push("the plans of the tests differ".to_owned()),
        (Some(_), Some(_)) => {}
        _ => found.push("a test without a plan never began".to_owned()),
    }
    let regions =
        |report: &Report| report.regions.iter().map(|r| r.region.clone()).collect::<Vec<_>>();
    if regions(before) != regions(after) {
        found.push("the tests came from different regions".to_owned());
    }
    found
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<9}{:>12}{:>12}{:>14}  in 99 of 100", "", "before", "after", "change")?;
        for figure in &self.figures {
            let interval = figure.interval.map_or_else(String::new, |(low, high)| {
                format!("{} to {}", figure.change_text(low), figure.change_text(high))
            });
            let is_tested = self.is_decided && figure.interval.is_some();
            let interval = if is_tested { interval } else { "-".to_owned() };
            let meaning = match (figure.is_real, figure.is_worse()) {
                _ if !is_tested => "-",
                (false, _) => "may be chance",
                (true, true) => "real, worse",
                (true, false) => "real, better",
            };
            let change = figure.change_text(figure.change);
            writeln!(
                f,
                "{:<9}{:>12}{:>12}{change:>14}  {interval:<30}  {meaning}",
                figure.name, figure.before, figure.after,
            )?;
        }
        for reservation in &self.reservations {
            writeln!(f, "Note: {reservation}.")?;
        }
        let verdict = match (self.is_decided, self.is_worse, self.is_better) {
            (false, ..) => "Nothing can be said about the difference.",
            (true, false, false) => "No difference is more than chance.",
            (true, true, false) => "The second test is worse.",
            (true, false, true) => "The second test is better.",
            (true, true, true) => "The second test is better in some figures, and worse in others.",
        };
        f.write_str(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// 100 users for 30 s; seconds vary by `noise`, and every time is multiplied by `factor`.
    fn steady(factor: f64, noise: f64, errors: u64, seed: u64) -> Report {
        let mut run = fixture::opened(&fixture::users(100, 100, 30), &["local"]);
        let mut random = crate::random::Random::new(seed);
        for second in 0..30 {
            let wave = 1.0 + noise * (random.below(1000) as f64 / 500.0 - 1.0);
            let mut tick = fixture::tick(second, 100, 100, 10_000.0 * factor * wave);
            let some = errors + random.below(2) as u64 * errors;
            tick.steps[0].errors.insert(blitz_contract::load::ErrorKind::Closed, some);
            fixture::hear(&mut run, 0, &tick);
        }
        fixture::close(&mut run, 0, 30, blitz_contract::load::Verdict::Ended, "");
        run.report()
    }

    #[test]
    fn what_is_slower_is_told_from_chance() {
        let text = |a: &Report, b: &Report| compare(a, b).to_string();
        insta::assert_snapshot!(text(&steady(1.0, 0.2, 0, 1), &steady(1.3, 0.2, 2, 2)));
        insta::assert_snapshot!(text(&steady(1.0, 0.5, 1, 1), &steady(1.0, 0.5, 1, 2)));
        let same = steady(1.0, 0.2, 1, 3);
        let none = compare(&same, &same);
        assert!(none.is_decided && !none.is_worse && !none.is_better, "{none}");
        let better = compare(&steady(1.3, 0.1, 0, 1), &steady(1.0, 0.1, 0, 2));
        assert!(better.is_better && !better.is_worse, "{better}");
    }

    /// Seconds that differ much have few independent values in them, however many requests there were.
    #[test]
    fn noise_is_hardly_ever_called_real() {
        let wrong = (0..10u64)
            .filter(|round| {
                let comparison =
                    compare(&steady(1.0, 0.5, 1, 100 + round), &steady(1.0, 0.5, 1, 200 + round));
                comparison.is_worse || comparison.is_better
            })
            .count();
        assert!(wrong <= 1, "{wrong} of 10");
    }

    #[test]
    fn an_invalid_test_decides_nothing() {
        let comparison = compare(&steady(1.0, 0.1, 0, 1), &fixture::flat_out().report());
        assert!(!comparison.is_decided && !comparison.is_worse);
        insta::assert_snapshot!(comparison.to_string());
        assert!(comparison.figures.iter().all(|figure| !figure.is_real), "{comparison}");
        let none = crate::Run::new(Vec::new()).report();
        assert!(!compare(&none, &none).is_decided);
        let mut short = fixture::opened(&fixture::users(10, 10, 1), &["local"]);
        fixture::hear(&mut short, 0, &fixture::tick(0, 10, 100, 900.0));
        insta::assert_snapshot!(compare(&steady(1.0, 0.1, 0, 1), &short.report()).to_string());
    }

    #[test]
    fn two_ramps_are_compared_at_equal_load() {
        let report = fixture::ramp().report();
        let comparison = compare(&report, &report);
        assert!(!comparison.is_worse && !comparison.is_better, "{comparison}");
        let (low, high) = comparison.figures[1].interval.unwrap();
        assert!(low > -0.1 && high < 0.1, "the drawn ramps are ramps: {comparison}");
    }
}
