//! What chance alone can do to a quantile and to a count of errors.

use crate::latency::{Latency, rank};

/// Below this many expected ones the normal distribution is no good stand-in for the binomial one.
const EXACT_BELOW: f64 = 100.0;

/// Between which times a quantile lies, with an error of `alpha`, if answers were independent of each other: the ranks are those of
/// the binomial distribution, whatever the distribution of the times. Source: Hahn and Meeker, "Statistical Intervals", 5.2.
pub(crate) fn quantile_interval(latency: &Latency, quantile: f64, alpha: f64) -> (u64, u64) {
    let count = latency.count();
    if count == 0 {
        return (0, u64::MAX);
    }
    let spread = count as f64 * quantile * (1.0 - quantile);
    let (above_low, above_high) = if spread < EXACT_BELOW {
        binomial_interval(count, 1.0 - quantile, alpha)
    } else {
        let middle = count as f64 * (1.0 - quantile);
        let reach = normal_quantile(1.0 - alpha / 2.0) * spread.sqrt() + 0.5;
        ((middle - reach).max(0.0), middle + reach)
    };
    let low = crate::words::whole((count as f64 - above_high).floor());
    let high = crate::words::whole((count as f64 - above_low).ceil()) + 1;
    // Beyond the slowest one nothing is known.
    let high_us = if high > count { u64::MAX } else { latency.ranked_us(high) };
    let low_us = if low < 1 { 0 } else { latency.ranked_us(low.min(rank(quantile, count))) };
    (low_us, high_us)
}

/// The least range of counts of `count` draws with this chance that leaves at most `alpha / 2` on each side.
fn binomial_interval(count: u64, chance: f64, alpha: f64) -> (f64, f64) {
    let odds = chance / (1.0 - chance);
    let mut one = (count as f64 * (1.0 - chance).ln()).exp();
    let mut below = 0.0;
    let (mut low, mut k) = (None, 0u64);
    loop {
        below += one;
        if low.is_none() && below > alpha / 2.0 {
            low = Some(k as f64);
        }
        if below >= 1.0 - alpha / 2.0 || k >= count {
            return (low.unwrap_or(0.0), k as f64);
        }
        one *= (count - k) as f64 / (k + 1) as f64 * odds;
        k += 1;
    }
}

/// How likely two rates that differ so much, or more, are when nothing differs: of `a` in `of_a` and `b` in `of_b`. Few are compared
/// exactly (of so many errors, how many would fall on one side), many by the normal distribution (the pooled two-proportion
/// test). Source: Fleiss, "Statistical Methods for Rates and Proportions", chapter 3.
pub(crate) fn rates_differ_by_chance(a: u64, of_a: u64, b: u64, of_b: u64) -> f64 {
    const EXACT_MAX: u64 = 1000;
    let (both, of_both) = (a + b, of_a + of_b);
    if both == 0 || of_a == 0 || of_b == 0 {
        return 1.0;
    }
    let share = of_a as f64 / of_both as f64;
    if both <= EXACT_MAX && (both as f64) < 0.1 * of_both as f64 {
        let log_chance = |k: u64| {
            let choose = log_factorial(both) - log_factorial(k) - log_factorial(both - k);
            choose + k as f64 * share.ln() + (both - k) as f64 * (1.0 - share).ln()
        };
        let found = log_chance(a) + 1e-7;
        return (0..=both)
            .map(log_chance)
            .filter(|one| *one <= found)
            .map(f64::exp)
            .sum::<f64>()
            .min(1.0);
    }
    let pooled = both as f64 / of_both as f64;
    let error = (pooled * (1.0 - pooled) * (1.0 / of_a as f64 + 1.0 / of_b as f64)).sqrt();
    if error <= 0.0 {
        return 1.0;
    }
    let z = (a as f64 / of_a as f64 - b as f64 / of_b as f64).abs() / error;
    2.0 * (1.0 - normal(z))
}

fn log_factorial(number: u64) -> f64 {
    (2..=number).map(|factor| (factor as f64).ln()).sum()
}

/// The normal distribution up to `z`. Source: Abramowitz and Stegun, 26.2.17; exact to 7.5e-8.
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let factors = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let polynomial = factors.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if z >= 0.0 { 1.0 - tail } else { tail }
}

/// Where the normal distribution has so much below it: by halving.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal(middle) < share { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use blitz_contract::load::Distribution;

    #[test]
    fn intervals_of_quantiles_are_those_of_the_tables() {
        let times = |count: u64| Latency::from(Distribution::of((1..=count).map(|n| (n, 1))));
        // Order statistics for the median of 100 at 95 %: 40 and 61. Of 20: 6 and 15.
        assert_eq!(quantile_interval(&times(100), 0.5, 0.05), (40, 61));
        assert_eq!(quantile_interval(&times(20), 0.5, 0.05), (6, 15));
        // p99 of 100 has nothing above it.
        assert_eq!(quantile_interval(&times(100), 0.99, 0.05).1, u64::MAX);
        let (low, high) = quantile_interval(&times(2000), 0.5, 0.01);
        assert!((940..945).contains(&low) && (1056..1062).contains(&high), "{low} {high}");
        assert_eq!(quantile_interval(&times(0), 0.5, 0.01), (0, u64::MAX));
    }

    #[test]
    fn rates_are_told_apart() {
        for (a, of_a, b, of_b, least, most) in [
            (0, 1000, 0, 1000, 1.0, 1.0),
            (5, 1000, 5, 1000, 0.99, 1.0),
            // Binomial test, 1 of 10 with a half: 0.0215.
            (1, 1000, 9, 1000, 0.021, 0.022),
            (0, 100, 20, 100, 0.0, 1e-5),
            // z = 2.24, p = 0.025.
            (400, 2000, 458, 2000, 0.02, 0.03),
            (3, 0, 0, 10, 1.0, 1.0),
        ] {
            let chance = rates_differ_by_chance(a, of_a, b, of_b);
            assert!((least..=most).contains(&chance), "{a}/{of_a} {b}/{of_b}: {chance}");
        }
        assert!((normal(1.959_964) - 0.975).abs() < 1e-6);
        assert!((normal_quantile(0.995) - 2.575_829).abs() < 1e-4);
    }
}
