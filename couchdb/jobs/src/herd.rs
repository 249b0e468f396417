//! Against the herd: with a thousand idle engines in a region, a job must not cost a thousand writes.
//!
//! Each engine draws a rank for each job, `floor(N x hash(job, engine))`, and waits by doubling tiers: tier
//! `t = floor(log2(rank + 1))`, `t x D` and something between 0 and D; rank 0 does not wait. Who hears of another's claim
//! gives up. So the tier that fires holds one or two free engines, however many are busy and however many there are.
//! N is an estimate and may be wrong by much: it costs writes or a moment, never a job.

use std::collections::VecDeque;
use std::time::Duration;

use crate::id::JobId;

/// D before anything was measured: what suits a store on the same network.
const STEP_FIRST: Duration = Duration::from_millis(60);

/// Bounds of D: below a store's quickest commit waiting is of no use, and above the other nobody would wait.
const STEP_MIN: Duration = Duration::from_millis(10);
const STEP_MAX: Duration = Duration::from_secs(2);

/// D is so many times the median delay: with three times a thousand idle engines write 2.4 times a job, with four
/// 1.9 times.
const STEP_DELAYS: u32 = 4;

/// Delays that are remembered. One that waits through ten tiers multiplies D's error by ten: a median of fifteen
/// makes the last free engine of a thousand wait 900 ms in one of 100 jobs, one of a hundred 650 ms.
const DELAYS_MAX: usize = 101;

/// Delays that are remembered before any was measured: the first ones may be unlike the others, and one slow
/// answer must not make an engine wait for seconds.
const DELAYS_FIRST: usize = 15;

/// How one engine takes its place among the others of its region.
#[derive(Debug)]
pub struct Herd {
    engine: String,
    engines: u64,
    delays: VecDeque<Duration>,
    step: Duration,
}

impl Herd {
    /// An engine that believes to be alone.
    #[must_use]
    pub fn new(engine: &str) -> Self {
        let delays = VecDeque::from(vec![STEP_FIRST / STEP_DELAYS; DELAYS_FIRST]);
        Self { engine: engine.to_owned(), engines: 1, delays, step: STEP_FIRST }
    }

    /// So many engines are in the region, about.
    pub fn hear_engines(&mut self, count: u64) {
        self.engines = count.max(1);
    }

    /// How many engines the region has, about.
    #[must_use]
    pub fn engines(&self) -> u64 {
        self.engines
    }

    /// A claim was heard of on the feed so long after it was sent: how long others may not know of it.
    pub fn hear_delay(&mut self, delay: Duration) {
        if self.delays.len() == DELAYS_MAX {
            self.delays.pop_front();
        }
        self.delays.push_back(delay);
        let mut sorted: Vec<Duration> = self.delays.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(STEP_FIRST);
        self.step = (median * STEP_DELAYS).clamp(STEP_MIN, STEP_MAX);
    }

    /// D, the width of a tier.
    #[must_use]
    pub fn step(&self) -> Duration {
        self.step
    }

    /// How long this engine lets others go first.
    #[must_use]
    pub fn wait(&self, job: &JobId) -> Duration {
        let rank = rank(self.engines, &[job.as_str(), &self.engine, "claim"]);
        if rank == 0 {
            return Duration::ZERO;
        }
        let tier = (rank + 1).ilog2();
        self.step * tier + self.step.mul_f64(fraction(&[job.as_str(), &self.engine, "jitter"]))
    }

    /// The order in which this engine looks at jobs that it may claim all at once: not that of others.
    #[must_use]
    pub fn preference(&self, job: &JobId) -> u64 {
        hash(&[job.as_str(), &self.engine, "order"])
    }

    /// This engine's place among `many` of its kind for what `about` names: 0 goes first.
    #[must_use]
    pub fn place(&self, many: u64, about: &str) -> u64 {
        rank(many, &[about, &self.engine, "place"])
    }
}

/// `floor(many x hash)`: 0 to `many - 1`.
fn rank(many: u64, words: &[&str]) -> u64 {
    let wide = u128::from(hash(words)) * u128::from(many);
    u64::try_from(wide >> 64).unwrap_or(0)
}

