//! The clocks of one machine: a monotonic one that goes a little wrong, and one on the wall that is set wrong.

use std::time::Duration;

use super::chance::Chance;

/// Clock rates differ by up to 1 % from the true one: ten times what quartz does.
const RATE_ERROR_PERCENT: f64 = 1.0;

/// What a machine thinks that the time is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Local nanoseconds in 2^20 true ones.
    rate: u128,
    offset: Duration,
    /// The wall clock is ahead by this, after [`Clock::WALL_ZERO`].
    wall: Duration,
}

impl Clock {
    /// Wall clocks are set wrong by up to so much.
    pub(super) const WALL_SKEW: Duration = Duration::from_secs(60);

    pub(super) fn new(chance: &mut Chance) -> Self {
        let error = (chance.fraction() * 2.0 - 1.0) * RATE_ERROR_PERCENT / 100.0;
        let rate = Duration::from_nanos(1 << 20).mul_f64(1.0 + error).as_nanos();
        let offset = chance.between(Duration::ZERO, Duration::from_secs(10_000));
        let wall = chance.between(Duration::ZERO, Self::WALL_SKEW * 2);
        Self { rate, offset, wall }
    }

    /// What the monotonic clock shows.
    pub(super) fn local(&self, truth: Duration) -> Duration {
        self.offset + nanos((truth.as_nanos() * self.rate) >> 20)
    }

    /// When it will show this, or a moment after.
    pub(super) fn truth(&self, local: Duration) -> Duration {
        let since = local.saturating_sub(self.offset);
        nanos(((since.as_nanos() << 20) / self.rate) + 2)
    }

    /// What the wall clock shows.
    pub(super) fn wall(&self, truth: Duration) -> Duration {
        truth + self.wall
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_never_rings_too_early() {
        let mut chance = Chance::new(1);
        for _ in 0..1000 {
            let clock = Clock::new(&mut chance);
            let due = chance.between(Duration::ZERO, Duration::from_secs(20_000));
            let at = clock.truth(due);
            assert!(clock.local(at) >= due, "{clock:?} {due:?}");
            assert!(due < clock.offset || clock.local(at) < due + Duration::from_nanos(9));
        }
    }
}
