//! The knee: the load after which more users, or a higher rate, bring no more answers but only longer waiting.
//!
//! Seconds are sorted into bins of equal width by their height (users, or requests that were due), so that one bad second does
//! not make a knee. Over the medians of the bins' throughput a line with one bend is laid, that is: the bend is tried at every
//! bin and the best by least squares is taken. It is a knee when the bend is real (it explains much that a straight line does
//! not), when throughput grows after it by less than a third of what it grew by before, and when the response time grew: a
//! throughput that stops without longer waiting has another reason. A test whose first bin is saturated already has its knee
//! there, or below. A test of one height has none.

use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use crate::report::{Report, written};
use crate::second::Second;
use crate::words::whole;

/// Bins: enough to see a bend, few enough that a median of [`BIN_SECONDS`] is what it is in most seconds.
const BINS: std::ops::RangeInclusive<usize> = 8..=20;
const BIN_SECONDS: usize = 5;
/// With fewer filled bins nothing is said.
const BINS_MIN: usize = 5;
/// Growth of throughput after the bend, as a share of the growth before it, at most.
const FLAT: f64 = 1.0 / 3.0;
/// What is left of the squared error of one straight line, at most.
const BEND_ERROR: f64 = 0.5;
/// Growth of p95 from before the knee to the last bins, at least.
const SLOWER: f64 = 1.5;
/// Throughput that is within this share of the first bin's, over a height that grew [`SATURATED_HEIGHT`] times, never grew.
const SATURATED: f64 = 0.15;
const SATURATED_HEIGHT: f64 = 3.0;

/// Where more load brought no more answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// Users, or requests that were due in a second.
    pub height: f64,
    /// Answers per second there.
    pub hits_per_s: f64,
    /// p95 up to there.
    pub p95_us_before: u64,
    /// p95 at the greatest load.
    pub p95_us_after: u64,
    /// The first load was too much already: the knee is there or below.
    pub is_at_start: bool,
}

/// Seconds of about the same height.
pub(crate) struct Bin {
    pub(crate) height: f64,
    pub(crate) hits_per_s: f64,
    pub(crate) latency: Latency,
}

/// Looks for the knee over the seconds that count.
pub(crate) fn find(report: &Report) -> Option<Knee> {
    let bins = of_report(report);
    if bins.len() < BINS_MIN {
        return None;
    }
    let mut knee = at_start(&bins).or_else(|| bend(&bins))?;
    if report.is_open_model() {
        // More was due there than came: what was carried is the knee, not what was asked.
        knee.height = knee.height.min(knee.hits_per_s);
    }
    Some(knee)
}

/// The seconds that count, by their height; none where that is always about the same.
pub(crate) fn of_report(report: &Report) -> Vec<Bin> {
    // What ended in the first and the last second is not of a whole second.
    let mut seconds: Vec<&Second> = report.steady().collect();
    if seconds.len() > BINS_MIN + 2 {
        seconds.pop();
        seconds.remove(0);
    }
    let points: Vec<(f64, &Second)> =
        seconds.into_iter().map(|second| (height(report, second), second)).collect();
    bins(&points)
}

/// The load of a second: what was due in an open model, users in a closed one.
pub(crate) fn height(report: &Report, second: &Second) -> f64 {
    if report.is_open_model() { second.asked as f64 } else { second.users as f64 }
}

