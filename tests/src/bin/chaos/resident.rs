//! What a process holds over time: resident memory and open descriptors, and whether they grow.

use std::path::PathBuf;
use std::time::Duration;

use crate::table::say;

/// Over the later half, along the line that fits best, resident memory may grow by this many KiB: an allocator
/// that returns pages late and a cache that is still being filled stay below, a leak of 100 bytes a job does not.
const MEMORY_GROWTH_MAX_KIB: f64 = 2048.0;

/// As [`MEMORY_GROWTH_MAX_KIB`], in descriptors: connections of a pool that come and go.
const DESCRIPTORS_GROWTH_MAX: f64 = 4.0;

/// One process.
#[derive(Debug)]
pub(crate) struct Growth {
    name: String,
    process: PathBuf,
    memory_kib: Vec<(f64, f64)>,
    descriptors: Vec<(f64, f64)>,
}

impl Growth {
    pub(crate) fn new(name: &str, pid: u32) -> Self {
        let process = PathBuf::from(format!("/proc/{pid}"));
        Self { name: name.to_owned(), process, memory_kib: Vec::new(), descriptors: Vec::new() }
    }

    pub(crate) fn sample(&mut self, at: Duration) {
        let at = at.as_secs_f64();
        let status = std::fs::read_to_string(self.process.join("status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|r| r.trim().trim_end_matches("kB").trim().parse().ok());
        self.memory_kib.extend(resident.map(|kib| (at, kib)));
        if let Ok(open) = std::fs::read_dir(self.process.join("fd")) {
            self.descriptors.push((at, open.count() as f64));
        }
    }

    pub(crate) fn print_heads() {
        say(&format!(
            "{:<14} {:>8} {:>8} {:>9} {:>8} | {:>6} {:>6} {:>7} {:>6}",
            "", "first", "last", "a hour", "grown", "first", "last", "a hour", "grown"
        ));
        say(&format!(
            "{:<14} {:>36} | {:>28}",
            "", "resident memory, KiB (quarters; slope)", "descriptors"
        ));
    }

    /// Prints its row; false when it grew beyond the allowance, or was not there.
    pub(crate) fn print(&self) -> bool {
        let memory = Line::of(&self.memory_kib);
        let descriptors = Line::of(&self.descriptors);
        let fits = memory.grown <= MEMORY_GROWTH_MAX_KIB
            && descriptors.grown <= DESCRIPTORS_GROWTH_MAX
            && !self.memory_kib.is_empty();
        say(&format!(
            "{:<14} {:>8.0} {:>8.0} {:>9.0} {:>8.0} | {:>6.1} {:>6.1} {:>7.1} {:>6.1}{}",
            self.name,
            memory.first,
            memory.last,
            memory.per_hour,
            memory.grown,
            descriptors.first,
            descriptors.last,
            descriptors.per_hour,
            descriptors.grown,
            if fits { "" } else { "   GROWS" }
        ));
        fits
    }
}

/// Means of the first and last quarter, and the line through the later half.
struct Line {
    first: f64,
    last: f64,
    per_hour: f64,
    /// Over the later half.
    grown: f64,
}

impl Line {
    fn of(samples: &[(f64, f64)]) -> Self {
        let quarter = (samples.len() / 4).max(1).min(samples.len());
        let mean = |samples: &[(f64, f64)]| {
            samples.iter().map(|(_, value)| value).sum::<f64>() / samples.len().max(1) as f64
        };
        let later = &samples[samples.len() / 2..];
        let middle = later.iter().map(|(at, _)| at).sum::<f64>() / later.len().max(1) as f64;
        let average = mean(later);
        let above: f64 = later.iter().map(|(at, value)| (at - middle) * (value - average)).sum();
        let below: f64 = later.iter().map(|(at, _)| (at - middle).powi(2)).sum();
        let slope = if below > 0.0 { above / below } else { 0.0 };
        let lasted = match (later.first(), later.last()) {
            (Some((from, _)), Some((to, _))) => to - from,
            _ => 0.0,
        };
        Self {
            first: mean(&samples[..quarter]),
            last: mean(&samples[samples.len() - quarter..]),
            per_hour: slope * 3600.0,
            grown: slope * lasted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(value: impl Fn(f64) -> f64) -> f64 {
        let samples: Vec<_> =
            (0..100).map(|n| f64::from(n) * 10.0).map(|at| (at, value(at))).collect();
        Line::of(&samples).grown
    }

    #[test]
    fn what_grows_at_the_start_alone_does_not_count() {
        assert!(grown(|at| 1000.0 + at.min(400.0)).abs() < 1.0);
        assert!((grown(|at| 1000.0 + at) - 490.0).abs() < 1.0);
        assert!(grown(|at| 1000.0 + if (at / 10.0) % 2.0 > 0.5 { 5.0 } else { 0.0 }).abs() < 1.0);
        assert!(Line::of(&[]).grown.abs() < 1.0);
    }
}
