//! The clock that those who drive the protocol pass in: this machine's own, which goes on while the machine sleeps and
//! which nobody can set. No time of day is read by anything that decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Durations since its own start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    begun: Duration,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { begun: read() }
    }

    /// How long ago it began. Never less than it was before.
    #[must_use]
    pub fn now(&self) -> Duration {
        read().saturating_sub(self.begun)
    }
}

/// The time of day, since 1970: for people, plans, keys and tokens. Nothing that contends for a job goes by it.
#[must_use]
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// [`since_1970`] in milliseconds, as documents have it.
#[must_use]
pub fn now_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// `CLOCK_BOOTTIME`: a machine that wakes up must know at once that its leases are over.
#[cfg(target_os = "linux")]
fn read() -> Duration {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(since_boot.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(since_boot.tv_nsec).unwrap_or_default())
}

/// The monotonic clock, which may stand still while the machine sleeps.
#[cfg(not(target_os = "linux"))]
fn read() -> Duration {
    static BEGUN: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    BEGUN.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_never_back() {
        let clock = Clock::start();
        let first = clock.now();
        let mut last = first;
        while last == first {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