/// From 0 to below 1.
#[expect(clippy::cast_precision_loss, reason = "a place in an interval, not a count")]
fn fraction(words: &[&str]) -> f64 {
    (hash(words) >> 11) as f64 / (1u64 << 53) as f64
}

/// The same on every machine and in every version: FNV-1a, with the finishing of `MurmurHash3` since FNV's upper bits
/// hardly depend on the last bytes.
fn hash(words: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in words.iter().flat_map(|word| word.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_never_waits_and_of_many_about_one_does_not() {
        let jobs: Vec<JobId> = (0..200).map(|_| JobId::new("japan", 1)).collect();
        assert!(jobs.iter().all(|job| Herd::new("e").wait(job).is_zero()));
        let mut herds: Vec<Herd> = (0..100).map(|n| Herd::new(&format!("e{n}"))).collect();
        herds.iter_mut().for_each(|herd| herd.hear_engines(100));
        let at_once = |job| herds.iter().filter(|herd| herd.wait(job).is_zero()).count();
        let first: usize = jobs.iter().map(at_once).sum();
        assert!((140..260).contains(&first), "{first} engines for 200 jobs");
        let longest = herds.iter().map(|herd| herd.wait(&jobs[0])).max().unwrap();
        assert!(longest <= STEP_FIRST * 8, "{longest:?}: log2(100) tiers and a jitter");
    }

    #[test]
    fn the_step_follows_the_median_delay_within_bounds() {
        let mut herd = Herd::new("e");
        herd.hear_delay(Duration::from_secs(9));
        assert_eq!(herd.step(), STEP_FIRST, "one slow answer");
        let hear = |herd: &mut Herd, ms| {
            (0..DELAYS_MAX).for_each(|_| herd.hear_delay(Duration::from_millis(ms)));
        };
        hear(&mut herd, 6);
        assert_eq!(herd.step(), Duration::from_millis(24));
        hear(&mut herd, 0);
        assert_eq!(herd.step(), STEP_MIN);
        hear(&mut herd, 9_000);
        assert_eq!(herd.step(), STEP_MAX);
    }

    #[test]
    fn tiers_hold_twice_as_many_engines_each_and_begin_a_step_apart() {
        let job = JobId::new("japan", 1);
        let mut tiers = [0_u32; 12];
        for n in 0..1000 {
            let mut herd = Herd::new(&format!("e{n}"));
            herd.hear_engines(1000);
            let wait = herd.wait(&job);
            tiers[usize::try_from(wait.as_micros() / STEP_FIRST.as_micros()).unwrap()] += 1;
        }
        assert!(tiers[..3].iter().sum::<u32>() < 30, "{tiers:?}: few are quick");
        assert!(tiers[8] > tiers[6] && tiers[6] > tiers[4], "{tiers:?}");
        assert_eq!(tiers[10] + tiers[11], 0, "{tiers:?}: log2(1000) tiers");
    }

    #[test]
    fn each_engine_has_an_order_of_its_own_and_keeps_it() {
        let jobs: Vec<JobId> = (0..50).map(|_| JobId::new("japan", 1)).collect();
        let first = |engine: &str| {
            let herd = Herd::new(engine);
            jobs.iter().min_by_key(|job| herd.preference(job)).unwrap().clone()
        };
        assert_eq!(first("e1"), first("e1"));
        let firsts: std::collections::BTreeSet<JobId> =
            (0..30).map(|n| first(&format!("e{n}"))).collect();
        assert!(firsts.len() > 15, "{}", firsts.len());
    }

    #[test]
    fn places_are_below_how_many_there_are_and_a_count_of_none_is_one() {
        for many in [1, 2, 8, u64::MAX] {
            assert!((0..50).all(|n| Herd::new(&format!("e{n}")).place(many, "x") < many));
        }
        let mut herd = Herd::new("e");
        herd.hear_engines(0);
        assert_eq!(herd.engines(), 1);
    }
}
