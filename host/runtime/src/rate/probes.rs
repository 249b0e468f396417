//! The rates of probes: packets of all runs together, and of all runs to one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Bucket, Limiter, Pace, Slowest, make_room};

#[derive(Debug, Default)]
pub(super) struct Buckets {
    engine: Bucket,
    targets: HashMap<IpAddr, Bucket>,
}

/// Tokens that were taken: how long to wait until they count, and for what. Dropped before
/// [`ProbeTurn::use_up`], it gives them back.
#[must_use]
#[derive(Debug)]
pub(crate) struct ProbeTurn<'a> {
    limiter: &'a Limiter,
    target: IpAddr,
    count: u32,
    is_used: bool,
    pub(crate) wait: Duration,
    pub(crate) slowest: Slowest,
}

impl Limiter {
    /// Takes `count` tokens of the engine and of the address; the slower one says how long to wait.
    pub(crate) fn probe_turn(&self, target: IpAddr, count: u32, now: Instant) -> ProbeTurn<'_> {
        let mut buckets = self.probe_buckets();
        let (engine, to_target) = self.probe_paces();
        let of_engine = take(&mut buckets.engine, engine, count, now);
        make_room(&mut buckets.targets, target, now);
        let of_target = take(buckets.targets.entry(target).or_default(), to_target, count, now);
        let (wait, slowest) = if of_target > of_engine {
            let per_s = self.rates.target_probes_per_s;
            (of_target, Slowest::TargetProbes { per_s, address: target })
        } else {
            (of_engine, Slowest::Probes { per_s: self.rates.probes_per_s })
        };
        ProbeTurn { limiter: self, target, count, is_used: false, wait, slowest }
    }

    fn probe_paces(&self) -> (Pace, Pace) {
        let rates = &self.rates;
        (
            Pace::new(rates.probes_per_s, rates.probes_burst),
            Pace::new(rates.target_probes_per_s, rates.target_probes_burst),
        )
    }

    fn probe_buckets(&self) -> MutexGuard<'_, Buckets> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(bucket: &mut Bucket, pace: Pace, count: u32, now: Instant) -> Duration {
    (0..count).map(|_| bucket.take(pace, now)).max().unwrap_or_default()
}

impl ProbeTurn<'_> {
    /// It was waited for.
    pub(crate) fn use_up(mut self) {
        self.is_used = true;
    }
}

impl Drop for ProbeTurn<'_> {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        let (engine, to_target) = self.limiter.probe_paces();
        let mut buckets = self.limiter.probe_buckets();
        for _ in 0..self.count {
            buckets.engine.give_back(engine);
            if let Some(bucket) = buckets.targets.get_mut(&self.target) {
                bucket.give_back(to_target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::Rates;
    use super::*;

    fn target(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0xc633_6400 + n).into()
    }

    fn take(limiter: &Limiter, target: IpAddr, count: u32, now: Instant) -> (u128, Slowest) {
        let turn = limiter.probe_turn(target, count, now);
        let taken = (turn.wait.as_millis(), turn.slowest);
        turn.use_up();
        taken
    }

    #[test]
    fn a_hundred_traces_at_once_pass_and_so_do_their_rounds() {
        let (limiter, begun) = (Limiter::new(Rates::default()), Instant::now());
        for round in 0..60 {
            let now = begun + Duration::from_secs(round);
            for trace in 0..100 {
                for _hop in 0..32 {
                    assert_eq!(take(&limiter, target(trace), 1, now).0, 0, "round {round}");
                }
            }
        }
    }

    #[test]
    fn more_than_that_waits_for_what_is_slowest() {
        let (limiter, now) = (Limiter::new(Rates::default()), Instant::now());
        for _ in 0..256 {
            assert_eq!(take(&limiter, target(0), 1, now).0, 0);
        }
        let (wait, slowest) = take(&limiter, target(0), 3, now);
        assert_eq!(
            (wait, slowest.to_string().as_str()),
            (30, "100 probes per second to 198.51.100.0")
        );
        for n in 0..40 {
            take(&limiter, target(1 + n), 256, now);
        }
        let (wait, slowest) = take(&limiter, target(100), 1, now);
        assert_eq!(slowest.to_string(), "4000 probes per second of one engine");
        assert!(wait > 100, "{wait} ms");
    }

    #[test]
    fn who_gives_up_gives_back() {
        let (limiter, now) = (Limiter::new(Rates::default()), Instant::now());
        take(&limiter, target(0), 256, now);
        for _ in 0..10 {
            assert_eq!(limiter.probe_turn(target(0), 2, now).wait.as_millis(), 20);
        }
    }
}
