//! How long to wait before the next try: longer each time, never the same twice, never for ever.

use std::time::Duration;

/// Waiting times that grow.
///
/// Each lies between the floor and a bound that doubles with every failure up to the ceiling, so that
/// many clients that lost the same server do not come back in one moment.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    floor: Duration,
    ceiling: Duration,
    bound: Duration,
}

impl Backoff {
    /// `None` when the floor is zero (no pause at all) or above the ceiling.
    pub(crate) const fn new(floor: Duration, ceiling: Duration) -> Option<Self> {
        if floor.is_zero() || floor.as_nanos() > ceiling.as_nanos() {
            return None;
        }
        Some(Self { floor, ceiling, bound: floor })
    }

    /// The next waiting time, chosen by a random number.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        self.bound = self.bound.saturating_mul(2).min(self.ceiling);
        let span = (self.bound - self.floor).as_nanos();
        let chosen = span.saturating_mul(u128::from(random)) >> u64::BITS;
        self.floor + Duration::from_nanos(u64::try_from(chosen).unwrap_or(u64::MAX))
    }

    /// Begins anew: the last try was a success.
    pub(crate) fn reset(&mut self) {
        self.bound = self.floor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLOOR: Duration = Duration::from_millis(100);
    const CEILING: Duration = Duration::from_secs(1);

    fn highest(backoff: &mut Backoff) -> u128 {
        // The highest random number stays just below the bound.
        backoff.next(u64::MAX).as_millis()
    }

    #[test]
    fn the_bound_doubles_up_to_the_ceiling_and_begins_anew() {
        let mut backoff = Backoff::new(FLOOR, CEILING).unwrap();
        let bounds: Vec<_> = (0..6).map(|_| highest(&mut backoff)).collect();
        assert_eq!(bounds, [199, 399, 799, 999, 999, 999]);
        assert_eq!(backoff.next(0), FLOOR);
        backoff.reset();
        assert_eq!(highest(&mut backoff), 199);
    }

    #[test]
    fn a_backoff_that_would_not_wait_is_refused() {
        assert!(Backoff::new(Duration::ZERO, CEILING).is_none());
        assert!(Backoff::new(CEILING, FLOOR).is_none());
        assert!(Backoff::new(FLOOR, FLOOR).is_some());
    }

    proptest! {
        #[test]
        fn every_wait_lies_between_floor_and_ceiling(randoms: Vec<u64>) {
            let mut backoff = Backoff::new(FLOOR, CEILING).unwrap();
            for random in randoms {
                let wait = backoff.next(random);
                prop_assert!((FLOOR..=CEILING).contains(&wait), "{wait:?}");
            }
        }
    }
}
