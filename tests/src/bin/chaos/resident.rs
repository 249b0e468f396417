//! What a process holds over time: memory of its own and open descriptors, and whether they grow.
//!
//! Its own memory is what it has allocated and touched (`RssAnon`). The pages of its program, which the system maps in
//! and drops as it likes, are not counted.

use std::path::PathBuf;
use std::time::Duration;

use crate::table::say;

/// A slope of memory that is none, in KiB over the later half: less than a pointer, 8 bytes, for each of 25,000 jobs
/// (195 KiB), or one allocation of 80 bytes for each of the 2,500 that one of ten engines runs then. Heaps that have seen
/// their busiest moment still grow by up to 160 on a machine whose other work comes and goes.
const MEMORY_NOISE_KIB: f64 = 192.0;

/// The same for descriptors: one kept for each 6,000 jobs is more.
const DESCRIPTORS_NOISE: f64 = 4.0;

/// Of the descriptors of so much time the fewest count, in seconds: connections of a pool come and go with what else the
/// machine does (a slope of 6 was seen), and what is kept for good is there in every moment.
const DESCRIPTORS_WINDOW_S: f64 = 60.0;

/// What the last quarter may have more than the third, in KiB, where there is no slope: a machine that has more to do
/// than before lets more jobs wait for each other, a hundred connections of 20 KiB for a gateway, and the heap keeps that.
const MEMORY_STEP_MAX_KIB: f64 = 2048.0;

/// The same for descriptors: such connections stay open for some time.
const DESCRIPTORS_STEP_MAX: f64 = 100.0;

/// Samples whose pairs are compared: of more only some are.
const COMPARED_MAX: usize = 500;

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
        let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let own = own.and_then(|own| own.trim().trim_end_matches("kB").trim().parse().ok());
        self.memory_kib.extend(own.map(|kib| (at, kib)));
        if let Ok(open) = std::fs::read_dir(self.process.join("fd")) {
            self.descriptors.push((at, open.count() as f64));
        }
    }

    pub(crate) fn print_heads() {
        let heads = |hour: usize| {
            format!(
                "{:>8} {:>8} {:>8} {:>hour$} {:>8}",
                "first", "third", "last", "an hour", "grown"
            )
        };
        say(&format!("{:<14} {} | {}", "", heads(9), heads(8)));
        say(&format!("{:<14} {:>45} | {:>44}", "", "memory of its own, KiB", "descriptors"));
    }

    pub(crate) fn print_rules() {
        say(&format!(
            "means of quarters (of descriptors the fewest of each minute); the slope of the later half, and what has grown along it: {MEMORY_NOISE_KIB} KiB and \
             {DESCRIPTORS_NOISE} descriptors are noise, and a step of {MEMORY_STEP_MAX_KIB} KiB and \
             {DESCRIPTORS_STEP_MAX} descriptors after the third quarter"
        ));
    }

    /// Prints its row; false when it grew by more than noise, or was not there.
    pub(crate) fn print(&self) -> bool {
        let memory = Line::of(&self.memory_kib);
        let descriptors = Line::of(&fewest(&self.descriptors));
        let fits = !memory.is_above(MEMORY_NOISE_KIB, MEMORY_STEP_MAX_KIB)
            && !descriptors.is_above(DESCRIPTORS_NOISE, DESCRIPTORS_STEP_MAX)
            && !self.memory_kib.is_empty();
        let Line { first, third, last, per_hour, grown } = memory;
        let row = format!("{first:>8.0} {third:>8.0} {last:>8.0} {per_hour:>9.0} {grown:>8.0}");
        let Line { first, third, last, per_hour, grown } = descriptors;
        say(&format!(
            "{:<14} {row} | {first:>8.1} {third:>8.1} {last:>8.1} {per_hour:>8.1} {grown:>8.1}{}",
            self.name,
            if fits { "" } else { "   GROWS" }
        ));
        fits
    }
}

