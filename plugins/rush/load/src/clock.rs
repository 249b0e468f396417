//! Time since the start of the test.

use rustix::time::{ClockId, clock_gettime};

/// One second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// Counts nanoseconds from an instant on; before it, it says 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start_ns: u64,
}

impl Clock {
    /// Starts so long from now.
    pub(crate) fn starting_in(ns: u64) -> Self {
        Self { start_ns: monotonic_ns().saturating_add(ns) }
    }

    /// Since the start.
    #[inline]
    pub(crate) fn now_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns)
    }

    /// Until the start.
    pub(crate) fn ahead_ns(self) -> u64 {
        self.start_ns.saturating_sub(monotonic_ns())
    }
}

#[inline]
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned().wrapping_mul(SECOND_NS).wrapping_add(now.tv_nsec.cast_unsigned())
}
