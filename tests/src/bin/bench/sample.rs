//! Samples of a duration, and how they are printed.

use std::io::Write as _;
use std::time::Duration;

/// Durations of the same thing, measured again and again.
#[derive(Debug, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The smallest duration that `percent` of 100 do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    }

    /// Prints one row: name, count, p50, p90 and the largest, in milliseconds.
    pub(crate) fn print(&self, name: &str, limit: &str) {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        say(&format!(
            "{name:<52} {:>4} {:>8.2} {:>8.2} {:>8.2}   {limit}",
            self.0.len(),
            ms(50),
            ms(90),
            ms(100)
        ));
    }
}

/// Prints the heads of the columns.
pub(crate) fn print_heads() {
    say(&format!(
        "{:<52} {:>4} {:>8} {:>8} {:>8}   aim",
        "wall time in ms", "n", "p50", "p90", "max"
    ));
}

/// Prints a line. A closed pipe is a quiet end.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
