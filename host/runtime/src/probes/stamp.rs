//! Instants of packets. The kernel's stamps are of the system's clock, which can be set; the monotonic one stands beside it.

use std::time::{Duration, Instant, SystemTime};

use super::limits::CLOCK_SLACK;

/// An instant of the system's clock: nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(pub(super) u64);

impl Stamp {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// When a packet left, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Departure {
    /// The driver's stamp where there is one, else the last look at the clock before the packet was handed over.
    pub(super) stamp: Stamp,
    /// Not after it left.
    pub(super) before: Instant,
}

impl Departure {
    /// It leaves now.
    pub(super) fn now() -> Self {
        let before = Instant::now();
        Self { stamp: Stamp::now(), before }
    }

    /// From here to an answer that the kernel stamped so, and that was read at `read`.
    ///
    /// An answer was read after it came, so what lies between the departure and that is the most that it can have
    /// taken. A stamp that says more, or less than nothing, is of a clock that was set meanwhile.
    pub(super) fn until(&self, stamp: Option<Stamp>, read: Instant) -> Duration {
        let longest = read.saturating_duration_since(self.before);
        let stamped = stamp.and_then(|stamp| stamp.0.checked_sub(self.stamp.0));
        match stamped.map(Duration::from_nanos) {
            Some(stamped) if stamped <= longest + CLOCK_SLACK => stamped,
            _ => longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_stamp_counts_unless_the_clock_was_set() {
        let before = Instant::now();
        let departure = Departure { stamp: Stamp(1_000_000_000), before };
        let read = before + Duration::from_millis(50);
        let ms = Duration::from_millis;
        for (stamp, wanted) in [
            (Some(Stamp(1_020_000_000)), ms(20)),
            (Some(Stamp(1_000_000_000)), ms(0)),
            (Some(Stamp(1_050_500_000)), Duration::from_micros(50_500)),
            (Some(Stamp(1_060_000_000)), ms(50)),
            (Some(Stamp(999_999_999)), ms(50)),
            (None, ms(50)),
        ] {
            assert_eq!(departure.until(stamp, read), wanted, "{stamp:?}");
        }
    }
}
