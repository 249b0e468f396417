//! How often plugins may ask: lookups and connections per second of one run, and connections per second to one
//! address of all runs together; and probes, in `probes`. Who is too fast waits for its turn. [`crate::egress`] is
//! the one that asks here.
//!
//! Each count is a bucket of tokens, kept as the instant at which it is full again ("generic cell rate
//! algorithm", ITU-T I.371), so that a bucket is one number and a full one needs none.

mod probes;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use probes::ProbeTurn;

/// How many requests there may be. A request is a lookup or a connection: an HTTP exchange with a name is both.
///
/// A burst is what may come at once after a rest; then the rate holds. Numbers are at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Requests of one run, in each second.
    pub run_per_s: u32,
    /// Requests of one run at once.
    pub run_burst: u32,
    /// Connections of all runs to one address, in each second.
    pub target_per_s: u32,
    /// Connections of all runs to one address at once.
    pub target_burst: u32,
    /// Probes of all runs, in each second.
    pub probes_per_s: u32,
    /// Probes of all runs at once.
    pub probes_burst: u32,
    /// Probes of all runs to one address, in each second.
    pub target_probes_per_s: u32,
    /// Probes of all runs to one address at once.
    pub target_probes_burst: u32,
}

impl Rates {
    /// As many as the machine makes: benches, and networks of one's own.
    pub const UNLIMITED: Self = Self {
        run_per_s: u32::MAX,
        run_burst: u32::MAX,
        target_per_s: u32::MAX,
        target_burst: u32::MAX,
        probes_per_s: u32::MAX,
        probes_burst: u32::MAX,
        target_probes_per_s: u32::MAX,
        target_probes_burst: u32::MAX,
    };

    fn of_run(&self) -> Pace {
        Pace::new(self.run_per_s, self.run_burst)
    }

    fn of_target(&self) -> Pace {
        Pace::new(self.target_per_s, self.target_burst)
    }
}

impl Default for Rates {
    /// A crawler that takes fifty pages a second makes a hundred requests, and one that opens a page with all its
    /// parts makes a burst of a few hundred. A small web server bears a hundred connections a second; more is a
    /// load test, and a plugin is none.
    ///
    /// A trace asks 32 hops at once, and one that looks for several ways asks each of them eight times: that is one
    /// burst to its target. Rounds of a second over 32 hops, three at a time, go on for hours. An engine has a
    /// hundred of them; that is half a megabyte in each second, and less than a tenth of what one core can send.
    fn default() -> Self {
        Self {
            run_per_s: 200,
            run_burst: 400,
            target_per_s: 100,
            target_burst: 200,
            probes_per_s: 4000,
            probes_burst: 8000,
            target_probes_per_s: 100,
            target_probes_burst: 256,
        }
    }
}

/// Addresses whose buckets are remembered. Most buckets are full again within two seconds and are forgotten; 4096 that
/// are not would be 20 runs at their full rate, each to new addresses.
const TARGETS_MAX: usize = 4096;

/// The buckets of all targets. A clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct Limiter {
    rates: Rates,
    targets: Arc<Mutex<HashMap<IpAddr, Bucket>>>,
    probes: Arc<Mutex<probes::Buckets>>,
}

/// The bucket of one run. A clone is of the same run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunBucket(Arc<Mutex<Bucket>>);

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slowest {
    Run { per_s: u32 },
    Target { per_s: u32, address: IpAddr },
    Probes { per_s: u32 },
    TargetProbes { per_s: u32, address: IpAddr },
}

/// Tokens that were taken: how long to wait until they count, and for what. Dropped before
/// [`Turn::use_up`], it gives them back.
#[must_use]
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    limiter: &'a Limiter,
    run: &'a RunBucket,
    targets: Vec<IpAddr>,
    is_used: bool,
    pub(crate) wait: Duration,
    pub(crate) slowest: Slowest,
}

impl Limiter {
    pub(crate) fn new(rates: Rates) -> Self {
        Self { rates, targets: Arc::default(), probes: Arc::default() }
    }

    /// Takes a token of the run, and one of each address; the slowest one says how long to wait.
    pub(crate) fn turn<'a>(
        &'a self,
        run: &'a RunBucket,
        targets: impl IntoIterator<Item = IpAddr>,
        now: Instant,
    ) -> Turn<'a> {
        let Rates { run_per_s, target_per_s, .. } = self.rates;
        let mut turn = Turn {
            limiter: self,
            run,
            targets: Vec::new(),
            is_used: false,
            wait: run.lock().take(self.rates.of_run(), now),
            slowest: Slowest::Run { per_s: run_per_s },
        };
        let mut buckets = self.targets();
        for address in targets {
            let address = address.to_canonical();
            if turn.targets.contains(&address) {
                continue;
            }
            make_room(&mut buckets, address, now);
            let wait = buckets.entry(address).or_default().take(self.rates.of_target(), now);
            if wait > turn.wait {
                turn.wait = wait;
                turn.slowest = Slowest::Target { per_s: target_per_s, address };
            }
            turn.targets.push(address);
        }
        drop(buckets);
        turn
    }

    fn targets(&self) -> MutexGuard<'_, HashMap<IpAddr, Bucket>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets full buckets when there is no room for a new one; when none is full, the one that is next to be.
fn make_room(buckets: &mut HashMap<IpAddr, Bucket>, address: IpAddr, now: Instant) {
    if buckets.len() < TARGETS_MAX || buckets.contains_key(&address) {
        return;
    }
    buckets.retain(|_, bucket| !bucket.is_full(now));
    if buckets.len() >= TARGETS_MAX {
        let next = buckets.iter().min_by_key(|(_, bucket)| bucket.full_at).map(|(at, _)| *at);
        next.map(|address| buckets.remove(&address));
    }
}