/// Means of quarters, and the slope of the later half.
struct Line {
    first: f64,
    third: f64,
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
        let (_, later) = samples.split_at(samples.len() / 2);
        let slope = slope(later);
        let lasted = match (later.first(), later.last()) {
            (Some((from, _)), Some((to, _))) => to - from,
            _ => 0.0,
        };
        Self {
            first: mean(&samples[..quarter]),
            third: mean(&later[..quarter.min(later.len())]),
            last: mean(&samples[samples.len() - quarter..]),
            per_hour: slope * 3600.0,
            grown: slope * lasted,
        }
    }

    /// Whether it has grown by more than noise.
    fn is_above(&self, noise: f64, step_max: f64) -> bool {
        self.grown > noise || self.last - self.third > step_max
    }
}

/// The fewest of each window of time.
fn fewest(samples: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let window = |at: f64| (at / DESCRIPTORS_WINDOW_S).floor();
    let windows = samples.chunk_by(|(one, _), (next, _)| window(*one) == window(*next));
    let least =
        |all: &[(f64, f64)]| all.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    windows.map(|all| (all.first().map_or(0.0, |(at, _)| *at), least(all))).collect()
}

/// The median of the slopes between all pairs (Theil and Sen): a leak is there between any two moments, and one step
/// is no slope.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let every = samples.len().div_ceil(COMPARED_MAX).max(1);
    let compared: Vec<_> = samples.iter().step_by(every).collect();
    let mut slopes = Vec::new();
    for (number, (from, before)) in compared.iter().enumerate() {
        let later = compared[number + 1..].iter().filter(|(to, _)| to > from);
        slopes.extend(later.map(|(to, after)| (after - before) / (to - from)));
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty minutes of samples.
    fn line(value: impl Fn(f64) -> f64) -> Line {
        let samples: Vec<_> =
            (0..240).map(|n| f64::from(n) * 5.0).map(|at| (at, value(at))).collect();
        Line::of(&samples)
    }

    fn is_above(value: impl Fn(f64) -> f64) -> bool {
        line(value).is_above(MEMORY_NOISE_KIB, MEMORY_STEP_MAX_KIB)
    }

    #[test]
    fn what_grows_at_the_start_alone_does_not_count() {
        assert!(line(|at| 1000.0 + at.min(500.0)).grown.abs() < 1.0);
        assert!((line(|at| 1000.0 + at).grown - 595.0).abs() < 1.0);
        let saw = |at: f64| 1000.0 + if (at / 5.0) % 2.0 > 0.5 { 5.0 } else { 0.0 };
        assert!(line(saw).grown.abs() < 1.0);
        assert!(Line::of(&[]).grown.abs() < 1.0);
        assert!(Line::of(&[(0.0, 1.0)]).grown.abs() < 1.0);
    }

    #[test]
    fn a_leak_is_growth_and_a_busy_moment_is_not() {
        let jobs = |at: f64| at * 50_000.0 / 1200.0;
        assert!(is_above(|at| 8000.0 + jobs(at) * 16.0 / 1024.0), "two pointers a job");
        assert!(!is_above(|at| 8000.0 + jobs(at) * 4.0 / 1024.0), "half a pointer");
        for moment in [650.0, 800.0, 1000.0, 1150.0] {
            let step = |kib: f64| move |at: f64| if at < moment { 8000.0 } else { 8000.0 + kib };
            assert!(!is_above(step(1500.0)), "one step after {moment} s");
        }
        assert!(is_above(|at| if at < 900.0 { 8000.0 } else { 10_500.0 }), "a step too high");
        assert!(is_above(|at| 8000.0 + (at / 60.0).floor() * 100.0), "many steps");
        let open = |value: &dyn Fn(f64) -> f64| {
            let samples = (0..240).map(|n| f64::from(n) * 5.0).map(|at| (at, value(at)));
            Line::of(&fewest(&samples.collect::<Vec<_>>()))
        };
        let is_kept = |line: &Line| line.is_above(DESCRIPTORS_NOISE, DESCRIPTORS_STEP_MAX);
        let kept = open(&|at| 20.0 + (at / 120.0).floor());
        assert!(is_kept(&kept), "{}", kept.grown);
        let pool = open(&|at| if at % 60.0 < 20.0 { 20.0 } else { 20.0 + at / 30.0 });
        assert!(!is_kept(&pool), "{}", pool.grown);
    }
}