fn bins(points: &[(f64, &Second)]) -> Vec<Bin> {
    let least = points.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points.iter().map(|point| point.0).fold(0.0, f64::max);
    let count = (points.len() / BIN_SECONDS).clamp(*BINS.start(), *BINS.end());
    let width = (most - least) / count as f64;
    if width.is_nan() || width <= 0.0 || most < least * 1.2 {
        return Vec::new();
    }
    let mut sorted: Vec<Vec<&(f64, &Second)>> = (0..count).map(|_| Vec::new()).collect();
    for point in points {
        let place = usize::try_from(whole((point.0 - least) / width)).unwrap_or(0);
        sorted[place.min(count - 1)].push(point);
    }
    let filled = sorted.into_iter().filter(|bin| !bin.is_empty());
    filled
        .map(|bin| Bin {
            height: bin.iter().map(|point| point.0).sum::<f64>() / bin.len() as f64,
            hits_per_s: median(bin.iter().map(|point| point.1.tally.hits as f64).collect()),
            latency: Latency::sum(bin.iter().map(|point| &point.1.tally.response)),
        })
        .collect()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

fn p95(bins: &[Bin]) -> u64 {
    Latency::sum(bins.iter().map(|bin| &bin.latency)).p95_us()
}

/// p95 of the last quarter of the bins.
fn p95_at_end(bins: &[Bin]) -> u64 {
    p95(&bins[bins.len() - bins.len().div_ceil(4)..])
}

fn at_start(bins: &[Bin]) -> Option<Knee> {
    let (first, last) = (bins.first()?, bins.last()?);
    let is_flat = bins
        .iter()
        .all(|bin| (bin.hits_per_s - first.hits_per_s).abs() <= SATURATED * first.hits_per_s);
    let is_higher = last.height >= SATURATED_HEIGHT * first.height;
    let (before, after) = (p95(&bins[..1]), p95_at_end(bins));
    let is_slower = after as f64 >= SLOWER * before as f64;
    (is_flat && is_higher && is_slower && first.hits_per_s > 0.0).then_some(Knee {
        height: written(first.height),
        hits_per_s: written(first.hits_per_s),
        p95_us_before: before,
        p95_us_after: after,
        is_at_start: true,
    })
}

fn bend(bins: &[Bin]) -> Option<Knee> {
    let straight = Bend::fit(bins, None)?;
    let best = (1..bins.len() - 1)
        .filter_map(|place| Some((place, Bend::fit(bins, Some(bins[place].height))?)))
        .min_by(|a, b| a.1.error.total_cmp(&b.1.error));
    let (place, bend) = best?;
    let is_real = bend.error <= BEND_ERROR * straight.error && bend.before > 0.0;
    let (before, after) = (p95(&bins[..=place]), p95_at_end(bins));
    let is_slower = after as f64 >= SLOWER * before as f64;
    (is_real && bend.after <= FLAT * bend.before && is_slower).then_some(Knee {
        height: written(bins[place].height),
        hits_per_s: written(bins[place].hits_per_s),
        p95_us_before: before,
        p95_us_after: after,
        is_at_start: false,
    })
}

/// A line that bends at one height: `level + before * x`, and from the bend on with another slope.
struct Bend {
    before: f64,
    after: f64,
    /// Sum of the squares of what it leaves.
    error: f64,
}

impl Bend {
    /// Least squares over `1, x, max(x - at, 0)`, or over `1, x` alone.
    fn fit(bins: &[Bin], at: Option<f64>) -> Option<Self> {
        // Heights of 0 to 1 keep the equations well conditioned, and change no ratio of slopes.
        let scale = bins.last()?.height;
        let row = |bin: &Bin| {
            let bent = at.map_or(0.0, |at| ((bin.height - at) / scale).max(0.0));
            [1.0, bin.height / scale, bent]
        };
        let mut equations = [[0.0; 4]; 3];
        for bin in bins {
            let row = row(bin);
            for (equation, factor) in equations.iter_mut().zip(row) {
                for (value, other) in
                    equation.iter_mut().zip(row.into_iter().chain([bin.hits_per_s]))
                {
                    *value += factor * other;
                }
            }
        }
        if at.is_none() {
            equations[2] = [0.0, 0.0, 1.0, 0.0];
        }
        let [level, slope, change] = solve(equations)?;
        let left = |bin: &Bin| {
            let [one, x, bent] = row(bin);
            bin.hits_per_s - level * one - slope * x - change * bent
        };
        let error = bins.iter().map(|bin| left(bin).powi(2)).sum();
        Some(Self { before: slope, after: slope + change, error })
    }
}

/// Gauss's elimination with the greatest pivot.
fn solve(mut rows: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let pivot =
            (column..3).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let by = rows[column];
        if by[column].abs() < 1e-12 {
            return None;
        }
        for (place, row) in rows.iter_mut().enumerate() {
            if place != column {
                let factor = row[column] / by[column];
                row.iter_mut().zip(by).for_each(|(value, other)| *value -= factor * other);
            }
        }
    }
    Some([rows[0][3] / rows[0][0], rows[1][3] / rows[1][1], rows[2][3] / rows[2][2]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// Of a target that does `most` a second, under 1 to 200 users in 60 s who make 20 requests a second each.
    fn found(most: impl Fn(u32) -> f64, wait_us: impl Fn(u32, f64) -> f64) -> Option<Knee> {
        let mut run = fixture::opened(&fixture::users(1, 200, 60), &["local"]);
        for second in 0..60 {
            let users = (second + 1) * 200 / 60;
            let hits = (f64::from(users) * 20.0).min(most(second));
            run.hear(
                0,
                "load-tick",
                &serde_json::to_string(&fixture::tick(
                    second,
                    users,
                    whole(hits),
                    wait_us(users, hits),
                ))
                .unwrap(),
            );
        }
        run.report().knee
    }

    #[test]
    fn a_knee_is_where_more_users_bring_no_more_answers() {
        let by_little = |users: u32, hits: f64| f64::from(users) / hits * 1e6;
        let knee = found(|_| 2000.0, by_little).unwrap();
        assert!((85.0..115.0).contains(&knee.height) && !knee.is_at_start, "{knee:?}");
        assert!(knee.p95_us_after > knee.p95_us_before * 3 / 2, "{knee:?}");
        // Noise, and single seconds in which nothing comes.
        let noisy = |second: u32| {
            if second % 17 == 16 { 10.0 } else { 2000.0 + f64::from(second * 7919 % 200) }
        };
        let knee = found(noisy, by_little).unwrap();
        assert!((80.0..125.0).contains(&knee.height), "{knee:?}");
    }

    #[test]
    fn without_a_bend_there_is_none() {
        assert_eq!(found(|_| 1e9, |_, _| 50_000.0), None, "throughput grows to the end");
        assert_eq!(found(|_| 2000.0, |_, _| 50_000.0), None, "nobody waits longer");
        let steady = fixture::flat_out().report();
        assert_eq!(steady.knee, None, "one height");
        assert_eq!(crate::Run::new(Vec::new()).report().knee, None);
    }

    #[test]
    fn what_is_saturated_from_the_start_says_so() {
        let knee = found(|_| 19.0, |users, hits| f64::from(users) / hits * 1e6).unwrap();
        assert!(knee.is_at_start && knee.height < 15.0, "{knee:?}");
    }

    #[test]
    fn a_knee_of_a_rate_is_not_above_its_answers() {
        let mut run = fixture::opened(&fixture::rate(50, 3000, 60), &["local"]);
        for second in 0..60 {
            let asked = u64::from(second + 1) * 50;
            let hits = asked.min(1010);
            let mut tick = fixture::tick(second, 10, hits, 5000.0 * asked as f64 / hits as f64);
            tick.asked = asked;
            fixture::hear(&mut run, 0, &tick);
        }
        let report = run.report();
        let knee = report.knee.unwrap();
        assert!(knee.height <= knee.hits_per_s && knee.height > 900.0, "{knee:?}");
        let text = crate::highlights(&report);
        let rounded = |text: &str, after: &str| {
            let rest = text.split_once(after).unwrap().1;
            let digits: String =
                rest.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().unwrap()
        };
        let (at, hits) = (rounded(&text, "knee is at about "), rounded(&text, "answers grow to "));
        assert!(at <= hits, "{text}");
    }
}