impl Turn<'_> {
    /// It was waited for.
    pub(crate) fn use_up(mut self) {
        self.is_used = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        self.run.lock().give_back(self.limiter.rates.of_run());
        let mut buckets = self.limiter.targets();
        for address in &self.targets {
            if let Some(bucket) = buckets.get_mut(address) {
                bucket.give_back(self.limiter.rates.of_target());
            }
        }
    }
}

impl RunBucket {
    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rate as times.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two tokens.
    interval: Duration,
    /// What a bucket holds beside the first token, as the time in which it is filled.
    slack: Duration,
}

impl Pace {
    fn new(per_s: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_s.max(1);
        Self { interval, slack: interval.saturating_mul(burst.max(1) - 1) }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// `None` was never used.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes a token; how long to wait until it is there.
    fn take(&mut self, pace: Pace, now: Instant) -> Duration {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = full_at.checked_add(pace.interval);
        full_at.saturating_duration_since(now).saturating_sub(pace.slack)
    }

    fn give_back(&mut self, pace: Pace) {
        self.full_at = self.full_at.and_then(|at| at.checked_sub(pace.interval));
    }

    fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }
}

impl fmt::Display for Slowest {
    /// Reads behind "while it waited for its turn".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { per_s } => write!(f, "{per_s} requests per second of one run"),
            Self::Target { per_s, address } => {
                write!(f, "{per_s} requests per second to {address}")
            }
            Self::Probes { per_s } => write!(f, "{per_s} probes per second of one engine"),
            Self::TargetProbes { per_s, address } => {
                write!(f, "{per_s} probes per second to {address}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const RATES: Rates =
        Rates { run_per_s: 10, run_burst: 5, target_per_s: 4, target_burst: 2, ..Rates::UNLIMITED };
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn ms(duration: Duration) -> u128 {
        duration.as_millis()
    }

    fn take(
        limiter: &Limiter,
        run: &RunBucket,
        targets: &[IpAddr],
        now: Instant,
    ) -> (u128, Slowest) {
        let turn = limiter.turn(run, targets.iter().copied(), now);
        let taken = (ms(turn.wait), turn.slowest);
        turn.use_up();
        taken
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_holds() {
        let (limiter, run, now) = (Limiter::new(RATES), RunBucket::default(), Instant::now());
        let waits: Vec<u128> = (0..8).map(|_| take(&limiter, &run, &[], now).0).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 100, 200, 300]);
        // All eight tokens are back after 800 ms, and no more than a burst however long it rests.
        let later = now + Duration::from_secs(3600);
        let waits: Vec<u128> = (0..6).map(|_| take(&limiter, &run, &[], later).0).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 100]);
    }

    #[test]
    fn a_target_is_shared_by_all_runs() {
        let (limiter, now) = (Limiter::new(RATES), Instant::now());
        let waits: Vec<u128> =
            (0..4).map(|_| take(&limiter, &RunBucket::default(), &[HERE], now).0).collect();
        assert_eq!(waits, [0, 0, 250, 500]);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let (wait, slowest) = take(&limiter, &RunBucket::default(), &[HERE, mapped], now);
        assert_eq!(wait, 750, "one address, however it is written and however often");
        assert_eq!(slowest.to_string(), "4 requests per second to 192.0.2.1");
        let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(take(&limiter, &RunBucket::default(), &[other], now).0, 0);
    }

    #[test]
    fn the_slowest_is_named() {
        let (limiter, run, now) = (Limiter::new(RATES), RunBucket::default(), Instant::now());
        for last in 0..12 {
            take(&limiter, &run, &[IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))], now);
        }
        let (wait, slowest) = take(&limiter, &run, &[HERE], now);
        assert_eq!(
            (wait, slowest.to_string().as_str()),
            (800, "10 requests per second of one run")
        );
    }

    #[test]
    fn who_gives_up_gives_back() {
        let (limiter, run, now) = (Limiter::new(RATES), RunBucket::default(), Instant::now());
        for _ in 0..2 {
            take(&limiter, &run, &[HERE], now);
        }
        for _ in 0..100 {
            let turn = limiter.turn(&run, [HERE], now);
            assert_eq!(ms(turn.wait), 250);
        }
        assert_eq!(take(&limiter, &run, &[HERE], now).0, 250);
    }

    #[test]
    fn the_table_of_targets_is_bounded() {
        let (limiter, now) = (Limiter::new(RATES), Instant::now());
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        take(&limiter, &RunBucket::default(), &[HERE; 1], now);
        for _ in 0..3 {
            take(&limiter, &RunBucket::default(), &[HERE], now);
        }
        for n in 0..10_000 {
            take(&limiter, &RunBucket::default(), &[address(n)], now);
        }
        assert_eq!(limiter.targets().len(), TARGETS_MAX);
        assert_eq!(take(&limiter, &RunBucket::default(), &[HERE], now).0, 750, "a busy one stays");
        take(&limiter, &RunBucket::default(), &[address(20_000)], now + Duration::from_millis(300));
        assert!(limiter.targets().len() < 10, "those that rest are forgotten");
    }

    #[test]
    fn without_limits_nobody_waits() {
        let (limiter, run, now) =
            (Limiter::new(Rates::UNLIMITED), RunBucket::default(), Instant::now());
        for _ in 0..100_000 {
            assert_eq!(take(&limiter, &run, &[HERE], now).0, 0);
        }
    }
}
