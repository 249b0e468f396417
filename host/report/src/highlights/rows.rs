//! A line for each region, and for each step of the transaction.

use crate::report::{RegionFigures, Report, StepTally};
use crate::tally::Tally;
use crate::words::{micros, percent, plain, several};

pub(super) fn regions(report: &Report) -> Vec<String> {
    if report.regions.len() < 2 {
        return Vec::new();
    }
    let line = |region: &RegionFigures| {
        let tally = &region.figures.tally;
        if tally.hits == 0 {
            return format!(
                "{}: no answer, {}.",
                plain(&region.region),
                several(region.engines.into(), "engine")
            );
        }
        format!(
            "{}: {}, {} ({} of its requests), {}.",
            plain(&region.region),
            times(tally),
            several(tally.errors.total, "error"),
            percent(tally.error_rate()),
            several(region.engines.into(), "engine"),
        )
    };
    let mut all: Vec<String> = report.regions.iter().map(line).collect();
    let skew = micros(report.skew_ms * 1000);
    all.push(format!("By their clocks the engines started within {skew}."));
    all
}

pub(super) fn steps(report: &Report) -> Vec<String> {
    let Some(plan) = report.plan.as_ref().filter(|plan| plan.steps.len() > 1) else {
        return Vec::new();
    };
    let steps = plan.steps.iter().zip(0u32..);
    steps
        .map(|(step, number)| {
            let name =
                format!("Step {} ({} {})", number + 1, plain(&step.method), plain(&step.url));
            match report.steps.iter().find(|own| own.step == number) {
                None => format!("{name}: nothing came to an end."),
                Some(StepTally { tally, .. }) => {
                    format!("{name}: {}, {}.", times(tally), several(tally.errors.total, "error"))
                }
            }
        })
        .collect()
}

/// `12 hits, p50 1 ms, p95 2 ms, p99 3 ms`, and no times where there are none.
fn times(tally: &Tally) -> String {
    let hits = several(tally.hits, "hit");
    match tally.response.is_empty() {
        true => hits,
        false => format!(
            "{hits}, p50 {}, p95 {}, p99 {}",
            micros(tally.response.p50_us()),
            micros(tally.response.p95_us()),
            micros(tally.response.p99_us()),
        ),
    }
}
