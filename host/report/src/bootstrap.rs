//! How much the figures of one test would vary if it were made again: a bootstrap whose unit is a second.
//!
//! Requests of one second are not independent: they wait in the same queue and behind the same pause. So not requests are drawn
//! but seconds, whole, with replacement. Seconds of a ramp are no equals either: a second is replaced by one of about the same
//! load (the bins of the knee), so that the drawn tests have the shape of the plan. Of a long test several seconds that follow each
//! other make one block, which also takes in that neighbours are alike. What this cannot see is what differs from one run to the
//! next but not within one: another machine, another deployment, another hour.
//! Source: Davison and Hinkley, "Bootstrap Methods and their Application", 2.4 and 8.2 (strata and blocks).

use crate::knee;
use crate::random::Random;
use crate::report::Report;
use crate::second::Second;
use crate::words::whole;

/// Tests that are drawn: the outer half percents are five of them on each side.
pub(crate) const DRAWN: usize = 1000;
/// Blocks of a test; beyond this, a block has several seconds.
const BLOCKS_MAX: usize = 240;
/// Heights that differ by less than this factor are one.
const SAME_HEIGHT: f64 = 1.2;
/// Strata of a ramp.
const STRATA: usize = 10;

/// The figures of a drawn test.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drawn {
    /// p50, p95, p99, in microseconds.
    pub(crate) quantiles_us: [f64; 3],
    pub(crate) error_rate: f64,
    pub(crate) hits_per_s: f64,
}

struct Block {
    /// Places in the sorted values that occur, with their counts.
    times: Vec<(usize, u64)>,
    hits: u64,
    errors: u64,
    ended: u64,
    seconds: usize,
}

/// Draws tests like this one.
pub(crate) fn draw(report: &Report, seed: u64) -> Vec<Drawn> {
    let seconds: Vec<&Second> = report.steady().collect();
    if seconds.is_empty() {
        return Vec::new();
    }
    let mut values: Vec<u64> = seconds
        .iter()
        .flat_map(|second| second.tally.response.distribution().counts().map(|(value, _)| value))
        .collect();
    values.sort_unstable();
    values.dedup();
    let width = seconds.len().div_ceil(BLOCKS_MAX);
    let strata = strata(report, &seconds, width);
    let strata: Vec<Vec<Block>> = strata
        .into_iter()
        .map(|stratum| stratum.into_iter().map(|seconds| block(&seconds, &values)).collect())
        .collect();
    let mut random = Random::new(seed);
    let mut dense = vec![0u64; values.len()];
    (0..DRAWN).map(|_| one(&strata, &values, &mut dense, &mut random)).collect()
}

/// Blocks, by their height.
fn strata<'a>(report: &Report, seconds: &[&'a Second], width: usize) -> Vec<Vec<Vec<&'a Second>>> {
    let height = |block: &[&Second]| {
        block.iter().map(|second| knee::height(report, second)).sum::<f64>() / block.len() as f64
    };
    let blocks: Vec<Vec<&Second>> = seconds.chunks(width).map(<[_]>::to_vec).collect();
    let heights = || blocks.iter().map(|block| height(block));
    let (least, most) = (heights().fold(f64::INFINITY, f64::min), heights().fold(0.0, f64::max));
    if most <= least * SAME_HEIGHT {
        return vec![blocks];
    }
    let mut strata: Vec<Vec<Vec<&Second>>> = (0..STRATA).map(|_| Vec::new()).collect();
    for block in blocks {
        let place = (height(&block) - least) / (most - least) * STRATA as f64;
        strata[usize::try_from(whole(place)).unwrap_or(0).min(STRATA - 1)].push(block);
    }
    strata.retain(|stratum| !stratum.is_empty());
    strata
}

fn block(seconds: &[&Second], values: &[u64]) -> Block {
    let latency = crate::latency::Latency::sum(seconds.iter().map(|second| &second.tally.response));
    let place = |value: u64| values.partition_point(|own| *own < value);
    let sum = |of: fn(&Second) -> u64| seconds.iter().map(|second| of(second)).sum();
    Block {
        times: latency
            .distribution()
            .counts()
            .map(|(value, count)| (place(value), count))
            .collect(),
        hits: sum(|second| second.tally.hits),
        errors: sum(|second| second.tally.errors.total),
        ended: sum(|second| second.tally.ended()),
        seconds: seconds.len(),
    }
}

fn one(strata: &[Vec<Block>], values: &[u64], dense: &mut [u64], random: &mut Random) -> Drawn {
    dense.fill(0);
    let (mut hits, mut errors, mut ended, mut seconds) = (0u64, 0u64, 0u64, 0usize);
    for stratum in strata {
        for _ in 0..stratum.len() {
            let block = &stratum[random.below(stratum.len())];
            for (place, count) in &block.times {
                dense[*place] += count;
            }
            hits += block.hits;
            errors += block.errors;
            ended += block.ended;
            seconds += block.seconds;
        }
    }
    let count: u64 = dense.iter().sum();
    let mut quantiles_us = [0.0; 3];
    let (mut below, mut next) = (0u64, 0);
    let ranks = [0.5, 0.95, 0.99].map(|quantile| crate::latency::rank(quantile, count));
    for (value, count) in values.iter().zip(dense.iter()) {
        below += count;
        while next < ranks.len() && below >= ranks[next] {
            quantiles_us[next] = crate::pile::highest(*value) as f64;
            next += 1;
        }
    }
    Drawn {
        quantiles_us,
        error_rate: (errors as f64 / ended.max(1) as f64).min(1.0),
        hits_per_s: hits as f64 / seconds.max(1) as f64,
    }
}
